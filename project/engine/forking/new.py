"""A new project from this one, and this one under another name."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from ..errors import UserError
from ..registry import PACKAGE, VERSION
from .codemod import check_name, in_engine, is_text, renamed

ROOT = Path(__file__).parents[3]
MANIFEST = "engine.json"  # beside the engine: what each file was when it came
# What guards or tells of the template itself, and is no fork's.
STAYS = ("tests/template/", "tests/golden/", "CHANGELOG.md", "README.md", "docs/losses.png")
LESSONS = ("lessons", "sweeps")  # folders that --minimal leaves out
MINIMAL = ("configs/lenet.yaml", "configs/parts/")  # configs that it keeps
# helpers of the engine's tests that other tests use
HELPERS = (
    "tests/engine/__init__.py",
    "tests/engine/runs/__init__.py",
    "tests/engine/runs/equal.py",
)
README = """# {name}

A PyTorch Lightning project: data x network x task x training, each chosen by one word.

```bash
python3 -m venv .venv && . .venv/bin/activate && pip install -c constraints.txt -e ".[dev]"
python -m {name} fit --config configs/lenet.yaml
```

`pytest` runs the tests. `python -m {name} --help` lists the commands, `python -m {name} list` the
names that a config can use.

| yours | what |
|---|---|
| `{name}/data/` | a file for each dataset |
| `{name}/networks/` | networks, plain `nn.Module`s |
| `{name}/tasks/` | what a batch means: loss, metrics, predictions |
| `{name}/training/` | losses, optimizers, schedules by name |
| `configs/` | a YAML for each experiment |

`{name}/engine/` carries all of it; there is no need to read it. docs/architecture.md shows how.
"""


def make(
    target: Path, name: str | None, minimal: bool, holder: str | None, year: int | None
) -> str:
    """Make a project of its own in a folder that is new or empty; returns its package's name.

    Args:
        target: The folder.
        name: Of the package; None takes the folder's.
        minimal: Leave out the lessons and all configs but the first.
        holder: Of the copyright.
        year: Of the copyright; None is this one.

    Raises:
        UserError: the name is taken, the folder is not empty, or this is no checkout.
    """
    name = name or re.sub(r"\W", "_", target.resolve().name).lower()
    check_name(name)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target}: it is there and not empty; name another folder")
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        for file in _files():
            if _comes_along(file, minimal):
                _copy(file, part, name)
        _finish(part, name, minimal, holder, year or datetime.date.today().year)
        if target.exists():
            target.rmdir()
        os.replace(part, target)
    except OSError as error:
        raise UserError(f"{target}: {error.strerror}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    _first_commit(target, name)
    return name


def rename(name: str) -> None:
    """Give this project another name, in place.

    Raises:
        UserError: the name is taken, or there are changes that are not committed.
    """
    check_name(name)
    if name == PACKAGE:
        raise UserError(f"it is called {name} already")
    if _git(ROOT, "rev-parse", "--git-dir") and (changed := _git(ROOT, "status", "--porcelain")):
        raise UserError(
            f"{len(changed.splitlines())} files are changed and not committed; commit them first, "
            "so that `git checkout .` takes the renaming back"
        )
    for file in _files():
        if is_text(file) and not in_engine(file, PACKAGE):
            path = ROOT / file
            text = path.read_text(encoding="utf-8")
            if (new := renamed(text, file, PACKAGE, name)) != text:
                path.write_text(new, encoding="utf-8")
    (ROOT / PACKAGE).rename(ROOT / name)


def _files() -> Iterator[Path]:
    """The files of this project that git knows, or would; all but what is made, without git."""
    if not (ROOT / "pyproject.toml").is_file():
        raise UserError(f"{ROOT}: no checkout of a project, which has a pyproject.toml")
    listed = _git(ROOT, "ls-files", "-co", "--exclude-standard", "-z")
    if listed:
        yield from (Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file())
        return
    for path in sorted(ROOT.rglob("*")):
        file = path.relative_to(ROOT)
        made = {".venv", ".git", "runs", "data", "__pycache__", "dist", "build"} & {*file.parts[:1]}
        if path.is_file() and not made and "__pycache__" not in file.parts:
            yield file


def _comes_along(file: Path, minimal: bool) -> bool:
    name = file.as_posix()
    if name.startswith(STAYS) or (name.startswith("tests/engine/") and name not in HELPERS):
        return False
    if not minimal:
        return True
    if file.parts[0] == "configs":
        return name.startswith(MINIMAL)
    return not {*LESSONS} & {*file.parts[:-1]} or in_engine(file, PACKAGE)


def _copy(file: Path, target: Path, name: str) -> None:
    parts = (name, *file.parts[1:]) if file.parts[0] == PACKAGE else file.parts
    path = target.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    if is_text(file) and not in_engine(file, PACKAGE):
        text = renamed((ROOT / file).read_text(encoding="utf-8"), file, PACKAGE, name)
        path.write_text(text, encoding="utf-8")
        shutil.copymode(ROOT / file, path)
    else:
        shutil.copy(ROOT / file, path)


def _finish(target: Path, name: str, minimal: bool, holder: str | None, year: int) -> None:
    """What is the new project's alone: README, licence, its origin, and no names of before."""
    (target / "README.md").write_text(README.format(name=name), encoding="utf-8")
    package = target / name / "__init__.py"
    earlier = rf'(?m)^    "{PACKAGE}["./].*\n'  # import paths of this template's own past
    package.write_text(re.sub(earlier, "", package.read_text()), encoding="utf-8")
    licence = target / "LICENSE"
    if licence.is_file():
        line = rf"\g<1>{year} {holder}" if holder else rf"\g<1>{year}\g<2>"
        text = re.sub(r"(Copyright \(c\) )\d+(.*)", line, licence.read_text())
        licence.write_text(text, encoding="utf-8")
    toml = target / "pyproject.toml"
    source = _git(ROOT, "config", "--get", "remote.origin.url") or str(ROOT)
    origin = {"source": source, "version": VERSION[0], "minimal": minimal}
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in origin.items())
    toml.write_text(f"{toml.read_text().rstrip()}\n\n[tool.template]\n{lines}")
    digests = {
        path.relative_to(target).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(target.rglob("*"))
        if path.is_file()
    }
    (target / name / MANIFEST).write_text(json.dumps(digests, indent=1) + "\n")


def _first_commit(target: Path, name: str) -> None:
    """Initialise git; without git, or without a name for it, the folder is whole all the same."""
    if _git(target, "init", "-q", "-b", "main") is None:
        return
    _git(target, "add", "-A")
    who = (
        ()
        if _git(target, "config", "user.email")
        else ("-c", f"user.name={name}", "-c", "user.email=")
    )
    _git(target, *who, "commit", "-q", "-m", f"{name}, from the template {VERSION[0]}")


def _git(folder: Path, *words: str) -> str | None:
    """What git prints; None where it fails or is not installed."""
    try:
        done = subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip("\n") if done.returncode == 0 else None
