"""A run folder that version 0.1.0 wrote is read; it is not continued, and says so in one line."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest

import project as package
from tests.conftest import HAS_LESSONS, Project

ARCHIVE = Path(__file__).with_name("runs-0.1.0.tar.gz")
# by_path names an optimizer and a callback by paths that have moved since; plane is of the lessons.
RUNS = ["digits", *(["by_path", "plane"] if HAS_LESSONS else [])]


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "earlier"


@pytest.mark.parametrize("run", RUNS)
def test_a_run_of_an_earlier_version_is_tested_and_predicted(
    run: str, earlier: Path, project: Project
) -> None:
    code, out, err = project("test --run.report true --ckpt_path", earlier / run)
    assert (code, err) == (0, "") and "test/loss" in out
    code, out, err = project("predict --ckpt_path", earlier / run)
    assert (code, err) == (0, "") and "predictions.csv" in out


@pytest.mark.slow
@pytest.mark.parametrize("run", RUNS)
def test_it_is_shown_compared_and_loaded(run: str, earlier: Path, project: Project) -> None:
    code, out, err = project("report", earlier / run)
    assert (code, err) == (0, "") and (earlier / run / "report.html").stat().st_size > 50_000, out
    other = shutil.copytree(earlier / run, earlier / "other")
    code, _, err = project("report", earlier / run, other)
    assert (code, err) == (0, "")
    code, _, err = project("compare", earlier / run, other)
    assert (code, err) == (0, "")
    task = package.load(earlier / run)
    assert not task.training and task.spec is not None and task.preprocessing["spec"]


@pytest.mark.parametrize("run", RUNS)
def test_it_is_not_continued_but_its_weights_are_taken(
    run: str, earlier: Path, project: Project
) -> None:
    before = {path: path.read_bytes() for path in earlier.rglob("*") if path.is_file()}
    code, _, err = project("fit --run", earlier / run, "--trainer.max_epochs 3")
    assert code == 2 and err.count("\n") == 1
    assert "version 0.1.0 wrote it" in err and "--weights" in err
    assert {path: path.read_bytes() for path in before} == before
    words = "--model Regression --data Numbers" if run == "plane" else "--data.size 8"
    net = "--model.net MLP --model.net.hidden " + ("[]" if run == "plane" else "[8]")
    code, out, err = project(
        f"fit {words} {net} --trainer.max_epochs 1 --run.threads 1 --run new --weights",
        earlier / run,
    )
    assert (code, err) == (0, ""), out
