"""A later version of the template taken into a fork, with the fork's own changes kept.

What the fork has not touched is replaced; what both have changed is merged three ways by git, the
base being the file as it came; what the fork has deleted stays deleted; a new file comes only where
its folder is there. Either all of it is done or nothing.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError
from ..registry import PACKAGE
from .codemod import in_engine
from .new import MANIFEST, ROOT, comes_along, copied, digest, git, origin

STAGE = ".update"  # where the new files lie until all of them are there
READY = "ready.json"  # written last: from here on the update is finished, by any later command
OWN = ("README.md", "LICENSE")  # written for the fork, and none of the template's
NEW = ".update-new"  # marks the new package folder, so that it takes the old one's place once
RENAME_EXCHANGE = 2  # of renameat2(2)


@dataclass
class Change:
    """What an update does to each file, by its path in the fork."""

    replaced: list[str] = field(default_factory=list)
    merged: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)  # gone from the template, changed here
    conflicts: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        for what in ("replaced", "merged", "added", "deleted", "kept", "conflicts"):
            names = getattr(self, what)
            if names:
                some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
                yield f"{what:<10} {len(names):>4}  {some}"

    @property
    def is_none(self) -> bool:
        return not (self.replaced or self.merged or self.added or self.deleted or self.conflicts)


def update(source: Path, only_check: bool) -> Change:
    """Take the template in `source` into this fork.

    Args:
        source: A folder with a later version of the template.
        only_check: Change nothing.

    Raises:
        UserError: this is no fork, its tree has changes, or something cannot be merged; nothing is
            changed then.
    """
    finish()
    known = _manifest()
    if not only_check and (changed := git(ROOT, "status", "--porcelain", "--untracked-files=no")):
        raise UserError(
            f"{len(changed.splitlines())} files are changed and not committed; commit them first"
        )
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["template"]
    with tempfile.TemporaryDirectory(prefix="update-") as place:
        there = copied(source, Path(place), PACKAGE, about.get("keep"), origin(source))
        there = {name: path for name, path in there.items() if name not in OWN}
        change, content = _compare(known, there)
        if change.conflicts and not only_check:
            some = ", ".join(change.conflicts[:5])
            raise UserError(
                f"{len(change.conflicts)} files were changed here and there in the same lines: "
                f"{some}; nothing is changed. Make these lines as they are in {source}, or undo "
                "your change there, then update again"
            )
        if not only_check and not change.is_none:
            content |= _records(known, there)
            _stage(content, change.deleted)
            finish()
    return change


def _manifest() -> dict[str, str]:
    path = ROOT / PACKAGE / MANIFEST
    if not path.is_file():
        raise UserError(
            f"{ROOT}: no {PACKAGE}/{MANIFEST}, which `new` writes: what came from the template is "
            "not known"
        )
    return json.loads(path.read_text())


def _compare(known: dict[str, str], there: dict[str, Path]) -> tuple[Change, dict[str, bytes]]:
    """What is to be done, and the new content of each file that changes."""
    change, content = Change(), dict[str, bytes]()
    for name, path in there.items():
        here, new = ROOT / name, path.read_bytes()
        if here.is_file():
            mine = here.read_bytes()
            if mine == new or known.get(name) == digest(new):
                continue  # the same, or only changed here
            if known.get(name) == digest(mine):
                change.replaced.append(name)
                content[name] = new
            elif (merged := _merged(mine, _as_it_came(name, known), new)) is not None:
                change.merged.append(name)
                content[name] = merged
            else:
                change.conflicts.append(name)
        elif name not in known and (here.parent.is_dir() or in_engine(Path(name), PACKAGE)):
            change.added.append(name)
            content[name] = new
    for name in known.keys() - there.keys():
        here = ROOT / name
        if here.is_file() and name not in OWN and comes_along(Path(name), PACKAGE):
            untouched = known[name] == digest(here.read_bytes())
            (change.deleted if untouched else change.kept).append(name)
    for names in (change.replaced, change.added, change.deleted, change.kept):
        names.sort()
    return change, content


def _as_it_came(name: str, known: dict[str, str]) -> bytes | None:
    """A file as the template brought it, from the fork's history; None where it is not there."""
    for commit in (git(ROOT, "log", "--format=%H", "--", name) or "").split():
        done = subprocess.run(["git", "show", f"{commit}:{name}"], cwd=ROOT, capture_output=True)
        if done.returncode == 0 and digest(done.stdout) == known.get(name):
            return done.stdout
    return None


def _merged(mine: bytes, base: bytes | None, new: bytes) -> bytes | None:
    """Both changes in one text; None where they meet, or nobody knows the base."""
    if base is None:
        return None
    with tempfile.TemporaryDirectory() as place:
        paths = [Path(place, name) for name in ("mine", "base", "new")]
        for path, content in zip(paths, (mine, base, new), strict=True):
            path.write_bytes(content)
        done = subprocess.run(["git", "merge-file", "-p", *map(str, paths)], capture_output=True)
    return done.stdout if done.returncode == 0 else None


def _records(known: dict[str, str], there: dict[str, Path]) -> dict[str, bytes]:
    """The manifest as it is after the update."""
    digests = {name: digest(path.read_bytes()) for name, path in there.items()}
    digests |= {name: known[name] for name in OWN if name in known}
    text = json.dumps(dict(sorted(digests.items())), indent=1) + "\n"
    return {f"{PACKAGE}/{MANIFEST}": text.encode()}


# ---------------------------------------------------------------------- all or nothing


def _stage(content: dict[str, bytes], deleted: list[str]) -> None:
    """Lay the new files ready, the package as a whole folder that takes the old one's place."""
    stage = ROOT / STAGE
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir()
    (stage / ".gitignore").write_text("*\n")
    made = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / PACKAGE, stage / PACKAGE, symlinks=True, ignore=made)
    (stage / PACKAGE / NEW).touch()
    for name in deleted:
        if name.startswith(f"{PACKAGE}/"):
            (stage / name).unlink()
    for name, new in content.items():
        path = stage / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(new)
        if (ROOT / name).is_file():
            shutil.copymode(ROOT / name, path)
    others = [name for name in content if not name.startswith(f"{PACKAGE}/")]
    gone = [name for name in deleted if not name.startswith(f"{PACKAGE}/")]
    part = stage / f"{READY}.part"
    part.write_text(json.dumps({"files": others, "deleted": gone}))
    os.sync()
    os.replace(part, stage / READY)


def finish() -> None:
    """Finish an update that was interrupted when all was ready, or clear away what there was."""
    stage = ROOT / STAGE
    if not stage.is_dir():
        return
    if (stage / READY).is_file():
        todo = json.loads((stage / READY).read_text())
        for name in todo["files"]:
            if (stage / name).is_file():
                (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(stage / name, ROOT / name)
        for name in todo["deleted"]:
            (ROOT / name).unlink(missing_ok=True)
        if (stage / PACKAGE / NEW).is_file():
            exchange(stage / PACKAGE, ROOT / PACKAGE)
        (stage / READY).unlink()
    shutil.rmtree(stage)
    (ROOT / PACKAGE / NEW).unlink(missing_ok=True)


def exchange(one: Path, other: Path) -> None:
    """Let two folders take each other's place, at once where the system can."""
    library = ctypes.CDLL(None) if os.name == "posix" else None
    renameat2, here = getattr(library, "renameat2", None), -100  # AT_FDCWD
    if renameat2 and not renameat2(here, bytes(one), here, bytes(other), RENAME_EXCHANGE):
        return
    aside = one.with_name(f"{one.name}.aside")
    other.rename(aside)
    one.rename(other)
    aside.rename(one)
