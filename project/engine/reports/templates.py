"""The templates of this folder: whatever comes from a run's files is escaped in them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ..formats import plain
from ..registry import PACKAGE, VERSION

HERE = Path(__file__).parent
NUMERIC = re.compile(r"-?[\d,]*\.?\d+(e[-+]?\d+)?%?|nan|")  # a cell that stands to the right


def render(
    template: str, filters: dict[str, Callable[[Any], Any]] | None = None, **values: Any
) -> str:
    """A page from a template, with the style sheet in it, so that it needs nothing beside it."""
    environment = jinja2.Environment(
        autoescape=True, loader=jinja2.FileSystemLoader(HERE), undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"shown": plain, "numeric": numeric, **(filters or {})}
    return environment.get_template(template).render(
        style=style(), footer=f"{PACKAGE} {VERSION[0]}", **values
    )


@functools.cache
def style() -> Markup:
    """The style sheet of all pages."""
    return Markup((HERE / "style.css").read_text())


def numeric(table: Any) -> list[bool]:
    """Which columns of a table hold nothing but numbers."""
    return [
        all(NUMERIC.fullmatch(plain(row[i])) for row in table.rows) for i in range(len(table.head))
    ]
