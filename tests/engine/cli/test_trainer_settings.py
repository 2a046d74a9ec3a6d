"""What Lightning takes and then stumbles over is one line before training; what it can do works."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import yaml

from tests.conftest import Project

SHORT = "--data.size 8 --run.report false --run.tensorboard false --run.threads 1 --run run"
ONE = f"{SHORT} --trainer.max_epochs 1 --trainer.limit_train_batches 2"
STOPPING = "--trainer.callbacks+ EarlyStopping --trainer.callbacks+.monitor val/loss"

# options -> what the one line says
REFUSED = {
    "--trainer.log_every_n_steps 0": "--trainer.log_every_n_steps 0: expected a number above 0",
    "--trainer.accumulate_grad_batches 0": "accumulate_grad_batches 0: expected a number above 0",
    "--trainer.check_val_every_n_epoch 0": "check_val_every_n_epoch 0: expected a number above 0",
    "--trainer.val_check_interval 0": "--trainer.val_check_interval 0: expected a number above 0",
    "--trainer.devices 0": "--trainer.devices 0: expected a number of devices, auto, or -1 for all",
    "--trainer.strategy ddp_spawn": "--trainer.strategy ddp_spawn: its processes hand nothing back",
    "--trainer.strategy ddp_fork": "--trainer.strategy ddp_fork: its processes hand nothing back",
    "--trainer.strategy ddp_notebook": "ddp_notebook: its processes hand nothing back",
    "--trainer.strategy DDPStrategy --trainer.strategy.start_method fork": "--trainer.strategy fork",
    "--trainer.callbacks LearningRateFinder": "python -m project lr-find finds them before it",
    "--trainer.callbacks BatchSizeFinder": "python -m project batch-size finds them before it",
    "--trainer.callbacks.monitor val/loss": "of which callback? Name it first, in the same command",
    "--trainer.callbacks+ EarlyStopping": "EarlyStopping needs monitor",
    "--trainer.logger CSVLogger": "--trainer.logger: CSVLogger needs save_dir",
    f"--trainer.limit_val_batches 0 {STOPPING}": "without validation nothing reports 'val/loss'",
    f"--data.validation 0 {STOPPING}": "without validation nothing reports 'val/loss'",
    "--model.positive [yes]": "--model.positive: unknown class 'yes'",
    "--model.positive [010]": "--model.positive: unknown class '010'",
}


@pytest.mark.parametrize("options", REFUSED)
def test_a_setting_that_cannot_work_is_one_line_before_training(
    options: str, project: Project
) -> None:
    code, _, err = project("fit", ONE, options)
    assert (code, err.count("\n")) == (2, 1) and REFUSED[options] in err
    assert not Path("run").exists()


def test_a_run_without_an_end_is_refused(project: Project) -> None:
    code, _, err = project("fit", SHORT, "--trainer.max_epochs null")
    assert (code, err) == (
        2,
        "error: --trainer.max_epochs null: expected a number; -1 trains until stopped\n",
    )


# options -> the callbacks, loggers or augmentations of the config, each with some arguments
TAKEN = {
    STOPPING: ("trainer.callbacks", [("EarlyStopping", {"monitor": "val/loss"})]),
    f"{STOPPING} --trainer.callbacks+.patience 7 --trainer.callbacks+ Timer": (
        "trainer.callbacks",
        [("EarlyStopping", {"monitor": "val/loss", "patience": 7}), ("Timer", {})],
    ),
    "--trainer.callbacks EarlyStopping --trainer.callbacks.monitor val/loss": (
        "trainer.callbacks",
        [("EarlyStopping", {"monitor": "val/loss"})],
    ),
    "--trainer.callbacks StochasticWeightAveraging --trainer.callbacks.swa_lrs 0.1": (
        "trainer.callbacks",
        [("StochasticWeightAveraging", {"swa_lrs": 0.1})],
    ),
    "--trainer.logger CSVLogger --trainer.logger.save_dir logs": (
        "trainer.logger",
        [("CSVLogger", {"save_dir": "logs"})],
    ),
    "--data.augment Crop --data.augment.padding 1": ("data.augment", [("Crop", {"padding": 1})]),
}


@pytest.mark.parametrize("options", TAKEN)
def test_a_class_of_a_list_takes_its_arguments_one_by_one(options: str, project: Project) -> None:
    code, _, err = project("fit", ONE, options)
    assert (code, err) == (0, "")
    key, expected = TAKEN[options]
    group, name = key.split(".")
    tree = yaml.safe_load(Path("run/config.yaml").read_text())[group]
    found = (tree.get("init_args") or tree)[name]
    assert [one["class_path"].rpartition(".")[2] for one in found] == [n for n, _ in expected]
    for one, (_, arguments) in zip(found, expected, strict=True):
        assert arguments.items() <= one.get("init_args", {}).items()


def test_all_samples_are_trained_on_where_none_validate(project: Project) -> None:
    assert project("fit", ONE, "--data.validation 0 --data.test 0")[0] == 0
    about = json.loads(Path("run/run.json").read_text())
    assert about["data"]["train"]["samples"] == 1797 and set(about["data"]) == {"train"}
    assert not Path("run/checkpoints/best.ckpt").exists()
    assert project("test --ckpt_path run")[0] == 2, "there is nothing to test on"


def test_a_metric_of_training_can_choose_the_best(project: Project) -> None:
    code, _, err = project("fit", SHORT, "--trainer.max_epochs 3 --model.monitor train/loss")
    assert (code, err) == (0, "")
    best = json.loads(Path("run/results.json").read_text())["best"]
    with open("run/epochs.csv", newline="") as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file)]
    assert best["value"] == pytest.approx(min(losses))


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ("", 2),
        ("--data.drop_last true", 0),
        ("--data.batch_size 60", 0),
        ("--data.batch_size 1", 2),
    ],
)
def test_batch_norm_is_never_given_a_single_sample(
    options: str, code: int, project: Project
) -> None:
    rows = "".join(f"{i % 7},{i % 5},{i / 10}\n" for i in range(93))  # 65 of them train
    Path("t.csv").write_text("x,y,target\n" + rows)
    words = (
        "fit --data CSVTable --data.root . --data.file t.csv --data.validation 0.2 --data.test 0.1 "
        "--model Regression --model.net MLP --model.net.batch_norm true --trainer.max_epochs 1 "
        "--run.report false --run.tensorboard false --run run"
    )
    found, _, err = project(words, options)
    assert found == code, err
    if code:
        assert err.count("\n") == 1 and "batch norm cannot normalise" in err


def test_a_network_that_normalises_pixels_takes_a_single_sample(project: Project) -> None:
    words = "--model.net ResNet --data.size 16 --data.batch_size 1"
    assert project("fit", ONE.replace("--data.size 8", ""), words)[0] == 0
