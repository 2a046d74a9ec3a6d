"""A page: sections of parts as one HTML file that needs nothing beside it."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
from markupsafe import Markup

from project import __version__
from project.reports import plots
from project.reports.parts import Drawing, Section
from project.reports.pictures import svg
from project.reports.run import Run
from project.reports.sections import all_sections, headline, summary
from project.runs.files import write_text

HERE = Path(__file__).parent
NUMERIC = re.compile(r"-?[\d,]*\.?\d+(e[-+]?\d+)?%?|nan|")  # a cell that stands to the right


def write_report(run: Run) -> Path:
    """Write report.html into a run's folder; returns its path.

    Raises:
        UserError: a file of the run is damaged, or the page cannot be written.
    """
    path = run.path / "report.html"
    title = f"{run.path.absolute().parent.name}/{run.path.absolute().name}"
    with plots_for_pages():
        write_text(path, page(title, all_sections(run), summary(run), headline(run)))
    return path


def plots_for_pages() -> Any:
    """What figures are drawn under, so that they follow the page's colours; a context manager."""
    return matplotlib.rc_context({**plots.PLAIN, **plots.STYLE})


def page(
    title: str, sections: Iterable[Section], facts: dict[str, Any] | None = None, figures: dict[str, float] | None = None
) -> str:
    """Sections as HTML; to be called, and the figures drawn, within `plots_for_pages()`."""
    numbers = itertools.count(1)
    environment = jinja()
    environment.filters["drawn"] = lambda part: svg(part.figure, next(numbers)) if isinstance(part, Drawing) else ""
    return environment.get_template("page.html").render(
        title=title, sections=list(sections), facts=facts, figures=figures, style=style(), footer=f"project {__version__}"
    )


def jinja() -> jinja2.Environment:
    """The templates of this folder; whatever comes from a run's files is escaped."""
    environment = jinja2.Environment(autoescape=True, loader=jinja2.FileSystemLoader(HERE), undefined=jinja2.StrictUndefined)
    environment.filters["shown"] = shown
    environment.tests["numeric"] = lambda cell: NUMERIC.fullmatch(shown(cell)) is not None
    return environment


@functools.cache
def style() -> Markup:
    """The style sheet of all pages."""
    return Markup((HERE / "style.css").read_text())


def shown(value: Any) -> str:
    """A value as a person reads it: five significant digits, thousands apart."""
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if 1e5 <= abs(value) < 1e15 else f"{value:.5g}"
    return str(value)
