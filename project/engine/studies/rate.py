"""`lr-find`: the learning rate range test (Smith: Cyclical Learning Rates for Training Neural
Networks, 2017).

Lightning has one too. Its curve is an average that begins at half of the first loss and lags behind
the rates, its suggestion is the steepest slope per unit of the rate, which is noise at the smallest
rates (4e-7 for configs/housing.yaml), and it gives all parameter groups one rate. Here losses are
smoothed to both sides, and the suggestion is a third of the rate at which the loss begins to rise
again: in four configs of ours, one seed each, that trained better than the steepest slope per
decade.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from ..cli.arguments import CommandLine
from ..cli.parser import ProjectCLI
from ..errors import NotFinite, UserError
from .short import number_above, picture_path, prepared, train

SMOOTHING = (
    1 / 25
)  # standard deviation of the window that losses are averaged over, as a share of the steps
SMALLEST_FALL = 0.02  # of the first loss; less than this is taken for noise
SURE = 4.0  # a fall counts when it is so many times the standard error of the smoothed curve
RISE = (
    0.1  # of the fall: when the loss has risen by so much above its lowest, the rates are too high
)
SAFETY = 3.0  # the suggestion is so many times lower than that


class RateSweep(Callback):
    """Raises the rate of every parameter group from step to step, in their proportions, until the
    loss runs away.

    Args:
        lowest: The first rate.
        highest: The last one.
        steps: Rates tried, a constant factor apart.
        main: The rate of the config, against which groups have rates of their own.
    """

    def __init__(self, lowest: float, highest: float, steps: int, main: float) -> None:
        self.planned = np.geomspace(lowest, highest, steps)
        self.main = main
        self.own: list[list[float]] = []
        self.losses: list[list[float]] = []

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.own = [
            [group["lr"] for group in optimizer.param_groups] for optimizer in trainer.optimizers
        ]

    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if step < len(self.losses):  # a further batch of an accumulated step
            return
        self.losses.append([])
        for optimizer, rates in zip(trainer.optimizers, self.own, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate / self.main * self.planned[step]

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        loss: Tensor = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        self.losses[-1].append(
            loss.item() * trainer.accumulate_grad_batches
            if isinstance(outputs, Mapping)
            else loss.item()
        )
        trainer.should_stop = ran_away(self.curve)

    @property
    def curve(self) -> np.ndarray:
        """The mean loss of each step."""
        return np.array([np.mean(values) for values in self.losses if values])

    @property
    def rates(self) -> np.ndarray:
        return self.planned[: len(self.curve)]


def ran_away(losses: np.ndarray, last: int = 5) -> bool:
    """Whether the last losses stand as far above the first as the best stood below, or far above in
    any case.
    """
    if not np.isfinite(losses).all():
        return True
    if len(losses) < 2 * last:
        return False
    first, best = losses[0], smooth(losses, last / 2).min()
    return bool(losses[-last:].mean() > first + max(first - best, abs(first)))


def smooth(losses: np.ndarray, width: float) -> np.ndarray:
    """Each loss averaged with its neighbours to both sides, weighted by a normal curve of that
    width in steps.
    """
    distance = np.arange(len(losses))[:, None] - np.arange(len(losses))
    weights = np.exp(-0.5 * (distance / width) ** 2)
    return weights @ losses / weights.sum(1)


@dataclass(frozen=True)
class Found:
    """A curve of losses over rates, smoothed, and the highest rate that still served; none where
    the loss did not fall.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    edge: float | None

    @property
    def suggestion(self) -> float | None:
        return None if self.edge is None else self.edge / SAFETY


def judged(rates: np.ndarray, losses: np.ndarray, steps: int) -> Found:
    """The curve of a sweep that was to have so many steps, and where it begins to rise."""
    finite = np.isfinite(losses)
    rates, losses = rates[finite], losses[finite]
    width = max(1.0, SMOOTHING * steps)
    if len(losses):  # a loss that has run away says no more than that, whatever its size
        losses = np.minimum(losses, losses[0] + max(losses[0] - losses.min(), abs(losses[0])))
    smoothed = smooth(losses, width)
    lowest = int(smoothed.argmin()) if len(smoothed) else 0
    first = (
        min(smoothed[0], losses[0]) if len(losses) else 0.0
    )  # the smoothed one may have run away already
    fall = float(first - smoothed[lowest]) if len(losses) else 0.0
    if lowest == 0:
        return Found(rates, losses, smoothed, None)
    noise = float((losses - smoothed)[: lowest + 1].std()) / math.sqrt(
        2 * math.sqrt(math.pi) * width
    )  # of the smoothed curve
    if fall < max(SMALLEST_FALL * abs(smoothed[0]), SURE * noise):
        return Found(rates, losses, smoothed, None)
    risen = np.flatnonzero(smoothed[lowest:] > smoothed[lowest] + RISE * fall)
    last = lowest + int(risen[0]) - 1 if len(risen) else len(rates) - 1
    return Found(rates, losses, smoothed, float(rates[last]))


def find_rate(request: CommandLine) -> int:
    """RateSweep the rate over a short training, print the suggestion and draw the curve; returns
    the exit code.
    """
    lowest = number_above(request, "--min_lr", 1e-6, 1e-12)
    highest = number_above(request, "--max_lr", 10.0, 2 * lowest)
    steps = int(number_above(request, "--steps", 200, 20))
    path = picture_path(request, "lr-find.png")
    cli = prepared(request)
    if cli is None:
        return 0
    option, main = option_of_the_rate(cli)
    sweep = RateSweep(lowest, highest, steps, main)
    with contextlib.suppress(NotFinite):  # the sweep ends there
        train(cli, sweep, steps)
    found = judged(sweep.rates, sweep.curve, steps)
    draw(found, main, path)
    print(report(found, option, main, steps, highest, own_rates(sweep, main)))
    print(f"picture   {path}")
    return 0


def option_of_the_rate(cli: ProjectCLI) -> tuple[str, float]:
    """The option that sets the rate, and the optimizer's rate as it is.

    Raises:
        UserError: the optimizer has none.
    """
    settings = cli.config_tree["model"]["init_args"]
    optimizer, schedule = settings["optimizer"], settings.get("schedule") or {}
    main = (optimizer.get("init_args") or {}).get("lr")
    if not isinstance(main, (int, float)) or main <= 0:
        name = optimizer["class_path"].rpartition(".")[2]
        raise UserError(
            f"--model.optimizer.lr: {name} has no rate above 0 that could be varied; give it "
            "one, as in 0.001"
        )
    sets_peak = "max_lr" in (schedule.get("init_args") or {})
    return "--model.schedule.max_lr" if sets_peak else "--model.optimizer.lr", float(main)


def own_rates(sweep: RateSweep, main: float) -> list[float]:
    """The rates of groups that differ from the optimizer's, as shares of it."""
    return sorted(
        {rate / main for rates in sweep.own for rate in rates if not math.isclose(rate, main)}
    )


def report(
    found: Found, option: str, main: float, steps: int, highest: float, own: Sequence[float]
) -> str:
    """What was found, in a few lines."""
    if found.edge is None:
        if len(found.rates) < steps:
            return (
                "no rate lowered the loss before it ran away: more --steps, a smaller --min_lr, "
                "or other data or another loss"
            )
        return f"no rate up to {highest:g} lowered the loss; try a larger --max_lr or more --steps"
    lines = [
        f"the loss falls up to a rate of {found.edge:.2g}; a third of that leaves room, the "
        f"config has {main:g}",
        f"use       {option} {found.suggestion:.2g}",
    ]
    if found.edge == found.rates[-1]:
        lines.insert(
            1,
            "it has not risen by then: a larger --max_lr shows where, or all samples are learnt: "
            "fewer --steps",
        )
    if own:
        shares = ", ".join(f"{share:.2g}" for share in own)
        lines.append(
            f"groups    with rates of their own went along, at {shares} times that rate: "
            "--model.groups"
        )
    return "\n".join(lines)


def draw(found: Found, main: float, path: Path) -> None:
    """The losses over the rates as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot(xscale="log", xlabel="learning rate", ylabel="training loss")
    axes.plot(found.rates, found.losses, color="0.8", linewidth=1, label="each step")
    axes.plot(found.rates, found.smoothed, color="tab:blue", label="smoothed")
    axes.axvline(main, color="0.5", linestyle=":", label=f"the config: {main:g}")
    if found.suggestion is not None:
        height = np.interp(found.suggestion, found.rates, found.smoothed)
        axes.plot(
            found.suggestion,
            height,
            "o",
            color="tab:red",
            label=f"suggestion: {found.suggestion:.2g}",
        )
    if len(found.smoothed):
        low, first = found.smoothed.min(), found.smoothed[0]
        room = max(first - low, 0.1 * abs(first), 1e-12)
        axes.set_ylim(low - 0.2 * room, max(first, low) + 0.6 * room)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
