"""Mistakes a user can make: one line that names the setting or the file, and the way out."""

from __future__ import annotations

import difflib
import importlib
import re
import traceback
from collections.abc import Iterable
from typing import Any

SETTING = re.compile(r"`(data|model|trainer|run)((?:\.\w+)*)`")


class UserError(Exception):
    """A mistake in what was asked: shown as one line on stderr, exit code 2.

    A setting in the text is written as its key in a config, in backticks: `data.batch_size`. The
    command line shows it as the option, `--data.batch_size`; plain Python as the argument,
    `batch_size`.

    Args:
        text: What is wrong and what to do.
        key: The setting it is about, put before the text.
    """

    exit_code = 2

    def __init__(self, text: str, key: str | None = None) -> None:
        self.text = f"`{key}`: {text}" if key else text
        super().__init__(self.text)

    def __str__(self) -> str:
        return SETTING.sub(lambda found: found[2][1:] or found[1], self.text)

    def on_command_line(self) -> str:
        """The one line that a command ends with."""
        return " ".join(SETTING.sub(r"--\1\2", self.text).split())


class NotFinite(UserError):
    """A loss or a weight became NaN or infinite: training stops before it is saved, exit code 4."""

    exit_code = 4


def clip(value: object, width: int = 60) -> str:
    """The value as one short line, for use inside a message."""
    text = " ".join(str(value).split())
    return text if len(text) <= width else text[: width - 3] + "..."


def suggest(wrong: str, known: Iterable[str], otherwise: str = "known") -> str:
    """The way out for a misspelt name: the nearest known ones, or all of them when none is near."""
    names = sorted(known)
    by_lower = {name.lower(): name for name in names}
    near = [
        by_lower[n]
        for n in difflib.get_close_matches(wrong.lower(), list(by_lower), n=3, cutoff=0.6)
    ]
    if near:
        return f"did you mean {' or '.join(near)}?"
    return (
        f"{otherwise}: {clip(', '.join(names), 300)}" if names else "there is none to choose from"
    )


def needed(module: str, by: str, install: str = "") -> Any:
    """A module of a package that is installed only where it is wanted.

    Args:
        module: Its name.
        by: What needs it.
        install: What `pip install` gets, where that is not called as what is missing.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(f"{by} needs {error.name}: pip install {install or error.name}") from None


def raised_in(error: BaseException, package: str) -> bool:
    """Whether a library itself refused something, so that it is no bug of who called it."""
    return any(_is_in(module, package) for module in _modules(error)[-1:])


def passed_through(error: BaseException, module: str) -> bool:
    """Whether an error was raised by a module of a library, or by what that called."""
    return any(_is_in(name, module) for name in _modules(error))


def _is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _modules(error: BaseException) -> list[str]:
    """The modules of a traceback, from the caller to where the error was raised."""
    frames = traceback.walk_tb(error.__traceback__)
    return [str(frame.f_globals.get("__name__", "")) for frame, _ in frames]
