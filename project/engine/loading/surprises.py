"""What surprises in the columns of a table, said when it is read."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import clip
from .columns import MOSTLY, how_written
from .csvfile import CSVFile, Numbers

# texts that stand for a missing number where all others of a column are numbers
BLANKS = ("-", "--", ".", "unknown", "missing", "none", "na", "n.a.", "nil", "#value!", "#ref!")
MISSING = "; `data.read.na_values` names the texts that mean a missing value"
MIXED = f"{MISSING}, `data.categorical` the columns that are categories"


def look_at(
    file: CSVFile,
    target: str,
    categorical: set[str],
    kind: str,
    note: Callable[[str], None],
    fitted: bool,
) -> None:
    """Say what surprises in the columns, and take the usual words for a missing number.

    Args:
        file: Read; its columns may change.
        target: The column to predict.
        categorical: The columns that are categories whatever they look like.
        kind: Of the target.
        note: Says a line once.
        fitted: Whether the columns are those of a training that is over.

    Raises:
        UserError: numbers are written otherwise than the file is said to be.
    """
    for line in file.notes:
        note(line)
    for name, column in file.columns.items():
        is_number = name == target and kind in ("number", "count", "auto")
        if (
            isinstance(column, Numbers)
            or name in categorical
            or (name == target and kind == "class")
        ):
            continue
        numbers = column.numbers(file.how)
        odd = [text for text in column.texts if file.how.number(text) is None]
        if not odd:
            continue
        written = next((hint for text in odd if (hint := how_written(text))), "")
        some = len(odd) < len(column.texts)
        if written and len([t for t in odd if how_written(t)]) > MOSTLY * len(odd):
            row = int(np.isin(column.codes, [column.texts.index(t) for t in odd]).argmax())
            raise file.fault(
                row,
                f"{clip(column.texts[column.codes[row]])!r} in column {clip(name)!r} looks "
                f"like {written}; if these are categories: `data.categorical` '[{name}]'",
            )
        words = ", ".join(map(repr, odd[:3])) + ", ..." * (len(odd) > 3)
        if some and name != target and all(text.lower() in BLANKS for text in odd):
            file.columns[name] = Numbers(numbers, False)
            note(f"column {clip(name)!r}: {words} taken for missing numbers")
        elif some and not is_number and not fitted:
            note(
                f"column {clip(name)!r} is taken for categories, since {clip(words)} "
                f"{'is' if len(odd) == 1 else 'are'} no number{MISSING}"
            )
        if marks := [mark for mark in column.marks if mark.isalpha()]:
            note(
                f"column {clip(name)!r}: {clip(', '.join(map(repr, marks)))} taken for "
                "missing; `data.read.keep_default_na` false takes it for a category"
            )
