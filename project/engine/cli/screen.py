"""Tables on the screen: drawn in a terminal, plain and never wrapped in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence


def show(
    columns: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None, left: int = 1
) -> None:
    """Print a table: the first columns and those without a name to the left, the others, numbers,
    to the right.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, 3, 0, 0),
    )
    for number, name in enumerate(columns):
        table.add_column(
            name, justify="left" if number < left or not name else "right", overflow="fold"
        )
    for row in rows:
        table.add_row(*row)
    is_terminal = sys.stdout.isatty()
    console = Console(width=None if is_terminal else 1000, highlight=False, markup=False)
    if is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))
