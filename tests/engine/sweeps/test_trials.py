"""A trial of a sweep is a run like any other: equal to `fit` bit for bit, whatever ran before it in
its process.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Project
from tests.engine.runs.equal import differing

TINY = (
    "--data.size 12 --data.batch_size 16 --run.report false --trainer.max_epochs 2 --trainer.limit_train_batches 3 "
    "--trainer.limit_val_batches 2 "
    "--run.tensorboard false --run.threads 1"
)


def trials(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("[0-9]*/run.json"))


# What a trial may leave behind in its process, and what the next must not feel of it.
SPACES = {
    "numbers": "--space.model.optimizer.lr [0.1,0.01] --space.model.net.dropout [0,0.5]",
    "classes": "--space.model.optimizer [SGD,AdamW] --space.model.net [MLP,LeNet]",
    "seeds": "--space.seed_everything [3,4] --space.data.shuffle [true,false]",
    "process": "--space.trainer.deterministic [true,null] --space.trainer.precision "
    "[bf16-mixed,32-true]",
}


@pytest.mark.parametrize(
    "space",
    [
        pytest.param("numbers", marks=pytest.mark.slow),
        pytest.param("classes", marks=pytest.mark.slow),
        pytest.param("seeds", marks=pytest.mark.slow),
        pytest.param("process", marks=pytest.mark.slow),
    ],
)
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
        assert (run / "predictions-val.npz").read_bytes() == (
            again / "predictions-val.npz"
        ).read_bytes()


@pytest.mark.slow
def test_a_signal_that_ends_the_loader_too_is_an_interruption(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scheduler tells every process of a job to stop, and a reading process that is gone raises
    an error.
    """
    from project.tasks.classification import Classification

    step = Classification.training_step

    def signalled(self: Any, batch: Any, batch_idx: int) -> Any:
        if batch_idx == 1 and not Path("told").exists():
            Path("told").touch()
            for child in (
                Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
            ):
                os.kill(int(child), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.2)
            raise RuntimeError("DataLoader worker is killed by signal: Terminated.")
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Classification, "training_step", signalled)
    words = (
        "sweep --name s --space.model.optimizer.lr [0.1] --data.num_workers 1 --run.report false"
    )
    assert project(words, TINY)[0] == 128 + signal.SIGTERM
    code, _, err = project(words, TINY)
    assert (code, err) == (0, "")
    assert [
        row["state"] for row in json.loads(Path("runs/s/results.json").read_text())["trials"]
    ] == ["complete"]
