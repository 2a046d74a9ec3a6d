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
from typing import Any

from ..errors import UserError
from ..registry import PACKAGE, VERSION
from . import kept
from .codemod import check_name, in_engine, is_text, renamed

ROOT = Path(__file__).parents[3]
MANIFEST = "engine.json"  # beside the engine: what each file was when it came
# What guards or tells of the template itself, and is no fork's.
STAYS = ("tests/template/", "CHANGELOG.md", "README.md", "docs/forking.md")
MINIMAL = ("configs/lenet.yaml", "configs/parts/")  # what --minimal keeps of the configs
MINIMAL_TESTS = ("tests/__init__.py", "tests/conftest.py", "tests/test_configs.py")
# helpers of the engine's tests that other tests use
HELPERS = (
    "tests/engine/__init__.py",
    "tests/engine/runs/__init__.py",
    "tests/engine/runs/equal.py",
)
ELSEWHERE = ("docs/techniques.md", "docs/losses.png", "docs/optimizers.png", "docs/rates.png")
CONFTEST = '''"""What every test shares: it comes with the engine."""

from {name}.engine.testing import *  # noqa: F403 - fixtures are found by their names here
'''
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
    target: Path,
    name: str | None,
    keep: list[str] | None,
    holder: str | None,
    year: int | None,
) -> str:
    """Make a project of its own in a folder that is new or empty; returns its package's name.

    Args:
        target: The folder.
        name: Of the package; None takes the folder's.
        keep: Short names of a minimal project, beside those of the first config; None keeps all.
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
        copied(ROOT, part, name, keep, origin(ROOT))
        (part / "README.md").write_text(README.format(name=name), encoding="utf-8")
        if holder or year:
            licence = part / "LICENSE"
            line = f"{year or datetime.date.today().year} {holder}" if holder else rf"{year}\g<2>"
            text = re.sub(r"(Copyright \(c\) )\d+(.*)", rf"\g<1>{line}", licence.read_text())
            licence.write_text(text, encoding="utf-8")
        write_manifest(part, name)
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
    if changed := git(ROOT, "status", "--porcelain"):
        raise UserError(
            f"{len(changed.splitlines())} files are changed and not committed; commit them first, "
            "so that `git checkout .` takes the renaming back"
        )
    for file in list(files_of(ROOT)):
        if is_text(file) and not in_engine(file, PACKAGE):
            path = ROOT / file
            text = path.read_text(encoding="utf-8")
            if (new := renamed(text, file, PACKAGE, name)) != text:
                path.write_text(new, encoding="utf-8")
    toml = ROOT / "pyproject.toml"
    if "[tool.template]" not in toml.read_text():
        # not the source: the repository of such a copy is its own
        toml.write_text(with_origin(toml.read_text(), {"version": origin(ROOT)["version"]}))
    (ROOT / PACKAGE).rename(ROOT / name)
    if not (ROOT / name / MANIFEST).is_file():  # a copy that nobody has touched yet
        write_manifest(ROOT, name)


# ---------------------------------------------------------------------- what a fork consists of


def files_of(root: Path) -> Iterator[Path]:
    """The files of a project that git knows, or would; without git all but what is made.

    Raises:
        UserError: the folder is no checkout.
    """
    if not (root / "pyproject.toml").is_file():
        raise UserError(f"{root}: no checkout of a project, which has a pyproject.toml")
    listed = git(root, "ls-files", "-co", "--exclude-standard", "-z")
    if listed:
        yield from (Path(name) for name in listed.split("\0") if name and (root / name).is_file())
        return
    for path in sorted(root.rglob("*")):
        file = path.relative_to(root)
        made = {".venv", ".git", "runs", "data", "__pycache__", "dist", "build"} & {*file.parts[:1]}
        if path.is_file() and not made and "__pycache__" not in file.parts:
            yield file


def package_of(root: Path) -> str:
    """The package's name in a checkout.

    Raises:
        UserError: there is none.
    """
    found = [path.parents[1].name for path in root.glob("*/engine/registry.py")]
    if len(found) != 1:
        raise UserError(f"{root}: no checkout of the template, which has one folder with engine/")
    return found[0]


def origin(root: Path) -> dict[str, str]:
    """Where a checkout comes from, for [tool.template]."""
    version = re.search(
        r'(?m)^__version__ = "(.*)"', (root / package_of(root) / "__init__.py").read_text()
    )
    source = git(root, "config", "--get", "remote.origin.url") or str(root.resolve())
    return {"source": source, "version": version[1] if version else VERSION[0]}


def with_origin(text: str, known: dict[str, Any]) -> str:
    """A pyproject.toml that says which version of which template it came from."""
    text = re.sub(r"\n*\[tool\.template\]\n([a-z]+ = .*\n)*", "\n", text).rstrip()
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in known.items())
    return f"{text}\n\n[tool.template]\n{lines}"


def copied(
    source: Path, target: Path, name: str, keep: list[str] | None, known: dict[str, Any]
) -> dict[str, Path]:
    """Copy what a fork gets of a checkout, under the fork's name.

    Args:
        source: The checkout.
        target: Where its files are put.
        name: Of the fork's package.
        keep: Short names of a minimal project; None keeps all.
        known: What [tool.template] is to say.

    Returns:
        The path of each file in the fork, and where it lies now.
    """
    old, found = package_of(source), {}
    names, rooms = set[str](), set[str]()
    if keep is not None:
        known = known | {"keep": keep}
        configs = [path for part in MINIMAL for path in _yamls(source / part)]
        names = kept.chosen(source / old, keep, configs)
        rooms = kept.files(source / old, names)
    for file in files_of(source):
        if not comes_along(file, old) or (keep is not None and not is_kept(file, old, rooms)):
            continue
        parts = (name, *file.parts[1:]) if file.parts[0] == old else file.parts
        path = target.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / file, path)
        if is_text(file) and not in_engine(file, old):
            text = path.read_text(encoding="utf-8")
            if keep is not None and file.as_posix() in rooms and file.name == "__init__.py":
                text = kept.cut(text, names)
            if keep is not None and file.as_posix() == "tests/conftest.py":
                text = CONFTEST.format(name=old)
            if parts == (name, "earlier.py"):  # import paths of the template's own past
                text = re.sub(rf'(?m)^    "{old}["./].*\n', "", text)
            text = renamed(text, file, old, name)
            if file.name == "pyproject.toml":
                text = with_origin(text, known)
            path.write_text(text, encoding="utf-8")
        found["/".join(parts)] = path
    return found


def comes_along(file: Path, package: str) -> bool:
    """Whether a fork gets a file of the template."""
    name = file.as_posix()
    if name.startswith(STAYS) or (name.startswith("tests/engine/") and name not in HELPERS):
        return False
    return name != f"{package}/{MANIFEST}"


def is_kept(file: Path, package: str, rooms: set[str]) -> bool:
    """Whether a minimal project gets a file.

    Args:
        file: A file that comes along, relative to the top folder.
        package: The package's name.
        rooms: The files of the rooms that it gets.
    """
    name, top = file.as_posix(), file.parts[0]
    if top == package:
        return in_engine(file, package) or len(file.parts) == 2 or name in rooms
    if top == "configs":
        return name.startswith(MINIMAL)
    if top == "tests":
        return name in MINIMAL_TESTS
    return file.suffix == ".sh" if top == "scripts" else name not in ELSEWHERE


def _yamls(path: Path) -> list[Path]:
    return sorted(path.glob("*.yaml")) if path.is_dir() else [path]


def write_manifest(root: Path, package: str) -> None:
    """Note beside the engine what each file is now."""
    names = [file.as_posix() for file in files_of(root)]
    digests = {name: digest((root / name).read_bytes()) for name in sorted(names)}
    (root / package / MANIFEST).write_text(json.dumps(digests, indent=1) + "\n")


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _first_commit(target: Path, name: str) -> None:
    """Initialise git; without git, or without a name for it, the folder is whole all the same."""
    if git(target, "init", "-q", "-b", "main") is None:
        return
    git(target, "add", "-A")
    known = git(target, "config", "user.email")
    who = () if known else ("-c", f"user.name={name}", "-c", "user.email=")
    git(target, *who, "commit", "-q", "-m", f"{name}, from the template {VERSION[0]}")


def git(folder: Path, *words: str) -> str | None:
    """What git prints; None where it fails or is not installed."""
    try:
        done = subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip("\n") if done.returncode == 0 else None
