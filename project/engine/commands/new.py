"""`new` and `rename`: a project of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError, suggest
from ..registry import PACKAGE

HELP = {
    "new": """usage: PROGRAM new FOLDER [--name NAME] [--minimal] [--holder WHO] [--year YEAR]
       PROGRAM new network|data|task|loss NAME

  FOLDER         where the new project is made: new, or empty
  --name NAME    of its package, as in `import NAME`; default: the folder's
  --minimal      without the lessons, the sweeps, and all configs but the first
  --holder WHO   of the copyright in LICENSE
  --year YEAR    of the copyright; default: this one

Copies this project under its own name, with a README of its own, without the tests that guard the
template, and makes a first commit. pyproject.toml says which version it came from.

With a kind and a name: a file that works at once and says what to fill in, its line in the table,
a config and a test.""",
    "rename": """usage: PROGRAM rename NAME

Gives this project another name, in place: its folder, and every line outside engine/ that says it.
Runs and checkpoints of before are still read.""",
}
OPTIONS = ("--name", "--holder", "--year")


def main(command: str, arguments: Sequence[str], debug: bool) -> int:
    """Make or rename a project; returns the exit code."""
    words, given, minimal = read(arguments)
    if command == "new" and len(words) == 2:
        from ..forking.skeletons import add, kind_of

        for path in add(kind_of(words[0]), words[1]):
            print(f"{path}")
        return 0
    if len(words) != 1:
        what = "a folder" if command == "new" else "a name"
        raise UserError(f"{command}: expected {what}, got {' '.join(words) or 'nothing'}")
    if command == "rename":
        if given or minimal:
            raise UserError("rename takes a name and no options")
        from ..forking.new import rename

        rename(words[0])
        print(f"{PACKAGE} is now {words[0]}: python -m {words[0]} --help, pytest")
        return 0
    from ..forking.new import make

    year = given.get("--year")
    if year is not None and not (year.isdecimal() and len(year) == 4):
        raise UserError(f"--year {year}: expected a year, as in 2026")
    folder = Path(words[0]).expanduser()
    name = make(
        folder, given.get("--name"), minimal, given.get("--holder"), int(year) if year else None
    )
    print(f"{folder}: the package {name}, with one commit")
    print(f"train     cd {folder} && python -m {name} fit --config configs/lenet.yaml")
    print(f"test      cd {folder} && pytest")
    return 0


def read(arguments: Sequence[str]) -> tuple[list[str], dict[str, str], bool]:
    """The words, the options with their values, and whether it is to be minimal."""
    words: list[str] = []
    given: dict[str, str] = {}
    rest = list(arguments)
    minimal = "--minimal" in rest
    rest = [word for word in rest if word != "--minimal"]
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            words.append(word)
            continue
        option, mark, value = word.partition("=")
        if option not in OPTIONS:
            raise UserError(
                f"{option}: unknown option; {suggest(option, (*OPTIONS, '--minimal'), 'there are')}"
            )
        if not mark:
            if not rest:
                raise UserError(f"{option}: expected a value")
            value = rest.pop(0)
        given[option] = value
    return words, given, minimal
