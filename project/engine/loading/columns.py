"""What is learnt of a column of a table."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..errors import UserError, clip
from .csvfile import CSVFile, Numbers, Texts

Scale = Literal["standard", "quantile"]
ROUNDING = 1e-3  # of the spread: more is lost in 32 bits, so 64 are kept until they are scaled
QUANTILES = 1000  # at most, of a column
MOSTLY = 0.9  # a column of texts of which this fraction are numbers is taken for a mistake


def all_numbers(file: CSVFile, name: str, rows: np.ndarray, hint: str) -> bool:
    """Whether a column has nothing but numbers in these rows.

    Raises:
        UserError: nearly all are numbers, which is more likely a mistake.
    """
    column = file.columns[name]
    if isinstance(column, Numbers):
        return True
    known = column.codes[rows] >= 0
    wrong = known & np.isnan(column.numbers(file.how)[rows])
    if 0 < wrong.sum() <= (1 - MOSTLY) * known.sum():
        row = int(rows[wrong.argmax()])
        raise file.not_a_number(
            row, name, column.texts[column.codes[row]], f", but most of the column is{hint}"
        )
    return bool(known.any() and not wrong.any())


def frequent(column: Texts, rows: np.ndarray, min_count: int) -> list[str]:
    """The texts that occur in these rows so many times, in alphabetic order."""
    codes = column.codes[rows]
    counts = np.bincount(codes[codes >= 0], minlength=len(column.texts))
    return sorted(
        text for text, count in zip(column.texts, counts, strict=True) if count >= min_count
    )


def fit_numbers(values: np.ndarray, scale: Scale = "standard") -> dict[str, Any]:
    """Mean and deviation of the training rows, and whether some are missing: (N,) floats, NaN where
    missing. By quantiles, also the values at them and the normal scores that these become.
    """
    present = values[~np.isnan(values)]
    if not len(present):
        return {"mean": None}
    fitted = {
        "mean": float(present.mean()),
        "std": spread(present),
        "indicator": len(present) < len(values),
    }
    if scale == "quantile":
        ranks = np.linspace(0, 1, min(QUANTILES, len(present)))
        edges, place = np.unique(np.quantile(present, ranks), return_inverse=True)
        middle = np.bincount(place, ranks) / np.bincount(place)  # of equal ones
        bound = 0.5 / len(ranks)
        scores = torch.special.ndtri(torch.from_numpy(middle.clip(bound, 1 - bound)))
        fitted |= {"edges": edges.tolist(), "scores": scores.tolist()}
    return fitted


def scaled(values: np.ndarray, how: dict[str, Any]) -> np.ndarray:
    """Numbers as `fit_numbers` found out: (N,) floats about 0, NaN where missing."""
    if "edges" in how:
        return np.interp(values, how["edges"], how["scores"])
    return (values - how["mean"]) / how["std"]


def spread(values: np.ndarray) -> float:
    """The standard deviation, 1 where it is within rounding of the mean."""
    std, largest = float(values.std()), float(np.abs(values).max())
    return std if std > 8 * np.finfo(np.float64).eps * largest else 1.0


def number_targets(
    values: np.ndarray, rows: np.ndarray, kind: str, fault: Callable[[int, str], UserError]
) -> Tensor:
    """Numbers to predict as targets: (N, 1) int64 counts, or float32 numbers; float64 where 32 bits
    would lose what tells them apart.

    Args:
        values: (N,) float64, NaN where missing.
        rows: Those that are used.
        kind: "count" or "number".
        fault: Makes the error of a row from what is wrong with it.

    Raises:
        UserError: a number is too large, or no count.
    """
    if (large := np.abs(values[rows]) > np.finfo(np.float32).max).any():
        row = int(rows[large.argmax()])
        raise fault(row, f"is {values[row]:g}, more than 32 bits hold; scale the column")
    if kind == "count":
        if (no_count := (values[rows] < 0) | (values[rows] % 1 != 0)).any():
            row = int(rows[no_count.argmax()])
            raise fault(row, f"is {values[row]:g}, a count is a whole number of 0 or more")
        return torch.from_numpy(np.nan_to_num(values).astype(np.int64)).unsqueeze(1)
    single = values.astype(np.float32)
    fine = np.abs(single - values)[rows].max() <= ROUNDING * spread(values[rows])
    # A copy: a table's own column may be read-only memory.
    return torch.from_numpy(single if fine else values.copy()).unsqueeze(1)


def is_gap(column: Numbers | Texts) -> np.ndarray:
    """Where a column has no value: (N,) booleans."""
    return np.isnan(column.values) if isinstance(column, Numbers) else column.codes < 0


def is_date(texts: Sequence[str]) -> bool:
    """Whether all texts are dates such as 2024-04-12, 12.04.2024 or 4/12/24."""
    pattern = r"(\d{4}[-/.]\d\d?([-/.]\d\d?)?|\d\d?[-/.]\d\d?[-/.](\d\d){1,2})([T ].*)?"
    return bool(texts) and all(re.fullmatch(pattern, text) for text in texts)


def how_written(text: str) -> str:
    """What a text that is no number is, if it is one in another way of writing, and the way out."""
    if re.fullmatch(r"[-+]?(\d{1,3}(,\d{3})+(\.\d*)?|\d{1,3}(,\d{3}){2,})", text):
        return "a number with commas between thousands: `data.read.thousands` ','"
    if re.fullmatch(r"[-+]?(\d+|\d{1,3}(\.\d{3})+),\d*([eE][-+]?\d+)?", text):
        more = " `data.read.thousands` ." if "." in text else ""
        return f"a number with a decimal comma: `data.read.decimal` ','{more}"
    if re.fullmatch(r"[-+]?[$€£¥]\s?[-+]?[\d.,]+|[-+]?[\d.,]+\s?[$€£¥%]", text):
        return "a number with a sign: store it as a plain one"
    return ""


def moments(texts: Sequence[str], fault: Callable[[int, str], UserError]) -> np.ndarray:
    """When each was, by texts that are numbers or dates: (N,) float64.

    Raises:
        UserError: one is neither; `fault` makes it of its place and the reason.
    """
    with contextlib.suppress(ValueError):
        return np.array([float(text) for text in texts])
    found = pd.to_datetime(pd.Series(texts), errors="coerce", format="mixed")
    if (wrong := found.isna().to_numpy()).any():
        row = int(wrong.argmax())
        raise fault(row, f"`data.time`: {clip(texts[row])!r} is no date")
    return found.to_numpy().astype("datetime64[s]").astype(np.float64)


def places(column: Numbers | Texts) -> np.ndarray:
    """The values of a column as numbers that are equal where they are: (N,) int64."""
    if isinstance(column, Texts):
        return column.codes.astype(np.int64)
    return np.unique(column.values, return_inverse=True)[1].astype(np.int64)


def times(file: CSVFile, column: Numbers | Texts) -> np.ndarray:
    """When each row was, by numbers or dates: (N,) float64.

    Raises:
        UserError: one is no date.
    """
    if isinstance(column, Numbers):
        return column.values
    if (column.codes < 0).any():
        raise file.fault(int((column.codes < 0).argmax()), "`data.time`: it is missing")

    def fault(place: int, reason: str) -> UserError:
        return file.fault(int((column.codes == place).argmax()), reason)

    return moments(column.texts, fault)[column.codes]


def frame_of(rows: Any) -> tuple[pd.DataFrame, bool]:
    """Rows as a person has them as a DataFrame, and whether it is one, a dictionary of values."""
    single = isinstance(rows, dict) and not any(
        isinstance(value, (list, tuple, np.ndarray, pd.Series)) for value in rows.values()
    )
    return pd.DataFrame([rows] if single else rows), single
