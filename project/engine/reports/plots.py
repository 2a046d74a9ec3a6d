"""Drawings: plain functions from arrays to matplotlib Figures, without pyplot and its state.

On a page text and lines have the colours `INK` and `GRID`, which a page replaces by its own, light
or dark; the colours of the data read well on both. In a file of their own, figures are drawn with
matplotlib's defaults.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from ..formats import shortened

INK, GRID = "#0a0b0c", "#0d0e0f"  # no colour of ours: each stands for one of the page's
STYLE: dict[Any, Any] = {
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK
    ),
    "grid.color": GRID,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "legend.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
}
PLAIN: dict[Any, Any] = {  # for every drawing
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e5e8",
    "axes.axisbelow": True,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "text.parse_math": False,  # a dollar in the name of a class is a dollar
}
COLOURS = (
    "#3f84d6",
    "#e0752d",
    "#3d9a5f",
    "#d64f62",
    "#8d6fd1",
    "#a2703f",
    "#d46fb0",
    "#7f8790",
    "#a8a32b",
    "#2aa5b5",
)
BLUE, ORANGE, GREEN, RED = COLOURS[:4]
SHADES = LinearSegmentedColormap.from_list(
    "shades", [(0.25, 0.52, 0.84, 0.0), (0.16, 0.38, 0.68, 1.0)]
)
DASHES = ("-", "--", ":", "-.")
MOST_NAMED = 30  # classes whose names fit beside a drawing
MOST_NUMBERED = 20  # classes up to which a confusion matrix shows its numbers
SCATTERED = 5000  # points drawn
CURVE = 2000  # points of a curve
DECADES = 2.0  # over so many powers of ten a loss is drawn on a logarithmic axis


@contextlib.contextmanager
def drawn(page: bool = False) -> Iterator[None]:
    """A context in which figures are made and saved: for a page, whose colours they follow, or for
    a file of their own.
    """
    with matplotlib.rc_context(PLAIN | STYLE if page else PLAIN), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing"
        )  # names in other scripts; a browser has their letters
        yield


def figure(width: float = 5.2, height: float = 3.0, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """An empty drawing in inches, with its axes side by side."""
    drawing = Figure(figsize=(width, height), layout="constrained")
    return drawing, [drawing.add_subplot(1, columns, i + 1) for i in range(columns)]


# ---------------------------------------------------------------------- over time


def curves(
    lines: Mapping[str, tuple[np.ndarray, np.ndarray]],
    title: str,
    across: str = "epoch",
    levels: Mapping[str, float] | None = None,
    bands: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None,
    size: tuple[float, float] = (5.2, 3.0),
    log: bool = False,
) -> Figure:
    """Lines by name, each of places and values (N,) both.

    levels: Values without a place, drawn from side to side.
    bands: A lowest and highest value (N,) around some of the lines.
    log: Draw the values on a logarithmic axis where they reach over DECADES.
    """
    drawing, (axes,) = figure(*size)
    for number, (name, (places, values)) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        style = DASHES[number // len(COLOURS) % len(DASHES)]
        marker = {"marker": "o", "markersize": 3.5} if len(places) <= 25 else {}
        thin = slice(None, None, max(1, len(places) // CURVE))
        options: dict[str, Any] = {**marker, "color": colour, "label": name}
        axes.plot(places[thin], values[thin], style, **options)
        if bands and name in bands:
            low, high = bands[name]
            axes.fill_between(
                places[thin], low[thin], high[thin], color=colour, alpha=0.2, linewidth=0
            )
    for number, (name, value) in enumerate((levels or {}).items(), len(lines)):
        axes.axhline(
            value,
            linestyle="--",
            color=COLOURS[number % len(COLOURS)],
            label=f"{name} {value:.4g}",
            linewidth=1.2,
        )
    every = np.concatenate([values for _, values in lines.values()]) if lines else np.ones(1)
    every = every[np.isfinite(every)]
    if log and len(every) and every.min() > 0 and np.log10(every.max() / every.min()) > DECADES:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    if across == "epoch" and lines:
        axes.set_xlim(0, 1.03 * max(float(places.max()) for places, _ in lines.values()))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(title=title, xlabel=across)
    if len(lines) + len(levels or {}) > 1:
        axes.legend(fontsize=8)
    return drawing


def bars(names: Sequence[str], values: Sequence[float], title: str, across: str) -> Figure:
    """A horizontal bar for each name."""
    drawing, (axes,) = figure(5.2, min(6.0, 0.9 + 0.2 * len(names)))
    places = np.arange(len(names))
    axes.barh(places, values, color=BLUE, height=0.75)
    axes.set_ylim(len(names) - 0.4, -0.6)
    if len(names) <= MOST_NAMED:
        axes.set_yticks(places, [shortened(name) for name in names])
    axes.grid(axis="y", visible=False)
    axes.set(title=title, xlabel=across)
    return drawing


def importance(rises: Mapping[str, Sequence[float]], title: str, across: str) -> Figure:
    """A horizontal bar for each name, the largest first, with the spread of its values."""
    order = sorted(rises, key=lambda name: -float(np.mean(rises[name])))[:MOST_NAMED]
    drawing = bars(order, [float(np.mean(rises[name])) for name in order], title, across)
    (axes,) = drawing.axes
    for place, name in enumerate(order):
        axes.plot([min(rises[name]), max(rises[name])], [place, place], color=INK, linewidth=1)
    return drawing


def columns(values: Sequence[float], title: str, across: str, up: str) -> Figure:
    """A vertical bar for each value, numbered from 1."""
    drawing, (axes,) = figure(5.2, 2.4)
    axes.bar(
        np.arange(1, len(values) + 1), values, color=BLUE, width=0.75 if len(values) > 1 else 0.3
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="x", visible=False)
    axes.set(title=title, xlabel=across, ylabel=up, xlim=(0.4, len(values) + 0.6))
    return drawing


# ---------------------------------------------------------------------- classes


def confusion(
    matrix: np.ndarray, names: Sequence[str], title: str = "Confusion", percent: bool = False
) -> Figure:
    """A confusion matrix (K, K) of counts: rows are the truth, columns the predictions; shaded by
    the fraction of the row.

    percent: Write the share of the row in percent instead of the count, where it is not 0 then.
    """
    size = len(matrix)
    side = float(np.clip(1.6 + 0.33 * size, 3.0, 6.4))
    drawing, (axes,) = figure(side + 0.4, side)
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap=SHADES, vmin=0, vmax=1, interpolation="nearest")
    if size <= MOST_NUMBERED:
        for row, column in zip(*np.nonzero(matrix), strict=True):
            strong = shares[row, column] > 0.5
            text = f"{100 * shares[row, column]:.0f}" if percent else f"{int(matrix[row, column])}"
            colour: dict[str, Any] = {"color": "white"} if strong else {}
            axes.text(
                column,
                row,
                text,
                ha="center",
                va="center",
                fontsize=8 if size <= 12 else 6,
                **colour,
            )
    if size <= MOST_NAMED:
        labels = [shortened(name) for name in names]
        upright = max(map(len, labels), default=0) > 2
        axes.set_xticks(range(size), labels, rotation=90 if upright else 0)
        axes.set_yticks(range(size), labels)
    axes.grid(visible=False)
    axes.set(title=title, xlabel="predicted", ylabel="true")
    return drawing


def reliability(
    confidence: np.ndarray, accuracy: np.ndarray, share: np.ndarray, error: float
) -> Figure:
    """How often the network is right when it says how sure it is: mean confidence, accuracy and
    share of samples per bin.
    """
    drawing, (axes,) = figure(3.6, 3.2)
    axes.plot([0, 1], [0, 1], "--", color="#7f8790", linewidth=1)
    width = 1 / len(share)
    places = (np.arange(len(share)) + 0.5) * width
    axes.bar(places, share, width * 0.9, color=BLUE, alpha=0.25, label="share of the samples")
    filled = share > 0
    axes.plot(
        confidence[filled], accuracy[filled], "o-", color=ORANGE, markersize=4, label="accuracy"
    )
    axes.set(
        title=f"Calibration (ECE {error:.3f})",
        xlabel="confidence",
        ylabel="accuracy",
        xlim=(0, 1),
        ylim=(0, 1.02),
    )
    axes.legend(fontsize=8, loc="upper left")
    return drawing


def map_of_points(
    points: np.ndarray, classes: np.ndarray, names: Sequence[str], title: str
) -> Figure:
    """Points (N, 2) in the plane, coloured by class (N,)."""
    drawing, (axes,) = figure(5.6, 4.2)
    for number, name in enumerate(names):
        chosen = points[classes == number]
        mark, colour = "osD^v<>P*X"[number // len(COLOURS) % 10], COLOURS[number % len(COLOURS)]
        axes.scatter(
            chosen[:, 0],
            chosen[:, 1],
            s=14,
            marker=mark,
            color=colour,
            linewidths=0,
            alpha=0.8,
            label=shortened(name),
            rasterized=True,
        )
    if len(names) <= MOST_NAMED:
        axes.legend(
            fontsize=8,
            loc="center left",
            bbox_to_anchor=(1, 0.5),
            markerscale=1.5,
            ncols=1 + len(names) // 16,
        )
    axes.set(title=title, xticks=[], yticks=[])
    return drawing


# ---------------------------------------------------------------------- numbers


def predicted_against_true(target: np.ndarray, prediction: np.ndarray, name: str) -> Figure:
    """A point for each sample: (N,) both."""
    drawing, (axes,) = figure(3.8, 3.4)
    target, prediction = some(target, prediction)
    axes.scatter(target, prediction, s=8, color=BLUE, alpha=0.4, linewidths=0, rasterized=True)
    low, high = (
        float(min(target.min(), prediction.min())),
        float(max(target.max(), prediction.max())),
    )
    axes.plot([low, high], [low, high], "--", color=ORANGE, linewidth=1.2, label="exact")
    axes.set(title=f"{shortened(name)}: predicted", xlabel="true", ylabel="predicted")
    axes.ticklabel_format(scilimits=(-3, 4))
    axes.legend(fontsize=8)
    return drawing


def residuals(target: np.ndarray, prediction: np.ndarray, name: str) -> Figure:
    """Predicted minus true, over the prediction and as a histogram: (N,) both."""
    drawing, (over, counted) = figure(6.2, 2.9, columns=2)
    rest = prediction - target
    places, shown = some(prediction, rest)
    over.scatter(places, shown, s=8, color=BLUE, alpha=0.4, linewidths=0, rasterized=True)
    over.axhline(0, linestyle="--", color=ORANGE, linewidth=1.2)
    over.set(title=f"{shortened(name)}: residuals", xlabel="predicted", ylabel="predicted - true")
    count(counted, rest, 40)
    counted.axvline(0, linestyle="--", color=ORANGE, linewidth=1.2)
    counted.set(title="Their distribution", xlabel="predicted - true", ylabel="samples")
    for axes in (over, counted):
        axes.ticklabel_format(scilimits=(-3, 4))
    return drawing


def histogram(values: np.ndarray, title: str, across: str) -> Figure:
    """How often values (N,) occur."""
    drawing, (axes,) = figure(4.2, 2.6)
    count(axes, values)
    axes.set(title=title, xlabel=across, ylabel="samples")
    return drawing


def scores_against_values(values: np.ndarray, scores: np.ndarray) -> Figure:
    """The score of each sample over its value, and the mean score of each value: (N,) both."""
    drawing, (axes,) = figure(5.2, 3.2)
    places, heights = some(values, scores)
    axes.scatter(places, heights, s=8, color=BLUE, alpha=0.4, linewidths=0, rasterized=True)
    distinct = np.unique(values)
    if len(distinct) <= 50:
        means = [scores[values == value].mean() for value in distinct]
        axes.plot(distinct, means, "o-", color=ORANGE, markersize=4, label="mean")
        axes.legend(fontsize=8)
    axes.set(title="Scores", xlabel="value", ylabel="score")
    return drawing


# ---------------------------------------------------------------------- small things


def count(axes: Axes, values: np.ndarray, bins: int = 30, colour: str = BLUE) -> None:
    """A histogram of the finite ones of some values (N,); of equal ones, which have no width, a
    single bar.
    """
    values = values[np.isfinite(values)].astype(np.float64)
    if not len(values):
        return
    low, high = float(values.min()), float(values.max())
    wide = high - low > 1e-6 * max(abs(low), abs(high))
    edges = np.linspace(low, high, bins + 1) if wide else np.array([low - 0.5, low + 0.5])
    axes.hist(values, bins=edges.tolist(), color=colour)


def some(*arrays: np.ndarray, most: int = SCATTERED) -> tuple[np.ndarray, ...]:
    """At most so many entries of each array, evenly spaced and the same ones of all."""
    rows = np.linspace(0, len(arrays[0]) - 1, min(most, len(arrays[0]))).astype(int)
    return tuple(array[rows] for array in arrays)
