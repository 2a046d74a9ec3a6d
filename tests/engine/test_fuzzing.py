"""The fuzzing scripts find nothing in a few tries; their own command lines try as many as asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.cli import lines, options
from tests.engine.runs.damage import damage

pytestmark = pytest.mark.slow


def test_odd_values_of_options_end_in_one_line(tmp_path: Path) -> None:
    assert options.check(0.01, 0, tmp_path)


def test_wrong_command_lines_end_in_one_line_and_leave_nothing(tmp_path: Path) -> None:
    assert lines.check(12, 3, tmp_path)


def test_damaged_files_end_in_one_line_or_change_nothing(tmp_path: Path) -> None:
    assert damage(15, 1, tmp_path)
