"""What a person sees while a run goes on."""

from __future__ import annotations

import sys
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.callbacks import Callback, TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm

REFRESH = 50  # batches between two looks at the terminal: each one costs a tenth of a millisecond


class Bar(TQDMProgressBar):
    """One bar for the epoch in hand, with the figures of the last logging step."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=REFRESH, leave=False)

    def get_metrics(self, trainer: L.Trainer, pl_module: Any) -> dict[str, Any]:
        latest = getattr(pl_module, "latest", {})
        return {name.replace("train/", ""): f"{value:.4g}" for name, value in latest.items() if not name.startswith("val/")}

    def init_train_tqdm(self) -> Tqdm:
        bar = super().init_train_tqdm()
        bar.leave = False  # the epoch's line stays instead
        return bar

    def init_validation_tqdm(self) -> Tqdm:
        return Tqdm(disable=True, total=0)

    def on_train_epoch_start(self, trainer: L.Trainer, *_: Any) -> None:
        super().on_train_epoch_start(trainer)
        last = f"/{trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else ""
        self.train_progress_bar.set_description(f"epoch {trainer.current_epoch + 1}{last}")


def say(line: str) -> None:
    """Print a line that does not disturb a bar."""
    if sys.stdout.isatty():
        sys.stdout.write("\r\033[K")
    print(line, flush=True)


def bars() -> list[Callback]:
    """A bar where there is a terminal to draw it on."""
    return [Bar()] if sys.stdout.isatty() else []
