"""Lightning's loop over the batches of an epoch, without what nobody asked for.

Where nothing unusual is asked (one process, one optimizer, automatic optimization), a batch goes
through here in Lightning's order, calling every hook that somebody overrides and no other; anything
else goes through Lightning's own `advance`. The two end with the same bits: `--run.lean false`
always takes Lightning's, tests/engine/runs/test_lean.py compares them, and tells when the code of
Lightning that this follows has changed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loops.fetchers import _DataFetcher
from lightning.pytorch.loops.optimization.automatic import ClosureResult
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy

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


HOOKS = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)


@dataclass
class Plan:
    """What a batch of the epoch goes through."""

    callbacks: dict[str, Hooks]
    module_hooks: dict[str, Callable[..., Any]]
    data: Any
    module: Any
    optimizer: Any
    stepper: Any  # the optimizer, or what steps for it
    device: torch.device
    autocast: Callable[[], Any] | None
    clips: bool


def plan_of(trainer: Any) -> Plan | None:
    """The plan of an epoch; None where Lightning's own loop is needed."""
    data, strategy = trainer.datamodule, trainer.strategy
    module: Any = trainer.lightning_module
    precision = strategy.precision_plugin
    if (
        type(strategy) is not SingleDeviceStrategy
        or id(strategy.model) != id(module)  # compiled or wrapped
        or not module.automatic_optimization
        or trainer.accumulate_grad_batches != 1
        or trainer.fit_loop._skip_backward
        or not isinstance(trainer.profiler, PassThroughProfiler)
        or type(precision) not in (Precision, MixedPrecision)
        or getattr(precision, "scaler", None) is not None
        or any(is_overridden(module, name, L.LightningModule) for name in REPLACED)
        or list(inspect.signature(module.training_step).parameters) != ["batch", "batch_idx"]
        or is_overridden(data, "on_before_batch_transfer", L.LightningDataModule)
    ):
        return None
    optimizer = trainer.optimizers[0]
    if isinstance(optimizer, torch.optim.LBFGS) or _has_hooks(optimizer):
        return None

    def of_callbacks(name: str) -> Hooks:
        found = [c for c in trainer.callbacks if is_overridden(c, name, Callback)]
        return [getattr(callback, name) for callback in found]

    own = {
        name: getattr(module, name)
        for name in HOOKS
        if is_overridden(module, name, L.LightningModule)
    }
    clips = is_overridden(module, "configure_gradient_clipping", L.LightningModule)
    return Plan(
        callbacks={name: of_callbacks(name) for name in HOOKS},
        module_hooks=own,
        data=data,
        module=module,
        optimizer=optimizer,
        stepper=fused.FusedStep(optimizer) if fused.fits(optimizer) else optimizer,
        device=strategy.root_device,
        autocast=precision.train_step_context if type(precision) is MixedPrecision else None,
        clips=clips or bool(trainer.gradient_clip_val),
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
        self.plan = plan_of(self.trainer)

    def advance(self, data_fetcher: _DataFetcher) -> None:
        """Run one batch."""
        plan = self.plan
        if plan is None or self.restarting:
            return super().advance(data_fetcher)
        trainer, module, data, optimizer = self.trainer, plan.module, plan.data, plan.optimizer
        callbacks, hooks, noted = plan.callbacks, plan.module_hooks, module.__dict__
        self.val_loop.restarting = False
        batch, _, _ = next(data_fetcher)
        index = self.batch_idx + 1
        progress = self.batch_progress
        progress.is_last_batch = data_fetcher.done
        batch = data.transfer_batch_to_device(batch, plan.device, 0)
        batch = data.on_after_batch_transfer(batch, 0)
        progress.increment_ready()
        connector, results = trainer._logger_connector, self._results
        connector._first_loop_iter = connector._first_loop_iter is None
        results.batch, results.batch_size, results.dataloader_idx = batch, None, None

        def call(name: str, *arguments: Any) -> Any:
            noted["_current_fx_name"] = name
            for hook in callbacks[name]:
                hook(trainer, module, *arguments)
            result = hooks[name](*arguments) if name in hooks else None
            noted["_current_fx_name"] = None
            return result

        if call("on_train_batch_start", batch, index) == -1:
            progress.increment_by(0, is_last_batch=True)
            progress.increment_processed()
            self._schedules()
            raise StopIteration
        progress.increment_started()
        steps = self.automatic_optimization.optim_progress.optimizer
        steps.step.increment_ready()
        noted["_current_fx_name"] = "training_step"
        if plan.autocast is None:
            output = module.training_step(batch, index)
        else:
            with plan.autocast():
                output = module.training_step(batch, index)
        noted["_current_fx_name"] = None
        if isinstance(output, torch.Tensor):
            loss: Any = output
            outputs: dict[str, Any] = {"loss": output.detach()}
        else:
            result = ClosureResult.from_training_step_output(output)
            loss, outputs = result.closure_loss, {} if result.loss is None else result.asdict()
        steps.zero_grad.increment_ready()
        call("on_before_zero_grad", optimizer)
        steps.zero_grad.increment_started()
        plan.stepper.zero_grad()
        steps.zero_grad.increment_completed()
        if loss is not None:
            call("on_before_backward", loss)
            loss.backward()
            call("on_after_backward")
        call("on_before_optimizer_step", optimizer)
        if plan.clips:
            noted["_current_fx_name"] = "configure_gradient_clipping"
            module.configure_gradient_clipping(
                optimizer, trainer.gradient_clip_val, trainer.gradient_clip_algorithm
            )
            noted["_current_fx_name"] = None
        plan.stepper.step()
        steps.step.increment_completed()
        progress.increment_processed()
        self._schedules()
        call("on_train_batch_end", outputs, batch, index)
        if all(value.has_reset for value in results.values()):  # nobody has logged
            results.batch = results.batch_size = None
            progress.increment_completed()
        else:
            connector.on_batch_end()
            progress.increment_completed()
            connector.update_train_step_metrics()

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


def make_lean(trainer: L.Trainer) -> None:
    """Give a Trainer, before it fits, this loop over its batches."""
    own = trainer.fit_loop.epoch_loop
    trainer.fit_loop.epoch_loop = LeanEpochLoop(trainer, own.min_steps, own.max_steps)
