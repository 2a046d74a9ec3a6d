"""What every test shares: a command line that runs in this process, in an empty folder, on one
thread.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from project.__main__ import main
from project.engine import registry

STAND_INS = "Numbers YesNo YesNoLabels Counts ImagesAndNumbers Bars".split()

Project = Callable[..., tuple[int, str, str]]
REPOSITORY = Path(__file__).parent.parent
HAS_LESSONS = (REPOSITORY / "project" / "lessons").is_dir()
OF_THE_LESSONS = re.compile(
    r"\b(Plane|FourPoints|Parabola|DigitStrings|DigitSums|SmallCNN|HandMade|Matrices|PlainSGD)\b"
    "|lessons/"
)

READ_TRUST = registry.trusted.__wrapped__
# The data that stand in are named as those of a fork's own package.
registry.trusted = lambda: ("tests",)  # type: ignore[assignment]
registry.add(data={name: (f"tests.stand_ins.{name}", "stands in") for name in STAND_INS})


def available(row: object) -> bool:
    """Whether a row of a table needs no lesson, or the lessons are there."""
    return HAS_LESSONS or not OF_THE_LESSONS.search(repr(row))


def the_rest_slow(rows: Iterable[str], *first: str) -> list[Any]:
    """Rows of a table of which only `first` belong to the short suite; `pytest -m ""` has all."""
    return [row if row in first else pytest.param(row, marks=pytest.mark.slow) for row in rows]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what guards the template alone; leave out rows of lessons that a fork has deleted."""
    for item in items:
        if "tests/template/" in item.path.as_posix():
            item.add_marker("template")
    params = {item: getattr(getattr(item, "callspec", None), "params", None) for item in items}
    left_out = [item for item in items if not available(params[item])]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test works in a folder of its own, so that nothing is written into the repository or the
    user's cache.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("project.data.folders.user_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    return tmp_path


@pytest.fixture(autouse=True)
def no_pages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page costs a second, so that only the tests of pages write them."""
    if "tests/engine/reports" not in request.path.as_posix():
        for command in ("fit", "evaluate"):
            monkeypatch.setattr(
                f"project.engine.commands.{command}.write_page", lambda folder: None
            )


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def project(capfd: pytest.CaptureFixture[str]) -> Project:
    """Run a command line; returns exit code, stdout and stderr.

    Words are split at spaces; a list is taken as it is.
    """

    def run(*words: object) -> tuple[int, str, str]:
        argv: list[str] = []
        for word in words:
            argv += (
                word.split()
                if isinstance(word, str)
                else word
                if isinstance(word, list)
                else [str(word)]
            )
        capfd.readouterr()
        try:
            code = main(argv)
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capfd.readouterr()
        return code, out, err

    return run


def pytest_configure() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
