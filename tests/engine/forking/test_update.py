"""A later version of the template reaches a fork with the fork's own changes kept, whole or not."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.engine.forking.test_new import git, run

pytestmark = pytest.mark.slow

UPDATE = (
    "from pathlib import Path; from birds.engine.forking.update import update; "
    "print(*update(Path({!r}), {}).lines(), sep='\\n')"
)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, path
    path.write_text(text.replace(old, new))


def checkout(target: Path) -> Path:
    """The template as it is now, committed or not, as a repository of its own."""
    names = git(REPOSITORY, "ls-files", "-co", "--exclude-standard").splitlines()
    for name in names:
        if (REPOSITORY / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, target / name)
    git(target, "init", "-q")
    git(target, "add", "-A")
    git(target, "commit", "-q", "-m", "first")
    return target


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "more")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A fork with changes of its own, and the template, which has gone on."""
    folder = tmp_path_factory.mktemp("update")
    template = checkout(folder / "template")
    run(template, "-m", "project", "new", str(folder / "birds"))
    birds = folder / "birds"
    # what the fork does
    run(birds, "-m", "birds", "new", "network", "Hawk")
    edit(
        birds / "birds/networks/lenet.py", "class LeNet(Network):", "class LeNet(Network):  # ours"
    )
    (birds / "configs/wine.yaml").unlink()
    (birds / "README.md").write_text("# birds\n")
    (birds / "pyproject.toml").write_text(
        (birds / "pyproject.toml")
        .read_text()
        .replace("[tool.ruff]", "[tool.birds]\nours = 1\n\n[tool.ruff]")
    )
    commit(birds)
    # what the template does, in engine, rooms, configs and tests at once
    table = template / "project/networks/__init__.py"
    edit(table, '"""Plain torch networks.', '"""Networks in plain torch.')
    text = (template / "project/networks/lenet.py").read_text()
    (template / "project/networks/lenet.py").write_text(f"{text}\n# a later line\n")
    (template / "project/engine/later.py").write_text('"""New in the engine."""\n')
    (template / "project/engine/flying").mkdir()
    (template / "project/engine/flying/__init__.py").write_text('"""A new room."""\n')
    (template / "configs/later.yaml").write_text("trainer: {max_epochs: 1}\n")
    (template / "docs/sweeps.md").unlink()
    edit(template / "project/__init__.py", '__version__ = "', '__version__ = "9.')
    with open(template / "configs/wine.yaml", "a") as file:
        file.write("# later\n")
    commit(template)
    return birds, template


def clone(birds: Path, target: Path) -> Path:
    git(birds, "clone", "-q", str(birds), str(target))
    return target


def tree(folder: Path) -> str:
    """A digest of all that is in a folder but git's own and what Python makes."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not {".git", "__pycache__"} & {*parts}:
            whole.update("/".join(parts).encode() + path.read_bytes())
    return whole.hexdigest()


def test_both_changes_are_there_afterwards(places: tuple[Path, Path], tmp_path: Path) -> None:
    birds, template = clone(places[0], tmp_path / "birds"), places[1]
    before = tree(birds)
    out = run(birds, "-c", UPDATE.format(str(template), True))
    assert "merged" in out and "conflicts" not in out and tree(birds) == before
    run(birds, "-c", UPDATE.format(str(template), False))
    lenet = (birds / "birds/networks/lenet.py").read_text()
    assert "# ours" in lenet and "# a later line" in lenet
    table = (birds / "birds/networks/__init__.py").read_text()
    assert "Networks in plain torch." in table and '"Hawk"' in table
    assert (birds / "birds/engine/later.py").exists() and (birds / "configs/later.yaml").exists()
    assert (birds / "birds/engine/flying/__init__.py").exists()
    assert not (birds / "configs/wine.yaml").exists(), "what the fork deleted stays deleted"
    assert not (birds / "docs/sweeps.md").exists(), "what the template deleted goes"
    assert (birds / "README.md").read_text() == "# birds\n"
    toml = (birds / "pyproject.toml").read_text()
    assert "ours = 1" in toml and 'version = "9.' in toml and 'name = "birds"' in toml
    assert not (birds / ".update").exists() and not (birds / "birds/.update-new").exists()
    commit(birds)
    assert run(birds, "-c", UPDATE.format(str(template), False)).strip() == ""
    run(birds, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "tests/networks")


def test_lines_that_both_changed_are_named_and_nothing_is_done(
    places: tuple[Path, Path], tmp_path: Path
) -> None:
    birds, template = clone(places[0], tmp_path / "birds"), places[1]
    edit(birds / "birds/networks/__init__.py", '"""Plain torch', '"""My torch')
    commit(birds)
    before = tree(birds)
    done = subprocess.run(
        [sys.executable, "-m", "birds", "update", "--from", str(template)],
        cwd=birds,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "birds/networks/__init__.py; nothing is changed" in done.stderr
    assert tree(birds) == before


def test_killed_at_any_moment_a_fork_is_as_before_or_updated(
    places: tuple[Path, Path], tmp_path: Path
) -> None:
    birds, template = clone(places[0], tmp_path / "birds"), places[1]
    whole = clone(places[0], tmp_path / "whole")
    before, began = tree(birds), time.monotonic()
    run(whole, "-c", UPDATE.format(str(template), False))
    seconds, after = time.monotonic() - began, tree(whole)
    draw, ends = random.Random(0), set()
    for _ in range(20):
        process = subprocess.Popen(
            [sys.executable, "-c", UPDATE.format(str(template), False)],
            cwd=birds,
            env=os.environ | {"PYTHONPATH": str(birds)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(draw.uniform(0.4, 1.0) * seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        run(birds, "-m", "birds", "list")  # any command finishes or clears away
        ends.add(found := tree(birds))
        assert found in (before, after)
        if found == after:
            git(birds, "checkout", "-q", ".")
            git(birds, "clean", "-qfd")
    assert before in ends
