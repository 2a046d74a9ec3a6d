"""A run that is continued from any of its checkpoints equals the run that was never stopped."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from project.engine.runs import checkpoints
from tests.conftest import Project
from tests.engine.runs.equal import differing
from tests.engine.runs.settings import MLP, SETTINGS, TINY, command

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
    code, _, err = project(command(setting), "--run", whole)
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
