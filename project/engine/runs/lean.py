"""Lightning's loops over batches, in training and in evaluation, without what nobody asked for.

Where nothing unusual is asked (one process, one optimizer, automatic optimization), a batch goes
through here in Lightning's order, calling every hook that somebody overrides and no other; anything
else goes through Lightning's own code. The two end with the same bits: `--run.lean false`
always takes Lightning's, tests/engine/runs/test_lean.py compares them, and tells when the code of
Lightning that this follows has changed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loops.evaluation_loop import _EvaluationLoop
from lightning.pytorch.loops.fetchers import _DataFetcher, _DataLoaderIterDataFetcher
from lightning.pytorch.loops.optimization.automatic import ClosureResult
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy
from lightning.pytorch.utilities.exceptions import SIGTERMException

from . import fused

Hooks = list[Callable[..., Any]]
# Hooks of a module that stand for a step of the loop: who overrides one gets Lightning's loop.
REPLACED = (
    "optimizer_step",
    "backward",
    "optimizer_zero_grad",
    "on_before_batch_transfer",
    "transfer_batch_to_device",
    "on_after_batch_transfer",
    "lr_scheduler_step",
)


def is_overridden(owner: Any, name: str, base: type) -> bool:
    """Whether an object has a hook of its own in place of its base class's empty one."""
    return name in vars(owner) or getattr(type(owner), name) is not getattr(base, name)


TRAINING = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)


class Plan:
    """What each batch goes through, of which Lightning asks anew for every batch.

    Args:
        names: The hooks that are called.
        step: The name of the module's step.
        context: The name of its context, of the precision.
    """

    def __init__(self, trainer: Any, names: Sequence[str], step: str, context: str) -> None:
        module, precision = trainer.lightning_module, trainer.strategy.precision_plugin
        self.trainer, self.module, self.data = trainer, module, trainer.datamodule
        self.device = trainer.strategy.root_device
        self.step, self.step_name = getattr(module, step), step
        self.autocast = getattr(precision, context) if type(precision) is MixedPrecision else None
        self.callbacks: dict[str, Hooks] = {
            name: [getattr(c, name) for c in trainer.callbacks if is_overridden(c, name, Callback)]
            for name in names
        }
        self.own = {
            name: getattr(module, name)
            for name in names
            if is_overridden(module, name, L.LightningModule)
        }

    def moved(self, batch: Any, results: Any) -> Any:
        """The batch on its device and prepared, and known to the results."""
        batch = self.data.transfer_batch_to_device(batch, self.device, 0)
        batch = self.data.on_after_batch_transfer(batch, 0)
        connector = self.trainer._logger_connector
        connector._first_loop_iter = connector._first_loop_iter is None
        results.batch, results.batch_size, results.dataloader_idx = batch, None, None
        return batch

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a hook of the callbacks, then the module's own, and return what that returns."""
        noted = self.module.__dict__
        noted["_current_fx_name"] = name
        for hook in self.callbacks[name]:
            hook(self.trainer, self.module, *arguments)
        result = self.own[name](*arguments) if name in self.own else None
        noted["_current_fx_name"] = None
        return result

    def output(self, batch: Any, index: int) -> Any:
        """What the step of the module returns."""
        noted = self.module.__dict__
        noted["_current_fx_name"] = self.step_name
        if self.autocast is None:
            output = self.step(batch, index)
        else:
            with self.autocast():
                output = self.step(batch, index)
        noted["_current_fx_name"] = None
        return output

    def has_logged(self, results: Any, progress: Any) -> bool:
        """Complete the batch; returns whether somebody has logged in it."""
        somebody = not all(value.has_reset for value in results.values())
        if somebody:
            self.trainer._logger_connector.on_batch_end()
        else:
            results.batch = results.batch_size = None
        progress.increment_completed()
        return somebody


def is_usual(trainer: Any, step: str) -> bool:
    """Whether a batch may go through the loops here: one process, nothing wrapped or replaced."""
    strategy, module = trainer.strategy, trainer.lightning_module
    precision = strategy.precision_plugin
    return (
        type(strategy) is SingleDeviceStrategy
        and id(strategy.model) == id(module)  # neither compiled nor wrapped
        and isinstance(trainer.profiler, PassThroughProfiler)
        and type(precision) in (Precision, MixedPrecision)
        and getattr(precision, "scaler", None) is None
        and not any(is_overridden(module, name, L.LightningModule) for name in REPLACED)
        and list(inspect.signature(getattr(module, step)).parameters) == ["batch", "batch_idx"]
        and not is_overridden(trainer.datamodule, "on_before_batch_transfer", L.LightningDataModule)
    )


def is_plain(trainer: Any) -> bool:
    """Whether one optimizer steps after each batch."""
    optimizer = trainer.optimizers[0]
    return (
        trainer.lightning_module.automatic_optimization
        and trainer.accumulate_grad_batches == 1
        and not trainer.fit_loop._skip_backward
        and not isinstance(optimizer, torch.optim.LBFGS)
        and not _has_hooks(optimizer)
    )


def _has_hooks(optimizer: Any) -> bool:
    return bool(
        getattr(optimizer, "_optimizer_step_pre_hooks", None)
        or getattr(optimizer, "_optimizer_step_post_hooks", None)
    )


class LeanEpochLoop(_TrainingEpochLoop):
    """The loop over the batches of an epoch; see the module."""

    plan: Plan | None = None

    def on_run_start(self, data_fetcher: _DataFetcher) -> None:
        super().on_run_start(data_fetcher)
        trainer: Any = self.trainer
        self.plan = None
        if is_usual(trainer, "training_step") and is_plain(trainer):
            self.plan = Plan(trainer, TRAINING, "training_step", "train_step_context")
            self.optimizer = trainer.optimizers[0]
            fits = fused.fits(self.optimizer)
            self.stepper = fused.FusedStep(self.optimizer) if fits else self.optimizer
            self.clips = bool(trainer.gradient_clip_val) or is_overridden(
                trainer.lightning_module, "configure_gradient_clipping", L.LightningModule
            )

    def advance(self, data_fetcher: _DataFetcher) -> None:
        """Run one batch."""
        plan = self.plan
        if plan is None or self.restarting:
            return super().advance(data_fetcher)
        trainer, module, optimizer = self.trainer, plan.module, self.optimizer
        call, noted = plan.call, module.__dict__
        self.val_loop.restarting = False
        batch, _, _ = next(data_fetcher)
        index = self.batch_idx + 1
        progress = self.batch_progress
        progress.is_last_batch = data_fetcher.done
        results = self._results
        batch = plan.moved(batch, results)
        progress.increment_ready()
        if call("on_train_batch_start", batch, index) == -1:
            progress.increment_by(0, is_last_batch=True)
            progress.increment_processed()
            self._schedules()
            raise StopIteration
        progress.increment_started()
        steps = self.automatic_optimization.optim_progress.optimizer
        steps.step.increment_ready()
        output = plan.output(batch, index)
        if isinstance(output, torch.Tensor):
            loss: Any = output
            outputs: dict[str, Any] = {"loss": output.detach()}
        else:
            result = ClosureResult.from_training_step_output(output)
            loss, outputs = result.closure_loss, {} if result.loss is None else result.asdict()
        steps.zero_grad.increment_ready()
        call("on_before_zero_grad", optimizer)
        steps.zero_grad.increment_started()
        self.stepper.zero_grad()
        steps.zero_grad.increment_completed()
        if loss is not None:
            call("on_before_backward", loss)
            loss.backward()
            call("on_after_backward")
        call("on_before_optimizer_step", optimizer)
        if self.clips:
            noted["_current_fx_name"] = "configure_gradient_clipping"
            module.configure_gradient_clipping(
                optimizer, trainer.gradient_clip_val, trainer.gradient_clip_algorithm
            )
            noted["_current_fx_name"] = None
        self.stepper.step()
        steps.step.increment_completed()
        progress.increment_processed()
        self._schedules()
        call("on_train_batch_end", outputs, batch, index)
        if plan.has_logged(results, progress):
            trainer._logger_connector.update_train_step_metrics()

    def on_advance_end(self, data_fetcher: _DataFetcher) -> None:
        """Validate where that is due."""
        trainer: Any = self.trainer
        if (
            self.plan is None
            or self._skip_next_val
            or self.batch_progress.is_last_batch
            or trainer.should_stop
            or trainer.received_sigterm
            or trainer.lr_scheduler_configs
            or trainer.check_val_every_n_epoch is None
            or trainer._val_check_time_interval is not None
            or trainer.val_check_batch is None
            or not (self.batch_idx + 1) % trainer.val_check_batch
        ):
            super().on_advance_end(data_fetcher)
        else:
            self._batches_that_stepped += 1

    def _schedules(self) -> None:
        if self.trainer.lr_scheduler_configs:
            self.update_lr_schedulers("step", update_plateau_schedulers=False)
            if self._num_ready_batches_reached():
                self.update_lr_schedulers("epoch", update_plateau_schedulers=False)


class LeanEvaluationLoop(_EvaluationLoop):
    """The loop over the batches of a validation or test; see the module."""

    plan: Plan | None = None

    def on_run_start(self) -> None:
        super().on_run_start()
        kind = "test" if self.trainer.testing else "val"
        stage = "test" if self.trainer.testing else "validation"
        self.names = f"on_{stage}_batch_start", f"on_{stage}_batch_end"
        self.plan = None
        if (
            self.num_dataloaders == 1
            and not isinstance(self._data_fetcher, _DataLoaderIterDataFetcher)
            and is_usual(self.trainer, f"{stage}_step")
        ):
            self.plan = Plan(self.trainer, self.names, f"{stage}_step", f"{kind}_step_context")

    def _evaluation_step(self, batch: Any, batch_idx: int, dataloader_idx: int, *rest: Any) -> None:
        plan, (start, end) = self.plan, self.names
        if plan is None:
            return super()._evaluation_step(batch, batch_idx, dataloader_idx, *rest)
        trainer, results, progress = self.trainer, self._results, self.batch_progress
        batch = plan.moved(batch, results)
        progress.increment_ready()
        plan.call(start, batch, batch_idx)
        progress.increment_started()
        output = plan.output(batch, batch_idx)
        progress.increment_processed()
        plan.call(end, output, batch, batch_idx)
        somebody = plan.has_logged(results, progress)
        if not trainer.sanity_checking:
            self._has_run = True
            seen = self._seen_batches_per_dataloader
            if somebody:
                trainer._logger_connector.update_eval_step_metrics(seen[0])
            seen[0] += 1
        if trainer.received_sigterm and not progress.is_last_batch:
            raise SIGTERMException


def make_lean(trainer: L.Trainer) -> None:
    """Give a Trainer, before it fits or tests, these loops over its batches."""
    own = trainer.fit_loop.epoch_loop
    lean = LeanEpochLoop(trainer, own.min_steps, own.max_steps)
    trainer.fit_loop.epoch_loop = lean
    for loop, holder, name in (
        (own.val_loop, lean, "val_loop"),
        (trainer.validate_loop, trainer, "validate_loop"),
        (trainer.test_loop, trainer, "test_loop"),
    ):
        made = LeanEvaluationLoop(
            trainer, loop._trainer_fn, loop._stage, loop.verbose, loop.inference_mode
        )
        setattr(holder, name, made)
