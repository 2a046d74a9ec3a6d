"""Exact resume: one save point, and a run that is killed and continued equals one that never was.

The save point is the start of a training batch with no gradient pending. There everything of the
last step is done and nothing of the next has begun, and because every random draw is a function of
its place (randomness.py), a checkpoint needs no generator. The causes this answers one by one are
in docs/resume.md.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import Callback

from ..building.schedules import length_is_open, rebuild
from ..errors import NotFinite
from ..randomness import reseed, run_seed
from ..ranks import of_each_rank, of_this_rank
from . import internals
from .checkpoints import forget_old, step_file
from .folder import RunFolder
from .records import MetricsFile
from .saved import End, refuse_other_states
from .signals import Signals


class Stop(SystemExit):
    """The end of a run at a save point, before its limits: `state` is the word for it in
    run.json.
    """

    def __init__(self, code: int, state: str) -> None:
        super().__init__(code)
        self.state = state


class ExactResume(Callback):
    """Saves and restores what a run needs to continue exactly. Must be the first callback of the
    list.

    Args:
        folder: Where checkpoints go; None saves nothing (fast_dev_run).
        every: Optimizer steps between two checkpoints.
        metrics: The metrics file, cut back to the checkpoint at a resume.
    """

    def __init__(self, folder: RunFolder | None, every: int, metrics: MetricsFile | None) -> None:
        self.folder, self.every, self.metrics = folder, every, metrics
        self.signals = Signals()
        self.seed = run_seed()
        self.finished = False
        self.saved_step = -1
        self.restored: dict[str, Any] | None = None
        self.states: list[dict[str, Any]] = []
        self.resumed: internals.ResumedStart | None = None
        self.mid_epoch_end = False
        self.stop_as: str | None = (
            None  # another callback's wish to stop at the next save point, and the state to stop in
        )

    # ------------------------------------------------------------------ saving

    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self.resumed is not None:
            self.resumed.first_batch(trainer)
            self.resumed = None
        if batch_idx % trainer.accumulate_grad_batches == 0:
            step, stop = trainer.global_step, self._asked_to_stop(trainer, module)
            if step != self.saved_step and (stop or self.stop_as or step % self.every == 0):
                self._save(trainer, module)
            if stop:
                raise Stop(128 + stop, "interrupted")
            if self.stop_as:
                raise Stop(0, self.stop_as)
        reseed(self.seed, "step", trainer.current_epoch, batch_idx, trainer.global_rank)

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.finished = True
        self._save(trainer, module)

    def _asked_to_stop(self, trainer: L.Trainer, module: L.LightningModule) -> int:
        if trainer.world_size == 1:
            return self.signals.received
        received = torch.tensor(float(self.signals.received), device=module.device)
        return int(trainer.strategy.reduce(received, reduce_op="max"))

    def _save(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.saved_step = trainer.global_step
        if self.folder is None:
            return
        for name, parameter in module.named_parameters():
            if not bool(torch.isfinite(parameter).all()):
                raise NotFinite(
                    f"the weight {name} is not finite at step {trainer.global_step}; "
                    f"the checkpoint before is kept in {self.folder}; "
                    "a lower --model.optimizer.lr or --trainer.gradient_clip_val 1 may help"
                )
        trainer.save_checkpoint(step_file(self.folder, trainer.global_step))
        forget_old(self.folder)

    def on_save_checkpoint(
        self, trainer: Any, module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        internals.rewind_fetched_batch(checkpoint["loops"])
        mid_epoch_end = self.finished and self._ended_mid_epoch(trainer)
        if self.finished and not mid_epoch_end:
            internals.open_next_epoch(checkpoint["loops"])
            checkpoint[type(trainer.datamodule).__qualname__]["batch"] = 0
        end = End(self.finished, mid_epoch_end, trainer.should_stop)
        keeps_metrics = self.metrics is not None and trainer.is_global_zero
        checkpoint["run"] = {
            **dataclasses.asdict(end),
            "metrics_file": self.metrics.mark() if keeps_metrics and self.metrics else None,
            "metric_states": of_each_rank(internals.metric_states(trainer.lightning_module)),
            "log": internals.log_state(trainer),
        }

    @staticmethod
    def _ended_mid_epoch(trainer: L.Trainer) -> bool:
        """Whether max_steps ended the run inside an epoch."""
        return (
            trainer.fit_loop.epoch_loop.batch_progress.current.completed
            < trainer.num_training_batches
        )

    # ------------------------------------------------------------------ restoring

    def on_load_checkpoint(
        self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.restored = checkpoint["run"]
        self.states = checkpoint["optimizer_states"]

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if self.restored is not None:  # before Lightning restores them
            refuse_other_states(trainer.optimizers, self.states)
        if self.metrics is not None and trainer.is_global_zero:
            self.metrics.begin(self.restored["metrics_file"] if self.restored else None)

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.signals.install()
        state, self.restored = self.restored, None
        if state is None:
            return
        self.saved_step = trainer.global_step
        self.resumed = internals.ResumedStart(trainer)
        trainer.should_stop = state["should_stop"]
        internals.restore_log_state(trainer, module, state["log"])
        internals.restore_metric_states(module, of_this_rank(state["metric_states"]))
        self._lengthen_schedules(trainer, module)

    @staticmethod
    def _lengthen_schedules(trainer: L.Trainer, module: Any) -> None:
        """A schedule as long as the run follows a run that is prolonged; torch restores the old
        length.
        """
        if module.make_schedule is None or not length_is_open(module.make_schedule):
            return
        for config in trainer.lr_scheduler_configs:
            schedule: Any = config.scheduler
            if schedule.total_steps != module.length():
                config.scheduler = rebuild(schedule, module.make_schedule, module.length)

    # ------------------------------------------------------------------ a loss that is not finite

    def on_before_backward(
        self, trainer: Any, module: L.LightningModule, loss: torch.Tensor
    ) -> None:
        """Stop before a bad loss reaches the weights.

        On a GPU the look costs a wait, so it is taken every n steps.
        """
        if loss.device.type != "cpu" and trainer.global_step % trainer.log_every_n_steps:
            return
        if math.isfinite(loss.item()):
            return
        epoch, batch = trainer.current_epoch, trainer.fit_loop.epoch_loop.batch_idx
        where = f"step {trainer.global_step + 1} (epoch {epoch}, batch {batch}"
        order = getattr(trainer.datamodule, "train_sampler", None)
        if order is not None:
            size = order.batch_size
            ids = order.samples(epoch)[batch * size : (batch + 1) * size].tolist()
            more = f" and {len(ids) - 8} more" if len(ids) > 8 else ""
            where += f", samples {ids[:8]}{more}"
        raise NotFinite(
            f"the loss is not finite at {where}); last checkpoint: step {max(0, self.saved_step)}; "
            "a lower --model.optimizer.lr or --trainer.gradient_clip_val 1 may help"
        )
