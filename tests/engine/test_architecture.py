"""Imports go down only: engine <- training, networks, data, tasks <- lessons; and inside the engine
from commands to spec.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import project as package

PACKAGE = Path(package.__file__).parent
GROUND = {
    "spec",
    "targets",
    "formats",
    "errors",
    "locks",
    "ranks",
    "randomness",
    "registry",
    "torch_names",
}
LOWER = {"loading", "building", *GROUND}
MIDDLE = {"bases", "runs", *LOWER}
UPPER = {"cli", *MIDDLE}
# room -> the rooms it may import; what is not here, a fork's own module, may import what it likes
ROOMS = {
    "engine": set[str](),
    "training": {"engine"},
    "networks": {"engine"},
    "data": {"engine"},
    "tasks": {"engine", "networks", "training"},
    "lessons": {"engine", "networks", "training", "data", "tasks"},
}
ENGINE = {
    "formats": set[str](),
    "spec": {"formats"},
    "targets": {"formats", "spec"},
    "errors": set[str](),
    "locks": set[str](),
    "ranks": set[str](),
    "randomness": set[str](),
    "torch_names": set[str](),
    "registry": {"errors", "torch_names"},
    "loading": GROUND,
    "building": GROUND,
    "runs": LOWER,
    "bases": LOWER,
    "cli": {"commands", *MIDDLE},  # of the commands only their table
    "studies": UPPER,
    "sweeps": {"reports", *UPPER},
    "reports": UPPER,
    "forking": UPPER,
    "shipping": UPPER,
    "api": {"commands", "reports", *UPPER},
    "testing": {"registry"},
    "commands": {"studies", "sweeps", "reports", "forking", "shipping", *UPPER},
}
FILES = sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Every module a file imports, wherever in it, from the package's own root: `engine.spec`,
    `torch.nn`.
    """
    found = set()
    here = path.relative_to(PACKAGE).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = ".".join(
                (*here[: len(here) - node.level + 1], *([node.module] if node.module else []))
            )
            found |= (
                {f"{base}.{alias.name}".lstrip(".") for alias in node.names}
                if not node.module
                else {base}
            )
        elif (
            node_module := getattr(node, "module", None)
            if isinstance(node, ast.ImportFrom)
            else None
        ):
            found.add(node_module.removeprefix(f"{package.__name__}."))
    return found


def wrong(inside: set[str], room: str, allowed: set[str], rooms: dict[str, set[str]]) -> set[str]:
    """The imports that no room of this name may have."""
    known = {name for name in inside if name.split(".")[0] in rooms and name.split(".")[0] != room}
    return {
        name for name in known if not any(name == ok or name.startswith(f"{ok}.") for ok in allowed)
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path: Path) -> None:
    room, *below = path.relative_to(PACKAGE).with_suffix("").parts
    if room not in ROOMS:
        return
    found = imports(path)
    assert not wrong(found, room, ROOMS[room], ROOMS), f"{room} may import {sorted(ROOMS[room])}"
    if room == "engine" and below[0] in ENGINE:
        inside = {name.removeprefix("engine.") for name in found if name.startswith("engine.")}
        assert not wrong(inside, below[0], ENGINE[below[0]], ENGINE), (
            f"{below[0]} may import {sorted(ENGINE[below[0]])}"
        )


def test_every_room_of_the_engine_has_its_place() -> None:
    rooms = {
        path.stem
        for path in (PACKAGE / "engine").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert rooms - {"__init__"} == set(ENGINE)


@pytest.mark.parametrize(
    "path", [path for path in FILES if "engine" in path.parts], ids=lambda path: path.name
)
def test_the_engine_stands_alone(path: Path) -> None:
    """It says the package's name nowhere, so that the folder can be renamed, and a later engine
    still fits.
    """
    absolute = [name for name in imports(path) if name.split(".")[0] == package.__name__]
    assert not absolute
    text = path.read_text().replace("[tool.project]", "")  # a table's name, whatever the package's
    name = package.__name__
    assert not re.findall(rf"""(-m |import |from |["'/]){name}\b|\b{name}[./][a-z_]""", text)


@pytest.mark.parametrize("room", ["networks", "training"])
def test_what_a_fork_edits_first_knows_no_lightning(room: str) -> None:
    for path in (PACKAGE / room).glob("*.py"):
        assert not any(name.startswith("lightning") for name in imports(path)), path


@pytest.mark.parametrize("room", ["engine/runs", "tasks", "networks", "training", "lessons"])
def test_only_the_command_line_parses_arguments(room: str) -> None:
    for path in (PACKAGE / room).glob("*.py"):
        parsers = {
            name for name in imports(path) if name.split(".")[0] in ("argparse", "jsonargparse")
        }
        assert parsers <= {"jsonargparse.typing"}, path


def test_files_tell_one_story() -> None:
    long = {
        str(path.relative_to(PACKAGE)): n
        for path in FILES
        if (n := len(path.read_text().splitlines())) > 460
    }
    assert not long


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "list",
        "list networks",
        "fit --help",
        "report --help",
        "compare --help",
        "show --help",
        "ftt",
    ],
)
def test_help_and_lists_answer_without_torch(words: str) -> None:
    code = (
        f"import sys; from project.__main__ import main; main({words.split()!r}); assert 'torch' "
        "not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_torch_load_stands_in_one_place_and_loads_weights_only() -> None:
    for path in FILES:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if "torch.load(" in line:
                assert "weights_only=True" in line, f"{path}:{number}"
            assert "load_from_checkpoint(" not in line, f"{path}:{number}"


@pytest.mark.parametrize(
    "room",
    ["data", "networks", "tasks", "training", "lessons", "engine/bases", "engine/building"]
    + ["engine/loading"],
)
def test_the_ground_floor_spells_no_option(room: str) -> None:
    """A mistake names a setting by its key; the command line alone knows that as an option."""
    for path in (PACKAGE / room).glob("*.py"):
        assert not re.findall(r"--(?:data|model|trainer|run)\b", path.read_text()), path
