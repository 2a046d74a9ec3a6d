"""Every private name of Lightning the engine touches, but for those of its loop over batches
(runs/lean.py), each with the reason; tests/engine/runs/test_internals.py pins them.

lightning is held to 2.6 in pyproject.toml. When a test there fails after an upgrade, the place to
mend is this file.
"""

from __future__ import annotations

import contextlib
import inspect
import os
from operator import attrgetter
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.profilers import PassThroughProfiler
from torchmetrics import Metric

LOGGED = (
    "prog_bar",
    "logger",
    "on_step",
    "on_epoch",
    "enable_graph",
    "add_dataloader_idx",
    "metric_attribute",
)


def undo_nvml_check() -> None:
    """Let torch ask CUDA itself whether there is a GPU, where there is none.

    Importing lightning sets PYTORCH_NVML_BASED_CUDA_CHECK, by which torch opens NVML to answer; and
    its optimizers ask in every step. With torch's CUDA build on a machine without a GPU that takes
    half of an Adam step of LeNet (164 of 313 us). Where there is a GPU the variable stays: it keeps
    processes that only ask from holding its memory.
    """
    if os.environ.get(NVML) == "1" and not torch.cuda.is_available():
        os.environ[NVML] = "0"


NVML = "PYTORCH_NVML_BASED_CUDA_CHECK"


class NullProfiler(PassThroughProfiler):
    """No profiling, without building a context manager for each of the 34 places a step passes."""

    _nothing = contextlib.nullcontext()

    def profile(self, action_name: str) -> Any:
        return self._nothing


def quicken(module: L.LightningModule) -> None:
    """Take two shortcuts in what Lightning does with a module in every step.

    It notes the running hook on it before and after each of 22 hooks, through the slow
    `nn.Module.__setattr__`; and it asks for the signature of training_step, which is kept here once
    it is known. The module's class becomes one that differs in just that and bears the same name.
    """
    kind = type(module)
    if not hasattr(kind, "quickened_from"):
        if kind not in QUICK:
            QUICK[kind] = _quick(kind)
        module.__class__ = QUICK[kind]


QUICK: dict[type, type] = {}  # class of a module -> the quicker one that stands for it


def _quick(kind: type[L.LightningModule]) -> type[L.LightningModule]:
    def note(self: L.LightningModule, name: str, value: Any) -> None:
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super(quick, self).__setattr__(name, value)

    step: Any = kind.training_step
    step.__signature__ = inspect.signature(step)
    names = {name: getattr(kind, name) for name in ("__module__", "__qualname__", "__doc__")}
    own = {"__setattr__": note, "quickened_from": kind, **names}
    quick: type[L.LightningModule] = type(kind.__name__, (kind,), own)
    return quick


def rewind_fetched_batch(loops: dict[str, Any]) -> None:
    """In a checkpoint written at the start of a batch: the batch that was only fetched has not
    happened.
    """
    progress = loops["fit_loop"]["epoch_loop.batch_progress"]
    for part in (progress["total"], progress["current"]):
        part["ready"] = part["started"] = part["processed"] = part["completed"]
    progress["is_last_batch"] = False


def open_next_epoch(loops: dict[str, Any]) -> None:
    """In a checkpoint written at the end of a run: stand before the next epoch, so that the run can
    be prolonged.
    """
    fit = loops["fit_loop"]
    for part in ("total", "current"):
        fit["epoch_progress"][part]["ready"] += 1
    for name in ("batch_progress", "scheduler_progress"):
        current = fit[f"epoch_loop.{name}"]["current"]
        current.update(dict.fromkeys(current, 0))
    for part in ("step", "zero_grad"):
        current = fit["epoch_loop.automatic_optimization.optim_progress"]["optimizer"][part][
            "current"
        ]
        current.update(dict.fromkeys(current, 0))
    total = fit["epoch_loop.val_loop.batch_progress"]["total"]
    total.update(dict.fromkeys(total, 0))


class ResumedStart:
    """Between the start of a resumed training and its first batch.

    The validation of the last step is done; a check interval of nan keeps Lightning from replaying
    its hooks (x % nan is never 0). At the first batch the interval returns, and the epoch no longer
    counts as restarting, since Lightning would leave out its plateau step at the epoch's end.
    """

    def __init__(self, trainer: L.Trainer) -> None:
        self.interval = trainer.val_check_batch
        trainer.val_check_batch = float("nan")

    def first_batch(self, trainer: L.Trainer) -> None:
        trainer.val_check_batch = self.interval
        trainer.fit_loop._restarting = False


def log_state(trainer: L.Trainer) -> dict[str, Any]:
    """What Lightning knows of logged values in the middle of an epoch and does not save: plain
    values and tensors.
    """
    connector = trainer._logger_connector
    results = {}
    for key, metric in trainer.fit_loop.epoch_loop._results.items():
        if metric.has_reset:
            continue
        meta = metric.meta
        saved = {name: getattr(meta, name) for name in LOGGED}
        saved |= {
            "fx": meta.fx,
            "name": meta.name,
            "reduce_fx": meta.reduce_fx.__name__,
            "sync": meta.sync._should,
        }
        saved |= {"rank_zero_only": meta.sync.rank_zero_only, "cache": metric._forward_cache}
        if metric.is_tensor:
            saved["value"] = metric.value.clone()
            if meta.is_mean_reduction:
                saved["size"] = metric.cumulated_batch_size.clone()
        results[key] = saved
    return {
        "results": results,
        "first": connector._first_loop_iter,
        "fx": connector._current_fx,
        "callback": dict(connector._callback_metrics),
        "logged": dict(connector._logged_metrics),
        "bar": dict(connector._progress_bar_metrics),
    }


def restore_log_state(trainer: L.Trainer, module: L.LightningModule, state: dict[str, Any]) -> None:
    """Put back what `log_state` saved."""
    connector = trainer._logger_connector
    connector._callback_metrics.update(state["callback"])
    connector._logged_metrics.update(state["logged"])
    connector._progress_bar_metrics.update(state["bar"])
    # None would make the first self.log after the resume reset the averages that are restored here.
    connector._first_loop_iter = None if state["first"] else False
    connector._current_fx = state["fx"]
    results = trainer.fit_loop.epoch_loop._results
    for key, saved in state["results"].items():
        is_tensor = "value" in saved
        value = (
            torch.zeros((), device=module.device)
            if is_tensor
            else attrgetter(saved["metric_attribute"])(module)
        )
        results.log(
            saved["fx"],
            saved["name"],
            value,
            **{name: saved[name] for name in LOGGED},
            reduce_fx=getattr(torch, saved["reduce_fx"]),
            batch_size=1,
            sync_dist=saved["sync"],
            sync_dist_fn=trainer.strategy.reduce,
            rank_zero_only=saved["rank_zero_only"],
        )
        metric = results[key]
        metric._forward_cache = saved["cache"]
        if is_tensor:
            metric.value = saved["value"].to(module.device)
            if "size" in saved:
                metric.cumulated_batch_size = saved["size"].to(module.device)


def metric_states(module: torch.nn.Module) -> dict[str, Any]:
    """The running states of every torchmetrics metric in a module."""
    return {
        name: {
            "count": metric._update_count,
            "state": {key: getattr(metric, key) for key in metric._defaults},
        }
        for name, metric in module.named_modules()
        if isinstance(metric, Metric) and metric._update_count
    }


def restore_metric_states(module: L.LightningModule, states: dict[str, Any]) -> None:
    """Put back what `metric_states` saved."""
    named = dict(module.named_modules())
    for name, saved in states.items():
        metric: Any = named[name]
        metric._update_count = saved["count"]
        for key, value in saved["state"].items():
            moved = (
                [part.to(module.device) for part in value]
                if isinstance(value, list)
                else value.to(module.device)
            )
            setattr(metric, key, moved)
