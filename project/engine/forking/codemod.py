"""A package under another name: its folder, and every line outside `engine/` that says the name."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from pathlib import Path

from ..errors import UserError, clip
from ..registry import PACKAGE

TEXTS = (".py", ".md", ".yaml", ".yml", ".toml", ".sh", ".cff", ".json", "")  # "": .ci/run, LICENSE
# in code, {0} being the name: imports, commands, files and functions
IN_CODE = (
    r"(?m)^(\s*(?:from|import) ){0}\b",
    r"(-m ){0}\b",
    r'("-m", "){0}\b',
    r'(/ "){0}(?=")',
    r"(\b){0}(?=\.(?:load|fit|load_optimizer)\b)",
)
# in code outside the package, whose own quoted paths are those of its past (MOVED)
OUTSIDE = (r"""(["']){0}(?=[./])""",)
# elsewhere: commands, files, import paths, and where pyproject.toml has the package
IN_TEXTS = (
    r"(-m ){0}\b",
    r"(?m)^(\s*import ){0}\b",
    r"(?<![\w.-])(){0}(?=/)",
    r"(?m)(?<!^\[)(?<![\w./-])(){0}(?=\.[a-z_])",  # no table of pyproject.toml
    r'(name"?(?: =|:) "){0}(?=")',
    r'(\["){0}(?=\*?"\])',
    r"(\{{ ){0}(?= = \[)",
    r'(attr = "){0}(?=\.)',
)


def check_name(name: str) -> None:
    """Refuse a name that no package can have here.

    Raises:
        UserError: it is no identifier, or something else that can be imported has it.
    """
    if not name.isidentifier() or not name.islower() or keyword.iskeyword(name):
        raise UserError(
            f"{clip(name)!r} is no name for a package: letters, digits and _, all lower case, "
            "as in birds or my_project"
        )
    taken = name in sys.stdlib_module_names or name in ("tests", "configs", "docs", "scripts")
    if taken or (name != PACKAGE and importlib.util.find_spec(name) is not None):
        raise UserError(f"{name}: a package of this name is there already, and would be hidden")


def renamed(text: str, file: Path, old: str, new: str) -> str:
    """A text of a file with the package under its new name."""
    in_code = IN_CODE if file.parts[0] == old else IN_CODE + OUTSIDE
    for pattern in in_code if file.suffix == ".py" else IN_TEXTS:
        text = re.sub(pattern.format(re.escape(old)), rf"\g<1>{new}", text)
    return text


def is_text(file: Path) -> bool:
    return file.suffix in TEXTS


def in_engine(file: Path, package: str) -> bool:
    """Whether a file, relative to the top folder, is the engine's, where the name never stands."""
    return file.parts[:2] == (package, "engine")
