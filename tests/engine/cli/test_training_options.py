"""The options of Lightning's trainer take effect: accumulation, clipping, precision, early
stopping; and so does the seed.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from project.engine.runs.checkpoints import read
from tests.conftest import REPOSITORY, Project
from tests.engine.runs.equal import differing

TINY = "--data.size 12 --run.threads 1 --run.tensorboard false --trainer.log_every_n_steps 1"
ONE_STEP = (
    f"{TINY} --trainer.max_steps 1 --run.save_every 1 --model.optimizer SGD --model.optimizer.lr 1"
)


def weights(run: Path, step: int) -> Tensor:
    """All weights after some steps, in one row."""
    state = read(run / f"checkpoints/step-{step:09d}.ckpt").weights
    return torch.cat([value.flatten() for name, value in state.items() if name.startswith("net.")])


def rows(run: Path, name: str = "metrics.csv") -> list[dict[str, str]]:
    with open(run / name, newline="") as file:
        return list(csv.DictReader(file))


def test_accumulated_batches_make_the_step_of_one_large_batch(
    project: Project, tmp_path: Path
) -> None:
    for name, words in {
        "large": "--data.batch_size 128",
        "small": "--data.batch_size 32 --trainer.accumulate_grad_batches 4",
    }.items():
        code, _, err = project("fit", ONE_STEP, words, f"--run {name}")
        assert code == 0, err
    before = weights(tmp_path / "large", 0)
    large, small = (weights(tmp_path / name, 1) - before for name in ("large", "small"))
    assert large.norm() > 0.01
    torch.testing.assert_close(small, large, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("algorithm", "kept"),
    [("norm", lambda change: change.norm()), ("value", lambda change: change.abs().max())],
)
def test_a_gradient_is_clipped_to_the_length_that_is_asked_for(
    algorithm: str, kept: object, project: Project, tmp_path: Path
) -> None:
    clipping = f"--trainer.gradient_clip_val 0.001 --trainer.gradient_clip_algorithm {algorithm}"
    code, _, err = project("fit", ONE_STEP, clipping, "--run run")
    assert code == 0, err
    change = weights(tmp_path / "run", 1) - weights(tmp_path / "run", 0)
    assert float(kept(change)) == pytest.approx(0.001, rel=1e-3)  # type: ignore[operator]


def test_mixed_precision_computes_in_sixteen_bits_and_keeps_weights_of_thirty_two(
    project: Project, tmp_path: Path
) -> None:
    losses = {}
    for precision in ("32-true", "bf16-mixed"):
        code, _, err = project(
            "fit", ONE_STEP, f"--trainer.precision {precision} --run {precision}"
        )
        assert code == 0, err
        losses[precision] = float(rows(tmp_path / precision)[0]["train/loss"])
    assert losses["bf16-mixed"] != losses["32-true"]
    assert losses["bf16-mixed"] == pytest.approx(losses["32-true"], rel=0.02)
    assert weights(tmp_path / "bf16-mixed", 1).dtype == torch.float32


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16-true", torch.bfloat16), ("64-true", torch.float64)]
)
@pytest.mark.parametrize("data", ["--data.size 12", "--data Numbers --model Regression"])
def test_a_network_trains_and_tests_in_another_precision(
    data: str, precision: str, dtype: torch.dtype, project: Project, tmp_path: Path
) -> None:
    tiny = ONE_STEP.replace("--data.size 12", data)
    code, _, err = project("fit", tiny, f"--trainer.precision {precision} --run run")
    assert code == 0, err
    assert weights(tmp_path / "run", 1).dtype == dtype
    code, out, err = project("test --ckpt_path run")
    assert code == 0 and "test/loss" in out, err


def test_a_run_stops_when_nothing_improves(project: Project, tmp_path: Path) -> None:
    still = "--model.optimizer SGD --model.optimizer.lr 1e-12 --trainer.max_epochs 9"
    stopping = '--trainer.callbacks [{"class_path":"EarlyStopping","init_args":{"monitor":"val/accuracy","mode":"max","patience":2}}]'
    code, _, err = project("fit", TINY, still, stopping, "--run run")
    assert code == 0, err
    assert len(rows(tmp_path / "run", "epochs.csv")) == 3
    assert "is finished at step 60" in project("fit --run run")[1]


def test_the_same_seed_gives_the_same_bits_in_a_fresh_process(
    project: Project, tmp_path: Path
) -> None:
    words = (
        f"fit {TINY} --data.augment [Affine] --model.net.dropout 0.2 --trainer.max_epochs 2 "
        "--model.schedule Cosine"
    )
    project(words, "--run one")
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONHASHSEED": "5",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "project", *words.split(), "--run", "two"]
    subprocess.run(
        command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=120
    )
    assert differing(tmp_path / "one", tmp_path / "two") == []
    project(words, "--seed_everything 1 --run other")
    assert {"state_dict", "metrics.csv"} <= set(differing(tmp_path / "one", tmp_path / "other"))
