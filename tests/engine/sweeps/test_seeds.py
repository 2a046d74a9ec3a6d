"""`fit --seeds N` trains with each seed, continues what was stopped, and says mean and interval."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from project.engine.reports.run import Run
from tests.conftest import Project

TINY = (
    "--name tiny --data.size 8 --model.net MLP --trainer.max_epochs 1 --run.threads 1 "
    "--run.tensorboard false --run.report false --trainer.limit_train_batches 5"
)


def test_each_seed_is_a_run_and_the_mean_is_theirs(project: Project) -> None:
    code, out, err = project(f"fit --seeds 3 --seed_everything 5 {TINY}")
    assert (code, err) == (0, "")
    folders = sorted(Path("runs/tiny/seeds-3").glob("[0-9]*"))
    runs = [Run(folder) for folder in folders]
    assert [run.seed for run in runs] == [5, 6, 7]
    values = [float(run.metric("val/accuracy") or 0) for run in runs]
    found = re.search(r"val/accuracy +(\S+) +\+- (\S+) +(\S+) +(\S+)", out)
    assert found
    mean, half, low, high = map(float, found.groups())
    assert mean == pytest.approx(np.mean(values), abs=1e-4)
    assert (low, high) == pytest.approx((min(values), max(values)), abs=1e-4)
    assert half == pytest.approx(4.3027 * np.std(values, ddof=1) / 3**0.5, abs=2e-4)
    # a run of one seed is the same as by hand, and the same command trains nothing anew
    assert project(f"fit --seed_everything 6 --run alone {TINY}")[0] == 0
    assert Path("alone/metrics.csv").read_bytes() == (folders[1] / "metrics.csv").read_bytes()
    times = [path.stat().st_mtime_ns for path in Path("runs").rglob("metrics.csv")]
    assert project(f"fit --seeds 3 --seed_everything 5 {TINY}")[1].count("val/accuracy") >= 1
    assert [path.stat().st_mtime_ns for path in Path("runs").rglob("metrics.csv")] == times


MISTAKES = {
    "--seeds 1": "--seeds 1: expected a whole number of 2 or more",
    "--seeds many": "--seeds many: expected a whole number",
    "--workers 2": "--workers is for --seeds N",
    "--seeds 3 --run r": "--run is of one run, and --seeds trains 3",
    "--seeds 3 --weights r": "--weights is of one run",
    "--seeds 3 --workers two": "--workers: expected a whole number above 0, got 'two'",
    "--seeds 3 --model.net Lenet": "did you mean LeNet",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_one_line(words: str, project: Project) -> None:
    code, _, err = project("fit", words)
    assert (code, err.count("\n")) == (2, 1) and MISTAKES[words] in err, err
    assert not Path("runs").exists()
