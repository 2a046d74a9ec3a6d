"""What a page is made of; the template has one form for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from matplotlib.figure import Figure


@dataclass
class Part:
    """A piece of a section, under a title of its own if it has one."""

    form: ClassVar[str]
    title: str = field(default="", kw_only=True)
    note: str = field(default="", kw_only=True)


@dataclass
class Drawing(Part):
    """A figure, set into the page as SVG."""

    form = "drawing"
    figure: Figure


@dataclass
class Table(Part):
    """Rows below a head, folded away or not.

    The rows beyond `most` are left out, and the page says so.
    """

    form = "table"
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]
    most: int = 60
    folded: bool = False


@dataclass
class Facts(Part):
    """Names and values, a line each."""

    form = "facts"
    values: dict[str, Any]


@dataclass
class Picture:
    """A small picture as a data URI, lines below it, and whether it shows a mistake."""

    source: str
    lines: Sequence[str]
    wrong: bool = False


@dataclass
class Pictures(Part):
    """Small pictures side by side."""

    form = "pictures"
    pictures: Sequence[Picture]


@dataclass
class Legend(Part):
    """What colours mean: pairs of a colour and a name."""

    form = "legend"
    colours: Sequence[tuple[str, str]]


@dataclass
class Code(Part):
    """A text as it is, folded away if it is long."""

    form = "code"
    text: str


@dataclass
class Section:
    """A heading and what stands below it."""

    title: str
    parts: Sequence[Part]
