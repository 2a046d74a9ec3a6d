"""A page: sections of parts as one HTML file that needs nothing beside it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..runs.files import write_text
from . import plots
from .parts import Section
from .pictures import svg
from .run import Run
from .sections import all_sections, headline, summary
from .templates import render


def write_report(run: Run) -> Path:
    """Write report.html into a run's folder; returns its path.

    Raises:
        UserError: a file of the run is damaged, or the page cannot be written.
    """
    path = run.path / "report.html"
    title = "/".join(run.path.absolute().parts[-2:])
    with plots.drawn(page=True):
        write_text(path, page(title, all_sections(run), summary(run), headline(run)))
    return path


def page(
    title: str, sections: Iterable[Section], facts: dict[str, Any], metrics: dict[str, float]
) -> str:
    """Sections as HTML, below a title, a line of facts and cards of metrics.

    To be called, and the metrics to be drawn, within `plots.drawn(page=True)`.
    """
    numbers = itertools.count(1)
    filters = {"drawn": lambda part: svg(part.figure, next(numbers))}
    return render(
        "page.html", filters, title=title, sections=list(sections), facts=facts, metrics=metrics
    )
