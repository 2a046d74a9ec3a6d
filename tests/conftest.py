"""What every test shares; the command line that runs in this process comes with the engine."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from project.engine import registry
from project.engine.testing import *  # noqa: F403 - fixtures are found by their names here
from project.engine.testing import REPOSITORY

STAND_INS = "Numbers YesNo YesNoLabels Counts ImagesAndNumbers Bars".split()
HAS_LESSONS = (REPOSITORY / "project" / "lessons").is_dir()
OF_THE_LESSONS = re.compile(
    r"\b(Plane|FourPoints|Parabola|DigitStrings|DigitSums|SmallCNN|HandMade|Matrices|PlainSGD)\b"
    "|lessons/"
)

LONGEST = ("tests/template/", "tests/engine/runs/", "tests/engine/forking/")  # of the test files

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
    """Mark what guards the template alone, leave out rows of lessons that a fork has deleted, and
    begin with what takes longest, so that at the end no process works alone on it.
    """
    for item in items:
        if "tests/template/" in item.path.as_posix():
            item.add_marker("template")
    params = {item: getattr(getattr(item, "callspec", None), "params", None) for item in items}
    left_out = [item for item in items if not available(params[item])]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
    items.sort(key=lambda item: not any(part in item.path.as_posix() for part in LONGEST))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoded images are not written into the user's cache."""
    monkeypatch.setattr("project.data.files.user_folder", lambda: tmp_path / "cache")


@pytest.fixture(autouse=True)
def no_pages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page costs a second, so that only the tests of pages write them."""
    if "tests/engine/reports" not in request.path.as_posix():
        for command in ("fit", "evaluate"):
            monkeypatch.setattr(
                f"project.engine.commands.{command}.write_page", lambda folder: None
            )
