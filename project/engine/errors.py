"""Mistakes a user can make, and how they are told: one line that names the thing and the way
out.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in what was asked: shown as one line on stderr, exit code 2."""

    exit_code = 2


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
