"""Values as text: metrics, durations, shapes, settings; the one place where they are formatted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # but tabs and line ends


def clean(text: str) -> str:
    """Return a text without control characters, so that no name from a file steers a terminal."""
    return CONTROL.sub("", text)


def metric(value: float | None) -> str:
    """Format a metric in at most seven characters where possible; nothing where there is none."""
    if value is None:
        return ""
    size = abs(value)
    if 1e-3 <= size < 100 or not size:
        return f"{value:.4f}"
    if size < 1e-3 or size >= 1e6:
        return f"{value:.3g}"
    return f"{value:.1f}" if size < 1e4 else f"{value:.0f}"


def statistic(value: float) -> str:
    """Format a mean or a standard deviation: four decimals, or six digits where those say more."""
    return f"{value:.4f}" if 0.001 <= abs(value) < 1000 or value == 0 else f"{value:,.6g}"


def plain(value: Any) -> str:
    """Format a value for a table: five significant digits, thousands apart, nothing for None."""
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.5g}"
    return clean(str(value))


def setting(value: Any) -> str:
    """Format a value of a config in one line; a class is its name."""
    if isinstance(value, dict) and "class_path" in value:
        return clean(str(value["class_path"]))
    if isinstance(value, list):
        return "[" + ", ".join(map(setting, value)) + "]"
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    return clean(str(value))


def duration(seconds: float) -> str:
    """Format seconds as `4.2 s`, `12:05` or `3:02:05`."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def shape(sides: Sequence[int] | None) -> str:
    """Format a shape as `1x28x28`."""
    return "x".join(map(str, sides or ()))


def shortened(name: str, width: int = 18) -> str:
    """Cut a name to fit beside an axis or into a cell."""
    return name if len(name) <= width else name[: width - 1] + "\N{HORIZONTAL ELLIPSIS}"


SMALL = tuple("loss rmse mae mse error mape smape msle ece hamming deviance".split())


def better(metric: str) -> Literal["min", "max"]:
    """Whether a metric is better the smaller or the larger it is: losses and errors are small."""
    small = metric.rpartition("/")[2] in SMALL
    return "min" if small else "max"
