"""Tables on the screen: drawn in a terminal, plain in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from ..formats import clean


def show_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    left: int = 1,
    width: int = 1000,
    widest: int | None = None,
    limit: int | None = None,
) -> None:
    """Print a table: the first columns and those without a name to the left, numbers to the right.

    Args:
        columns: Their names.
        rows: Their cells.
        left: How many of the columns are texts.
        width: Of the whole table in a pipe; in a terminal it is the terminal's.
        widest: No column is wider; what is longer ends in an ellipsis.
        limit: Rows to print at most.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    options: dict[str, Any] = {"overflow": "fold"}
    if widest is not None:
        options = {"no_wrap": True, "overflow": "ellipsis", "max_width": widest}
    for number, name in enumerate(columns):
        side: Any = "left" if number < left or not name else "right"
        table.add_column(clean(name), justify=side, **options)
    all_rows = list(rows)
    for row in all_rows[:limit]:
        table.add_row(*map(clean, row))
    is_terminal = sys.stdout.isatty()
    console = Console(width=None if is_terminal else width, highlight=False, markup=False)
    if is_terminal:
        console.print(table)
    else:
        with console.capture() as captured:
            console.print(table)
        print("\n".join(line.rstrip() for line in captured.get().splitlines()))
    if limit is not None and len(all_rows) > limit:
        print(f"and {len(all_rows) - limit} more")
