"""Runs to look at: one real run of each kind, made once, and as many made-up ones as a test
wants.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from project.__main__ import main

HOSTILE = (
    "<img src=x onerror='throw 1'>",
    "</script><script>throw 2</script>",
    "$x^2$ & 'co' 学",
)  # names of classes
ALL = (
    "--trainer.max_epochs 2 --trainer.limit_train_batches 4 --run.threads 1 --run.tensorboard "
    "false --run.report false"
)
RUNS = {
    "class": "--data.size 12 --trainer.log_every_n_steps 2",
    "number": "--data Numbers --model Regression --model.net MLP",
    "mask": "--data DigitMasks --model Segmentation --model.net.channels [4,8]",
    "sequence": "--data Bars --model Transcription --model.net.channels [4,8,8]",
    "embedding": "--data.size 12 --model MetricLearning --model.dimension 4",
    "ranking": "--data Numbers --model Ranking --model.net MLP",
}


@pytest.fixture(scope="session")
def real_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A short run of each kind, validated; that of classes is tested too, and its classes have
    names of the worst sort.
    """
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs")
    for kind, words in RUNS.items():
        assert main([*f"fit {words} {ALL} --run".split(), str(folder / kind)]) == 0
    assert main(["test", "--ckpt_path", str(folder / "class")]) == 0
    assert not list(folder.glob("*/report.html")), "--run.report false"
    description = json.loads((folder / "class" / "run.json").read_text())
    description["spec"]["names"] = [*HOSTILE, *"3456789"]
    description["git"] = {"commit": "1234", "diff": "<b>\n" * 20}
    (folder / "class" / "run.json").write_text(json.dumps(description))
    return {kind: folder / kind for kind in RUNS}


MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Write a run folder by hand: as small as a reader takes it."""

    def make(
        place: str,
        *,
        seed: int = 0,
        lr: float = 0.1,
        accuracy: float = 0.5,
        state: str = "finished",
        **settings: Any,
    ) -> Path:
        folder = tmp_path / place
        (folder / "checkpoints").mkdir(parents=True)
        optimizer = {"class_path": "SGD", "init_args": {"lr": lr, **settings}}
        config = {
            "name": folder.parent.name,
            "seed_everything": seed,
            "trainer": {"max_epochs": 2},
            "data": {"class_path": "Digits", "init_args": {"root": place, "batch_size": 64}},
            "model": {"class_path": "Classification", "init_args": {"optimizer": optimizer}},
            "run": {"root": str(tmp_path), "threads": seed},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        description = {
            "seed": seed,
            "state": state,
            "monitor": "val/accuracy",
            "monitor_mode": "max",
            "command": "fit",
        }
        (folder / "run.json").write_text(json.dumps(description))
        best = {"monitor": "val/accuracy", "value": accuracy}
        results = {
            "last": {"val/accuracy": accuracy - 0.1, "train/loss": 1.0},
            "best": best,
            "parameters": 10,
            "seconds": 1.5,
        }
        (folder / "results.json").write_text(json.dumps(results))
        rows = [
            "step,epoch,train/loss,val/accuracy",
            f"5,0,{2 + lr},",
            "10,0,,0.2",
            f"15,1,{1 + lr},",
            f"20,1,,{accuracy}",
        ]
        (folder / "metrics.csv").write_text("\n".join(rows) + "\n")
        (folder / "epochs.csv").write_text(
            "epoch,step,train/loss,epoch_seconds\n0,10,2.0,0.5\n1,20,1.0,0.5\n"
        )
        return folder

    return make
