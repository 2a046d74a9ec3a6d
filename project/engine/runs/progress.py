"""What a person sees while a run goes on: a bar where there is a terminal, a line per epoch, lines
between on request.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.callbacks import Callback, ProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from tqdm import tqdm

from ..formats import duration, metric

EVERY = 0.2  # seconds between two drawings of the bar: each costs a tenth of a millisecond
WIDTH = 80


class Line(tqdm):
    """A bar at the foot of the terminal that leaves nothing behind."""

    monitor_interval = 0  # no thread that redraws it
    text = ""

    def __init__(self, what: str, total: float, samples: int, first: int, on: bool) -> None:
        super().__init__(
            desc=what,
            total=total if total < float("inf") else None,
            unit="",
            unit_scale=samples,
            initial=first,
            disable=not on,
            leave=False,
            dynamic_ncols=True,
            file=sys.stdout,
            smoothing=0,
            bar_format="{desc} {percentage:3.0f}%|{bar}| {text}",
        )

    @property
    def format_dict(self) -> dict[str, Any]:
        """What stands behind the bar is samples a second, and the text."""
        known = super().format_dict
        done = (known["n"] - known["initial"]) * known["unit_scale"]
        speed = f"{done / known['elapsed']:,.0f}/s" if done > 0 and known["elapsed"] else ""
        return known | {"text": f"{speed} {self.text}".strip()}


class Bar(ProgressBar):
    """One line for what is in hand: how far it is, samples a second, the time the run has left, the
    latest metrics.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on, self.drawn = True, 0.0
        self.line: Line | None = None

    def enable(self) -> None:
        self.on = True

    def disable(self) -> None:
        self.on = False

    def begin(self, what: str, total: float, factor: int = 1, first: int = 0) -> None:
        self.end()
        trainer: Any = self.trainer
        samples = factor * getattr(trainer.datamodule, "batch_size", 1) * trainer.world_size
        self.line = Line(what, total, samples, first, self.on)

    def move(self, done: int, text: str = "") -> None:
        if self.line is not None:
            self.drawn = time.monotonic()
            self.line.n = done
            self.line.text = text
            self.line.refresh()

    def end(self) -> None:
        if self.line is not None:
            self.line.close()
            self.line = None

    @property
    def is_due(self) -> bool:
        return time.monotonic() - self.drawn > EVERY

    # ------------------------------------------------------------------ training

    def on_train_start(self, trainer: Any, module: L.LightningModule) -> None:
        self.began, self.first_step = time.monotonic(), trainer.global_step
        self.begin_epoch(trainer, trainer.fit_loop.epoch_loop.batch_progress.current.completed)

    def on_train_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.begin_epoch(trainer, 0)

    def begin_epoch(self, trainer: L.Trainer, first: int) -> None:
        self.begin(f"epoch {epoch_of(trainer)}", self.total_train_batches, first=first)

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.is_due:
            self.move(batch_idx + 1, self.text(trainer, module))

    def on_validation_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.state.fn == "fit" and self.line is not None:
            self.line.set_description_str(f"epoch {epoch_of(trainer)} validation")
        elif trainer.state.fn == "validate":
            self.begin("validate", self.total_val_batches, factor=4)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.state.fn == "fit" and self.line is not None:
            self.line.set_description_str(f"epoch {epoch_of(trainer)}")

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.end()

    def text(self, trainer: Any, module: Any) -> str:
        """The time left and the latest metrics of training."""
        left = ""
        steps, done = trainer.estimated_stepping_batches, trainer.global_step - self.first_step
        if steps < float("inf") and done:
            seconds = (time.monotonic() - self.began) / done * (steps - trainer.global_step)
            left = f"{tqdm.format_interval(seconds)} left "
        latest = getattr(module, "latest", {})
        return left + " ".join(
            f"{name.removeprefix('train/')} {value:.3g}"
            for name, value in latest.items()
            if not name.startswith("val/")
        )

    # ------------------------------------------------------------------ evaluation

    def on_test_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.begin("test", sum(trainer.num_test_batches), factor=4)

    def on_predict_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.begin("predict", sum(trainer.num_predict_batches), factor=4)

    def on_validation_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        if trainer.state.fn == "validate" and self.is_due:
            self.move(batch_idx + 1)

    def on_test_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        if self.is_due:
            self.move(batch_idx + 1)

    def on_predict_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        if self.is_due:
            self.move(batch_idx + 1)

    def teardown(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        self.end()

    def on_exception(
        self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException
    ) -> None:
        self.end()


def epoch_of(trainer: L.Trainer) -> str:
    """The epoch in hand as people count: `3/10`."""
    last = f"/{trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else ""
    return f"{trainer.current_epoch + 1}{last}"


def say(line: str) -> None:
    """Print a line above a bar, or just print it."""
    tqdm.write(line, file=sys.stdout)
    sys.stdout.flush()


def bars() -> list[Callback]:
    """A bar where there is a terminal to draw it on."""
    return [Bar()] if sys.stdout.isatty() and os.environ.get("TERM") != "dumb" else []


class EpochTable:
    """A row for each epoch, under a head that is printed once; what has no room in the width is
    left to epochs.csv.
    """

    def __init__(self) -> None:
        self.names: list[str] = []

    def rows(
        self, epoch: str, values: Mapping[str, float], monitor: str, speed: float, seconds: float
    ) -> list[str]:
        """The row of an epoch, the head before the first."""
        lines = []
        if not self.names:
            self.names = self._fitting(list(values), monitor)
            lines.append(
                self._line(
                    "epoch", [f"{name:>{width(name)}}" for name in self.names], "samples/s", "time"
                )
            )
        cells = [f"{metric(values.get(name)):>{width(name)}}" for name in self.names]
        return [*lines, self._line(epoch, cells, f"{speed:,.0f}", duration(seconds))]

    @staticmethod
    def _line(epoch: str, cells: list[str], speed: str, seconds: str) -> str:
        return f"{epoch:<7}  {'  '.join(cells)}  {speed:>9}  {seconds:>7}"

    @staticmethod
    def _fitting(names: list[str], monitor: str) -> list[str]:
        """As many names as the width allows, the most telling first: the losses, what is monitored,
        validation, training.
        """
        ranked = [
            "train/loss",
            "val/loss",
            monitor,
            *(name for name in names if name.startswith("val/")),
            *names,
        ]
        room, chosen = WIDTH - len(EpochTable._line("", [""], "", "")) + 2, set[str]()
        for name in dict.fromkeys(ranked):
            if name in names and width(name) + 2 <= room:
                room -= width(name) + 2
                chosen.add(name)
        return [name for name in names if name in chosen]


def width(name: str) -> int:
    return max(len(name), 7)


class StepPrinter(Logger):
    """A line on the screen every n optimizer steps, from the rows that all loggers get."""

    name = property(lambda self: "")
    version = property(lambda self: "")

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every = every

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """They stand in config.yaml."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if step is not None and step % self.every == 0 and "train/loss" in metrics:
            words = (
                f"{name.removeprefix('train/')} {metric(value)}"
                for name, value in metrics.items()
                if name != "epoch"
            )
            say(f"step {step:<6}  {'  '.join(words)}")
