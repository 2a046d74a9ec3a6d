"""Imports go down only: commands -> cli -> runs, tasks, data -> networks, training -> spec, errors, randomness."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "project"
BOTTOM = {"spec", "errors", "randomness"}
# room -> the rooms it may import
ALLOWED = {
    "commands": {"studies", "sweeps", "reports", "cli", "registry", "errors"},
    "reports": {"registry", "cli", "runs", "tasks", "data", "networks", "training", *BOTTOM},
    "sweeps": {"reports", "cli", "runs", *BOTTOM},
    "studies": {"cli", "runs", "tasks", "data", "training", *BOTTOM},
    "cli": {"registry", "runs", "tasks", "data", "networks", "training", *BOTTOM},
    "runs": {"training", *BOTTOM},
    "tasks": {"networks", "training", "runs.internals", *BOTTOM},
    "data": BOTTOM,
    "networks": BOTTOM,
    "training": BOTTOM,
    "registry": set(),
    "spec": set(),
    "errors": set(),
    "randomness": set(),
}
PARSING = {"argparse", "jsonargparse"}
FILES = sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Every module a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path: Path) -> None:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    room = parts[0]
    if room in ("__init__", "__main__"):
        return
    inside = {name.removeprefix("project.") for name in imports(path) if name.startswith("project.")}
    wrong = {
        name
        for name in inside
        if name.split(".")[0] != room and not any(name == ok or name.startswith(f"{ok}.") for ok in ALLOWED[room])
    }
    assert not wrong, f"{room} may import {sorted(ALLOWED[room])}"


@pytest.mark.parametrize("room", ["networks", "training"])
def test_what_a_fork_edits_first_knows_no_lightning(room: str) -> None:
    for path in (PACKAGE / room).glob("*.py"):
        assert not any(name.startswith("lightning") for name in imports(path)), path


@pytest.mark.parametrize("room", ["runs", "tasks", "networks", "training"])
def test_only_the_command_line_parses_arguments(room: str) -> None:
    for path in (PACKAGE / room).glob("*.py"):
        assert not imports(path) & PARSING, path


def test_files_tell_one_story() -> None:
    long = {str(path.relative_to(PACKAGE)): n for path in FILES if (n := len(path.read_text().splitlines())) > 400}
    assert not long


@pytest.mark.parametrize(
    "words", ["--help", "list", "list networks", "fit --help", "report --help", "compare --help", "show --help", "ftt"]
)
def test_help_and_lists_answer_without_torch(words: str) -> None:
    code = f"import sys; from project.__main__ import main; main({words.split()!r}); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_torch_load_stands_in_one_place_and_loads_weights_only() -> None:
    for path in FILES:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if "torch.load(" in line:
                assert "weights_only=True" in line, f"{path}:{number}"
            assert "load_from_checkpoint(" not in line, f"{path}:{number}"
