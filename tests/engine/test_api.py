"""A run from Python is the run of the command, bit for bit, and leaves nothing of itself behind."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

import project as package
from project.engine.errors import UserError
from tests.conftest import Project
from tests.engine.runs.equal import differing

CONFIG = """
data: {class_path: Digits, init_args: {size: 8, batch_size: 128}}
model:
  class_path: Classification
  init_args: {net: {class_path: MLP, init_args: {hidden: [8], dropout: 0.1}}}
trainer: {max_epochs: 1}
run: {threads: 1, tensorboard: false, report: false}
"""


@pytest.fixture(autouse=True)
def config(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(CONFIG)


def surroundings() -> tuple[object, ...]:
    return (
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.get_rng_state().tolist(),
        random.getstate(),
        np.random.get_state()[1].tolist(),  # type: ignore[index]
        dict(os.environ),
        signal.getsignal(signal.SIGTERM),
    )


def test_it_does_what_the_command_does(project: Project, tmp_path: Path) -> None:
    run = package.fit("small.yaml", {"trainer.max_epochs": 2, "model.net.hidden": [6]}, run="here")
    words = "fit --config small.yaml --trainer.max_epochs 2 --model.net.hidden [6] --run there"
    assert project(words)[0] == 0
    assert differing(tmp_path / "here", tmp_path / "there") == []
    assert run.path == Path("here") and run.results["steps"] == 20
    metrics = run.test()
    assert metrics["test/accuracy"] == run.results["test"]["test/accuracy"]
    assert run.validate()["val/loss"] == pytest.approx(run.results["best"]["metrics"]["val/loss"])
    assert not run.task.training and run.report().is_file()


@pytest.mark.slow
def test_a_second_call_continues(tmp_path: Path) -> None:
    package.fit("small.yaml", run="run")
    package.fit("small.yaml", {"trainer.max_epochs": 3}, run="run")
    package.fit("small.yaml", {"trainer.max_epochs": 3}, run="whole")
    parts = differing(tmp_path / "run", tmp_path / "whole")
    assert [part for part in parts if part != "loops"] == []


@pytest.mark.slow
def test_three_runs_leave_nothing_behind() -> None:
    before = surroundings()
    for number in range(3):
        package.fit("small.yaml", {"trainer.deterministic": True, "trainer.precision": "64-true"})
        assert surroundings() == before, number
    assert sorted(path.name for path in Path("runs/small").iterdir()) == ["000", "001", "002"]


def test_a_mistake_is_an_exception_and_leaves_no_folder() -> None:
    with pytest.raises(UserError, match="no such argument") as caught:
        package.fit("small.yaml", {"model.net.hiden": [3]})
    assert caught.value.on_command_line().startswith("--model.net.hiden: MLP has no such argument")
    assert not Path("runs").exists()


def test_own_callbacks_take_part() -> None:
    from lightning.pytorch.callbacks import Callback

    class Steps(Callback):
        count = 0

        def on_train_batch_end(self, *_: object) -> None:
            self.count += 1

    steps = Steps()
    package.fit("small.yaml", callbacks=[steps])
    assert steps.count == 10
