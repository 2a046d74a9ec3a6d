"""A run that is continued from any of its checkpoints equals the run that was never stopped."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from project.engine.runs import checkpoints
from tests.conftest import Project
from tests.engine.runs.equal import differing

WATCHED = "--data.batch_size 256 --run.save_every 1 --run.threads 1 --trainer.log_every_n_steps 2"
TINY = f"{WATCHED} --run.tensorboard false"
MLP = "--model.net MLP --model.net.hidden [16] --model.net.dropout 0.2"
EMA = '--trainer.callbacks [{"class_path":"EMAWeightAveraging","init_args":{"decay":0.9}}]'
SWA = '--trainer.callbacks [{"class_path":"project.engine.runs.averaging.SWA","init_args":{"start":1}}]'
GROUPS = '--model.groups [{"match":".*bias","lr":0.01,"weight_decay":0}] --model.schedule StepLR --model.schedule.step_size 1'
UNFREEZING = '--model.groups [{"match":"layers.0.*","freeze_until":1}]'
SEVERAL = '--model.groups [{"match":"Linear.weight","optimizer":{"class_path":"Muon","init_args":{"lr":0.02}}}]'
STOPPING = '--trainer.callbacks [{"class_path":"EarlyStopping","init_args":{"monitor":"val/loss","patience":9}}]'
SETTINGS = {
    "epoch end": "",
    "cosine by step": "--model.schedule Cosine --model.schedule.warmup 2",
    "one cycle": "--model.schedule OneCycle --model.schedule.max_lr 0.01",
    "validation in mid epoch": "--trainer.val_check_interval 2",
    "validation across epochs": "--trainer.val_check_interval 3 "
    "--trainer.check_val_every_n_epoch null",
    "every second epoch": "--trainer.check_val_every_n_epoch 2 --trainer.max_epochs 3 "
    "--model.schedule Plateau --model.schedule.patience 0",
    "accumulation": "--trainer.accumulate_grad_batches 2",
    "plateau by epoch": "--model.schedule Plateau --model.schedule.patience 0 "
    "--trainer.max_epochs 3",
    "schedule by epoch": "--model.schedule StepLR --model.schedule.step_size 1",
    "augmentation": "--data.size 12 --data.augment [Crop,Affine,Cutout] --model.net LeNet",
    "averaged weights": EMA,
    "averaged weights by epoch": SWA + " --trainer.max_epochs 3",
    "parameter groups": GROUPS,
    "unfreezing": UNFREEZING + " --trainer.max_epochs 3",
    "several optimizers": SEVERAL + " --model.schedule Cosine",
    "early stopping": STOPPING,
    "max_steps": "--trainer.max_steps 7 --trainer.max_epochs 5",
    "limited batches": "--trainer.limit_train_batches 3 --trainer.limit_val_batches 1",
    "balanced sampling": "--data.balance true",
    "loader workers": "--data.num_workers 1",
    "everything watched": "--run.tensorboard true --run.print_every 2 --data.size 12 "
    "--data.augment [Crop] --model.net LeNet",
    "drop last": "--data.drop_last true",
    "means and deviations": "--data Numbers --model Regression --model.loss GaussianNLL",
    "two inputs": "--data ImagesAndNumbers --data.augment [Crop] --model.net "
    "ImageAndNumbers --model.net.channels [4]",
}


FAST = {  # one of each kind; the others are run by `pytest -m ""`
    *("epoch end", "validation in mid epoch", "accumulation", "everything watched"),
}


@pytest.mark.parametrize(
    ("setting", "points"),
    [
        *((name, "three") for name in SETTINGS if name in FAST),
        *(pytest.param(name, "all", marks=pytest.mark.slow) for name in SETTINGS),
    ],
)
def test_a_run_continued_from_any_checkpoint_equals_the_undisturbed_run(
    setting: str, points: str, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "KEEP", 1000)
    whole = tmp_path / "whole"
    words = SETTINGS[setting]
    net = "" if "--model.net" in words else MLP
    epochs = "" if "max_epochs" in words else "--trainer.max_epochs 2"
    code, _, err = project(
        "fit", WATCHED if "tensorboard" in words else TINY, net, epochs, words, "--run", whole
    )
    assert code == 0, err
    saved = sorted(path.name for path in (whole / "checkpoints").glob("step-*.ckpt"))
    assert len(saved) > 4
    middle = (len(saved) - 1) // 2  # the end of the first of two epochs
    for name in saved[:-1] if points == "all" else (saved[1], saved[middle], saved[-2]):
        killed = tmp_path / "killed"
        shutil.copytree(whole, killed)
        for later in saved[saved.index(name) + 1 :]:
            (killed / "checkpoints" / later).unlink()
        code, out, err = project("fit", "--run", killed)
        assert code == 0, err
        assert f"from step {int(name[5:14])}" in out
        assert differing(whole, killed) == [], f"continued from {name}"
        shutil.rmtree(killed)


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["epochs", "steps in mid epoch"])
def test_a_prolonged_run_equals_one_that_was_as_long_from_the_start(
    limit: str, project: Project, tmp_path: Path
) -> None:
    short, long = {"epochs": ("--trainer.max_epochs 2", "--trainer.max_epochs 4")}.get(
        limit, ("--trainer.max_steps 7", "--trainer.max_steps 12")
    )
    project("fit", TINY, MLP, short, "--run", tmp_path / "run")
    code, out, err = project("fit", "--run", tmp_path / "run", long)
    assert code == 0, err
    assert "continuing" in out
    project("fit", TINY, MLP, long, "--run", tmp_path / "long")
    parts = differing(tmp_path / "long", tmp_path / "run")
    assert [part for part in parts if part not in ("loops",)] == []


@pytest.mark.slow
def test_a_prolonged_run_follows_its_schedule_anew(project: Project, tmp_path: Path) -> None:
    cosine = "--model.schedule Cosine --trainer.log_every_n_steps 1"
    tiny = TINY.replace("--trainer.log_every_n_steps 2", "")
    project("fit", tiny, MLP, cosine, "--trainer.max_epochs 2", "--run", tmp_path / "run")
    project("fit", "--run", tmp_path / "run", "--trainer.max_epochs 4")
    project("fit", tiny, MLP, cosine, "--trainer.max_epochs 4", "--run", tmp_path / "long")
    assert rates(tmp_path / "run")[10:] == rates(tmp_path / "long")[10:]
    assert rates(tmp_path / "run")[8] < rates(tmp_path / "long")[8]


@pytest.mark.parametrize(
    "limit", ["--trainer.max_epochs 1", "--trainer.max_steps 5", "--trainer.max_steps 3"]
)
def test_the_same_command_again_says_that_the_run_is_finished(
    limit: str, project: Project, tmp_path: Path
) -> None:
    words = ("fit", TINY, MLP, limit, "--run", tmp_path / "run")
    project(*words)
    before = (tmp_path / "run" / "metrics.csv").read_bytes()
    code, out, _ = project(*words)
    assert (code, f"is finished at step {3 if '3' in limit else 5}" in out) == (0, True)
    assert (tmp_path / "run" / "metrics.csv").read_bytes() == before


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_taken(
    project: Project, tmp_path: Path
) -> None:
    project("fit", TINY, MLP, "--trainer.max_epochs 2", "--run", tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "run")
    newest = sorted((tmp_path / "run" / "checkpoints").glob("step-*.ckpt"))[-1]
    data = bytearray(newest.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 500] = bytes(
        255 - byte for byte in data[middle : middle + 500]
    )  # wider than any padding
    newest.write_bytes(data)
    code, out, err = project("fit", "--run", tmp_path / "run")
    assert code == 0, err
    assert f"{newest.name}: it" in out and "taking the one before" in out
    assert differing(tmp_path / "whole", tmp_path / "run") == []


def test_a_run_without_a_readable_checkpoint_is_never_started_anew(
    project: Project, tmp_path: Path
) -> None:
    project("fit", TINY, MLP, "--trainer.max_epochs 1", "--run", tmp_path / "run")
    for path in (tmp_path / "run" / "checkpoints").glob("step-*.ckpt"):
        path.write_bytes(path.read_bytes()[:1000])
    code, _, err = project("fit", "--run", tmp_path / "run")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "none of its" in err


@pytest.mark.slow
def test_an_older_checkpoint_starts_a_new_run_that_ends_alike(
    project: Project, tmp_path: Path
) -> None:
    project("fit", TINY, MLP, "--trainer.max_epochs 2", "--run", tmp_path / "run")
    older = sorted((tmp_path / "run" / "checkpoints").glob("step-*.ckpt"))[0]
    code, _, err = project("fit", "--ckpt_path", older, "--run.root", tmp_path / "runs")
    assert code == 0, err
    assert differing(tmp_path / "run", tmp_path / "runs" / "run" / "000") == []
    for _ in range(2):
        code, _, err = project("fit", "--ckpt_path", older, "--run", tmp_path / "named")
        assert code == 0, err
    assert differing(tmp_path / "run", tmp_path / "named") == []


def rates(run: Path) -> list[float]:
    """The logged learning rates."""
    with open(run / "metrics.csv", newline="") as file:
        return [float(row["lr"]) for row in csv.DictReader(file) if row["lr"]]
