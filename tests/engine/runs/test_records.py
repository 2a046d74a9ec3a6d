"""What a run writes beside its checkpoints: run.json, epochs.csv, samples.npz."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from project.data.digits import Digits
from project.engine.errors import UserError
from project.engine.loading.arrays import Arrays, ItemDataset
from project.engine.runs import predictions
from project.engine.runs.predictions import shown
from project.engine.runs.records import CSVRows, Stopwatch
from tests.conftest import Project

SHORT = "--data.batch_size 128 --run.threads 1 --trainer.max_epochs 1 --run.tensorboard false"
TINY = f"--data.size 12 --model.net MLP {SHORT}"
TASKS = {
    "classes": ("--data.size 12", "uint8", True),
    "labels of one logit": (
        "--data YesNo --model.net MLP --model.loss BCEWithLogits",
        "float32",
        True,
    ),
    "numbers": ("--data Numbers --model Regression", "float32", True),
    "masks": ("--data DigitMasks --data.size 16 --model Segmentation", "uint8", True),
    "sequences": (
        "--data Bars --model Transcription",
        "uint8",
        True,
    ),
    "points": ("--model MetricLearning --data.size 12", "uint8", False),
}


def test_run_json_says_what_the_run_is_made_of(project: Project, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("data: {class_path: Digits, init_args: {size: 12}}\n")
    words = (
        "fit --config mine.yaml --data.batch_size 256 --model.optimizer Adam "
        "--trainer.max_epochs 1 --run.threads 1 --run run"
    )
    project(words)
    said = json.loads((tmp_path / "run/run.json").read_text())
    assert (said["task"], said["net"], said["monitor"], said["monitor_mode"]) == (
        "Classification",
        "LeNet",
        "val/accuracy",
        "max",
    )
    assert said["layers"][0] == {
        "name": "features.0",
        "kind": "Conv2d",
        "output": [6, 28, 28],
        "parameters": 156,
    }  # padded
    assert said["configs"] == ["mine.yaml"]
    assert said["overrides"] == {
        "data.batch_size": 256,
        "model.optimizer": "Adam",
        "trainer.max_epochs": 1,
        "run.threads": 1,
    }
    assert said["spec"]["inputs"] == [[1, 12, 12]] and len(said["spec"]["names"]) == 10
    assert {split: part["samples"] for split, part in said["data"].items()} == {
        "train": 1258,
        "val": 179,
    }
    code, _, err = project("fit --run run --trainer.max_epochs 2")
    assert code == 0, err
    later = json.loads((tmp_path / "run/run.json").read_text())
    assert later["continued"]["step"] == 5 and later["overrides"] == said["overrides"] | {
        "trainer.max_epochs": 2
    }
    assert {key: later[key] for key in ("command", "configs", "data", "spec")} == {
        key: said[key] for key in ("command", "configs", "data", "spec")
    }


def test_a_digest_tells_data_apart_and_is_the_same_each_time() -> None:
    images, classes = torch.randint(256, (20, 1, 4, 4), dtype=torch.uint8), torch.arange(20)
    changed, relabelled = images.clone(), classes.clone()
    changed[7, 0, 0, 0] += 1
    relabelled[7] = 0
    digests = [Arrays(images.clone(), classes.clone()).digest() for _ in range(2)]
    digests += [
        Arrays(changed, classes).digest(),
        Arrays(images, relabelled).digest(),
        Arrays(images[:19], classes[:19]).digest(),
    ]
    assert digests[0] == digests[1] and len(set(digests)) == 4
    whole = Arrays(images, classes)
    assert whole.take(torch.arange(10)).digest() == Arrays(images[:10], classes[:10]).digest()


def test_of_large_data_the_digest_reads_evenly_spaced_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("project.engine.loading.arrays.HASHED", 64)
    inputs, classes = torch.zeros(16, 16, dtype=torch.uint8), torch.zeros(16, dtype=torch.int64)
    digest = Arrays(inputs.clone(), classes).digest()
    for row in range(16):
        other = inputs.clone()
        other[row] = 1
        assert (Arrays(other, classes).digest() == digest) == (row % 4 != 0)


def test_fetching_items_leaves_the_generators_alone() -> None:
    class Noisy(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return 4

        def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
            return torch.rand(2), row

    items = ItemDataset(Noisy(), seed=1)
    state = torch.get_rng_state()
    first, second = items.fetch(torch.tensor([2, 0])), items.fetch(torch.tensor([2, 0]))
    assert torch.equal(first[0], second[0]) and first[1].tolist() == [2, 0]
    assert torch.equal(state, torch.get_rng_state()) and items.digest() is None


def arrays_of(path: Path) -> dict[str, Any]:
    with np.load(path) as file:
        return dict(file)


@pytest.mark.parametrize("kind", TASKS)
def test_samples_hold_some_of_all_and_the_worst_with_their_inputs(
    kind: str, project: Project, tmp_path: Path
) -> None:
    words, dtype, tells = TASKS[kind]
    code, _, err = project("fit --run run", SHORT, words)
    assert code == 0, err
    kept = arrays_of(tmp_path / "run/samples.npz")
    whole = arrays_of(tmp_path / "run/predictions-val.npz")
    usual = {"id", "input", "target", "prediction", "error", "worst", "even"}
    assert set(kept) == (usual | {"heat"} if kind == "classes" else usual)
    assert kept["input"].dtype == dtype and len(kept["id"]) == len(np.unique(kept["id"]))
    assert kept["even"].sum() == min(64, len(whole["id"])) and (kept["even"] | kept["worst"]).all()
    assert len(kept["id"]) <= 96
    place = np.searchsorted(whole["id"], kept["id"])
    for column in ("target", "prediction"):
        assert np.array_equal(kept[column], whole[column][place])
    assert np.isfinite(kept["error"]).all() == tells and kept["worst"].any() == tells
    if tells:
        assert kept["error"][kept["worst"]].min() >= kept["error"][~kept["worst"]].max(initial=0)


def test_samples_show_the_pictures_of_their_ids(project: Project, tmp_path: Path) -> None:
    project("fit --run run", TINY)
    project("test --ckpt_path run")
    for split, file in (("val", "samples.npz"), ("test", "samples-test.npz")):
        data = Digits(size=12)
        data.setup("fit" if split == "val" else "test")
        kept = arrays_of(tmp_path / "run" / file)
        images, classes = data.fetch(split, torch.from_numpy(kept["id"]))
        assert np.array_equal(kept["input"], images.numpy()) and np.array_equal(
            kept["target"], classes.numpy()
        )


def test_large_samples_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "SAMPLE_BYTES", 960)
    positions, worst, even = shown(torch.arange(200.0), torch.arange(200), row_bytes=100)
    assert positions.tolist() == [0, 1, 2, 3, 4, 5, 197, 198, 199]
    assert worst.tolist() == [False] * 6 + [True] * 3
    assert even.tolist() == [True] * 6 + [False] * 3


def test_epochs_csv_counts_time_across_a_stop(project: Project, tmp_path: Path) -> None:
    project("fit --run run --run.save_every 3", TINY)
    for path in sorted((tmp_path / "run/checkpoints").glob("step-*.ckpt"))[1:]:
        path.unlink()
    code, out, err = project("fit --run run --trainer.max_epochs 2")
    assert code == 0 and "from step 9" in out, err
    with open(tmp_path / "run/epochs.csv", newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    assert [(row["epoch"], row["step"]) for row in rows] == [(0, 10), (1, 20)]
    assert {"train/loss", "train/accuracy", "val/loss", "val/accuracy", "lr"} <= set(rows[0])
    for row in rows:
        assert 0 < row["epoch_seconds"] <= row["run_seconds"] and row["samples_per_second"] > 0
    assert rows[0]["run_seconds"] < rows[1]["run_seconds"]


def test_a_watch_goes_on_from_what_was_counted() -> None:
    watch = Stopwatch()
    watch.start(5.0)
    assert watch.seconds >= 5.0
    watch.stop()
    stopped = watch.seconds
    time.sleep(0.001)
    assert watch.seconds == stopped
    watch.start()
    assert watch.seconds >= stopped


def test_a_row_that_does_not_fit_on_the_disk_is_told_in_one_line(tmp_path: Path) -> None:
    rows = CSVRows(tmp_path / "metrics.csv", ["step"])
    rows.begin(None)
    rows.append({"step": 1})
    rows.close()
    with (
        open("/dev/full", "ab", buffering=0) as rows.file,
        pytest.raises(UserError, match="No space left on device"),
    ):
        rows.append({"step": 2})
    assert (tmp_path / "metrics.csv").read_text() == "step\n1\n"
