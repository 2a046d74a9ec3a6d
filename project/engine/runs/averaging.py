"""Averaged weights: Lightning's WeightAveraging, told when to average.

EMAWeightAveraging needs no help of ours.
"""

from __future__ import annotations

from typing import Any

import lightning.pytorch as L
from lightning.pytorch.callbacks import WeightAveraging


class SWA(WeightAveraging):
    """Stochastic weight averaging: the mean of the weights at the end of each epoch from `start`
    on.

    Once there is a mean, it is what is validated, kept in checkpoints and left when the training
    ends. A learning rate that stays high in those epochs makes the weights that are averaged
    differ.
    Source: Izmailov et al.: Averaging Weights Leads to Wider Optima and Better Generalization,
        2018.

    Args:
        start: The first epoch, counted from 0, whose weights are part of the mean.
    """

    def __init__(self, start: int) -> None:
        super().__init__()
        self.start, self.averaged, self.epoch_ends = start, 0, False

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *rest: Any
    ) -> None:
        # Not in on_train_epoch_end: the epoch is validated before that.
        self.epoch_ends = trainer.is_last_batch and trainer.current_epoch >= self.start
        super().on_train_batch_end(trainer, pl_module, *rest)

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        update = step_idx is not None and self.epoch_ends
        self.averaged += update
        return update

    # Before the first epoch of the mean, Lightning would validate and save the weights that the run
    # began with.

    def on_validation_epoch_start(self, *arguments: Any) -> None:
        if self.averaged:
            super().on_validation_epoch_start(*arguments)

    def on_validation_epoch_end(self, *arguments: Any) -> None:
        if self.averaged:
            super().on_validation_epoch_end(*arguments)

    def on_train_end(self, *arguments: Any) -> None:
        if self.averaged:
            super().on_train_end(*arguments)

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self.averaged:
            super().on_save_checkpoint(trainer, pl_module, checkpoint)

    def on_load_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if "averaging_state" in checkpoint:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"averaged": self.averaged}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.averaged = state_dict["averaged"]
