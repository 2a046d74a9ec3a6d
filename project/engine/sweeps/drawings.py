"""Drawings of a sweep: values over trials, over each parameter, and over all of them side by
side.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from ..formats import shortened
from ..reports.plots import BLUE, ORANGE, SHADES, figure

IN_A_ROW = 3  # slices


class Axis:
    """Where the values of a parameter stand: numbers by size (by power of ten on a log scale),
    words side by side.
    """

    def __init__(self, name: str, values: Sequence[Any], log: bool) -> None:
        self.name, self.log = name, log
        self.words: list[str] = []
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            self.places = np.array(values, dtype=float)
            # A few values given one by one are chosen by people in powers more often than not.
            self.log = log or (
                self.places.min() > 0 and self.places.max() / self.places.min() >= 100
            )
        else:
            texts = [str(value) for value in values]
            self.words = sorted(set(texts), key=by_number)
            self.places = np.array([self.words.index(text) for text in texts], dtype=float)

    def across(self, axes: Axes) -> None:
        """Label the horizontal axis."""
        axes.set_xlabel(shortened(self.name, 30))
        if self.words:
            axes.set_xticks(range(len(self.words)), [shortened(word, 12) for word in self.words])
        elif self.log:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())

    def shares(self) -> np.ndarray:
        """The places as shares of the range, 0 to 1."""
        places = np.log10(self.places) if self.log else self.places
        width = places.max() - places.min()
        return (places - places.min()) / width if width else np.full(len(places), 0.5)

    def ends(self) -> tuple[str, str]:
        if self.words:
            return shortened(self.words[0], 12), shortened(self.words[-1], 12)
        return f"{self.places.min():.4g}", f"{self.places.max():.4g}"


def by_number(text: str) -> str:
    """A key by which [16] comes before [128]."""
    return re.sub(r"\d+", lambda found: found[0].zfill(12), text)


def history(numbers: np.ndarray, values: np.ndarray, best: np.ndarray, name: str) -> Figure:
    """The value of each trial and the best so far, over the trials' numbers: (N,) each."""
    drawing, (axes,) = figure()
    axes.scatter(numbers, values, s=14, color=BLUE, label="trial")
    axes.step(numbers, best, where="post", color=ORANGE, label="best so far")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(title="Optimisation history", xlabel="trial", ylabel=name)
    axes.legend(fontsize=8)
    return drawing


def slices(parameters: Mapping[str, Axis], values: np.ndarray, name: str) -> Figure:
    """The value of each trial (N,) over each parameter."""
    rows = -(-len(parameters) // IN_A_ROW)
    drawing = Figure(
        figsize=(3.0 * min(len(parameters), IN_A_ROW) + 0.4, 2.5 * rows), layout="constrained"
    )
    for number, axis in enumerate(parameters.values()):
        axes = drawing.add_subplot(rows, min(len(parameters), IN_A_ROW), number + 1)
        points = axes.scatter(
            axis.places, values, s=14, c=np.arange(len(values)), cmap=SHADES, vmin=-len(values) / 2
        )
        points.set_edgecolor(BLUE)
        points.set_linewidth(0.5)
        axis.across(axes)
        axes.set_ylabel(name if number % IN_A_ROW == 0 else "")
    drawing.suptitle("Slices: later trials darker", fontsize=10, fontweight="bold")
    return drawing


def parallel(
    parameters: Mapping[str, Axis], values: np.ndarray, name: str, downwards: bool
) -> Figure:
    """A line for each trial through its parameters to its value (N,), of which the smallest is best
    if `downwards`.
    """
    drawing, (axes,) = figure(max(5.2, 1.3 * (len(parameters) + 1)), 3.2)
    columns = [*parameters.values(), Axis(name, list(values), log=False)]
    heights = np.stack([axis.shares() for axis in columns], axis=1)
    shade = Normalize(-0.3, 1.0)
    ranks = np.argsort(np.argsort(-values if downwards else values)) / max(
        1, len(values) - 1
    )  # 1 is best
    for place in np.argsort(ranks):
        axes.plot(heights[place], color=SHADES(shade(ranks[place])), linewidth=1.2)
    for place, axis in enumerate(columns):
        axes.axvline(place, color=ORANGE, linewidth=0.8)
        low, high = axis.ends()
        axes.text(place, -0.04, low, ha="center", va="top", fontsize=8)
        axes.text(place, 1.04, high, ha="center", va="bottom", fontsize=8)
    axes.set_xticks(range(len(columns)), [shortened(axis.name) for axis in columns])
    axes.tick_params(axis="x", pad=12, length=0)
    axes.set(ylim=(-0.12, 1.12), yticks=[])
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_title("Parallel coordinates: the darker, the better")
    return drawing
