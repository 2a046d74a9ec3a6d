"""Draw losses of numbers over the error, and beside them their slope: what pulls on a network for a
small error and a large one.

    python scripts/draw_losses.py                            # docs/losses.png: SmoothL1 beside L1,
    Huber and MSE python scripts/draw_losses.py SmoothL1 L1 --beta 0.5 --output smooth.png

SmoothL1 is Huber over its delta; where beta and delta are 1 the two are the same line.
"""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path

import matplotlib
import torch
from torch import Tensor

from project.engine import losses_for
from project.engine.cli.classes import load_class
from project.engine.registry import TABLES
from project.engine.reports.plots import COLOURS, DASHES, PLAIN, figure

NAMES = losses_for("number").split(", ")
FAR = 3.0  # errors up to this, on both sides of 0
HIGHEST = 4.0


def values(name: str, options: dict[str, float]) -> tuple[str, Tensor, Tensor, Tensor]:
    """A loss with the options it takes: its name, errors, losses and slopes, (N,) each."""
    kind = load_class(TABLES["losses"][name][0], name)
    taken = {
        key: value for key, value in options.items() if key in inspect.signature(kind).parameters
    }
    errors = (torch.arange(-300, 301) * FAR / 300).requires_grad_()
    losses = kind(reduction="none", **taken)(errors, torch.zeros(len(errors)))
    (slopes,) = torch.autograd.grad(losses.sum(), errors)
    label = ", ".join([name, *(f"{key} {value:g}" for key, value in taken.items())])
    return label, errors.detach(), losses.detach(), slopes


def draw(names: list[str], options: dict[str, float], path: Path) -> None:
    """Write the picture."""
    with matplotlib.rc_context(PLAIN):
        drawing, (left, right) = figure(9.0, 3.6, columns=2)
        for i, name in enumerate(names):
            label, errors, losses, slopes = values(name, options)
            style = {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i % len(DASHES)]}
            left.plot(errors, losses, label=label, **style)
            right.plot(errors, slopes, **style)
        left.set(title="loss", xlabel="error", ylim=(0, HIGHEST))
        right.set(title="slope", xlabel="error", ylim=(-HIGHEST, HIGHEST))
        left.legend(loc="upper center")
        drawing.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="LOSS", help=f"of {', '.join(NAMES)}; default: all"
    )
    parser.add_argument(
        "--beta", type=float, default=1.0, help="of SmoothL1: squared below this error"
    )
    parser.add_argument(
        "--delta", type=float, default=0.5, help="of Huber: squared below this error"
    )
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent.parent / "docs" / "losses.png"
    )
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in NAMES]:
        parser.error(f"unknown loss {unknown[0]!r}; there are {', '.join(NAMES)}")
    draw(
        given.names or ["SmoothL1", "L1", "Huber", "MSE"],
        {"beta": given.beta, "delta": given.delta},
        given.output,
    )
    print(given.output)


if __name__ == "__main__":
    main()
