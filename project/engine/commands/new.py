"""`new`, `update` and `rename`: a project of one's own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError, suggest
from ..registry import PACKAGE

HELP = {
    "new": """usage: PROGRAM new FOLDER [--name NAME] [--minimal] [--keep NAMES] [--holder WHO]
                   [--year YEAR]
       PROGRAM new network|data|task|loss NAME

  FOLDER         where the new project is made: new, or empty
  --name NAME    of its package, as in `import NAME`; default: the folder's
  --minimal      only what configs/lenet.yaml trains, with its tests
  --keep NAMES   a minimal project with these besides, as in mnist,mlp,regression: short names of
                 networks, data, tasks, losses, schedules, with the files they need
  --holder WHO   of the copyright in LICENSE
  --year YEAR    of the copyright; default: this one

Copies this project under its own name, with a README of its own, without the tests that guard the
template, and makes a first commit. pyproject.toml says which version it came from.

With a kind and a name: a file that works at once and says what to fill in, its line in the table,
a config and a test.""",
    "update": """usage: PROGRAM update [--from FOLDER|URL] [--to TAG] [--check]

  --from WHERE   a folder or a repository with a later version of the template; default: where
                 this project came from ([tool.template] in pyproject.toml)
  --to TAG       the version; default: what is there
  --check        only say what would be done

Replaces what you have not touched, merges what both have changed, leaves deleted what you have
deleted, and takes new files where their folder is there. All of it is done or nothing; the change
is left for you to commit, and the tests are run.""",
    "rename": """usage: PROGRAM rename NAME

Gives this project another name, in place: its folder, and every line outside engine/ that says it.
Runs and checkpoints of before are still read.""",
}
OPTIONS = {
    "new": ("--name", "--keep", "--holder", "--year"),
    "update": ("--from", "--to"),
    "rename": (),
}
FLAGS = {"new": "--minimal", "update": "--check", "rename": ""}


def main(command: str, arguments: Sequence[str], debug: bool) -> int:
    """Make or rename a project; returns the exit code."""
    words, given, flag = read(arguments, OPTIONS[command], FLAGS[command])
    if command == "update":
        if words:
            raise UserError(f"update: unexpected {words[0]}; --from {words[0]} names a template")
        return run_update(given, flag)
    if command == "new" and len(words) == 2:
        from ..forking.skeletons import add, kind_of

        for path in add(kind_of(words[0]), words[1]):
            print(f"{path}")
        return 0
    if len(words) != 1:
        what = "a folder" if command == "new" else "a name"
        raise UserError(f"{command}: expected {what}, got {' '.join(words) or 'nothing'}")
    if command == "rename":
        from ..forking.new import rename

        rename(words[0])
        print(f"{PACKAGE} is now {words[0]}: python -m {words[0]} --help, pytest")
        return 0
    from ..forking.new import make

    year = given.get("--year")
    if year is not None and not (year.isdecimal() and len(year) == 4):
        raise UserError(f"--year {year}: expected a year, as in 2026")
    folder = Path(words[0]).expanduser()
    keep = [name for name in given.get("--keep", "").split(",") if name]
    name = make(
        folder,
        given.get("--name"),
        keep if keep or flag else None,
        given.get("--holder"),
        int(year) if year else None,
    )
    print(f"{folder}: the package {name}, with one commit")
    print(f"train     cd {folder} && python -m {name} fit --config configs/lenet.yaml")
    print(f"test      cd {folder} && pytest")
    return 0


def run_update(given: dict[str, str], only_check: bool) -> int:
    """Take a later version of the template; returns the exit code of the tests."""
    from ..forking.new import ROOT, git
    from ..forking.update import update

    about = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"].get("template", {})
    source = given.get("--from") or about.get("source")
    if not source:
        raise UserError("--from: name a folder or a repository with the template")
    with tempfile.TemporaryDirectory(prefix="template-") as place:
        folder = Path(source).expanduser()
        if not folder.is_dir() or "--to" in given:
            tag = ["--branch", given["--to"]] if "--to" in given else []
            if git(Path.cwd(), "clone", "-q", *tag, source, place) is None:
                what = f", version {given['--to']}" if tag else ""
                raise UserError(f"--from {source}{what}: neither a folder nor a repository")
            folder = Path(place)
        change = update(folder, only_check)
    for line in change.lines():
        print(line)
    if change.is_none:
        print("nothing to do: it is as the template is")
    if only_check or change.is_none:
        return 0
    print("the tests:", flush=True)
    code = subprocess.run([sys.executable, "-m", "pytest"], cwd=ROOT).returncode
    print("git diff shows what has changed; git commit -a keeps it, git checkout . takes it back")
    return 1 if code else 0


def read(
    arguments: Sequence[str], options: Sequence[str], flag: str
) -> tuple[list[str], dict[str, str], bool]:
    """The words, the options with their values, and whether the flag is there."""
    words: list[str] = []
    given: dict[str, str] = {}
    rest = [word for word in arguments if word != flag]
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            words.append(word)
            continue
        option, mark, value = word.partition("=")
        if option not in options:
            known = [name for name in (*options, flag) if name]
            raise UserError(f"{option}: unknown option; {suggest(option, known, 'there are')}")
        if not mark:
            if not rest:
                raise UserError(f"{option}: expected a value")
            value = rest.pop(0)
        given[option] = value
    return words, given, bool(flag) and flag in arguments
