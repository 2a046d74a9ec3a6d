"""A trial of a sweep is a run like any other: equal to `fit` bit for bit, whatever ran before it in its process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.runs.equal import differing

TINY = (
    "--data.size 12 --trainer.max_epochs 2 --trainer.limit_train_batches 3 --trainer.limit_val_batches 2 "
    "--run.tensorboard false --run.threads 1"
)


def trials(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("[0-9]*/run.json"))


# What a trial may leave behind in its process, and what the next must not feel of it.
SPACES = {
    "numbers": "--space.model.optimizer.lr [0.1,0.01] --space.model.net.dropout [0,0.5]",
    "classes": "--space.model.optimizer [SGD,AdamW] --space.model.net [MLP,LeNet]",
    "seeds": "--space.seed_everything [3,4] --space.data.shuffle [true,false]",
    "process": "--space.trainer.deterministic [true,null] --space.trainer.precision [bf16-mixed,32-true]",
}


@pytest.mark.parametrize("space", SPACES)
def test_a_trial_equals_fit_with_the_same_options(space: str, project: Project) -> None:
    code, out, err = project("sweep --name s", SPACES[space], TINY)
    assert (code, err) == (0, ""), out
    found = trials(Path("runs/s"))
    assert len(found) == 4
    for run in reversed(found):
        command = json.loads((run / "run.json").read_text())["command"].split(" ")[3:]
        code, _, err = project(command, f"--run again/{run.name}")
        assert code == 0, err
        again = Path("again") / run.name
        assert differing(run, again) == []
        assert (run / "predictions-val.npz").read_bytes() == (again / "predictions-val.npz").read_bytes()
