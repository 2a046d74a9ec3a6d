"""The process a command runs in: what it prints, how many threads and devices it takes."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from ..errors import UserError
from ..registry import PROGRAM
from ..runs.files import available_cores
from ..runs.signals import STOPPING

# Warnings about what is so on purpose.
SETTLED = (
    ".*does not have many workers.*",  # batches come from memory: workers would slow them down
    ".*smaller than the logging interval.*",
    ".*LeafSpec.*",  # a deprecation between Lightning and torch
    ".*exists and is not empty.*",  # the run folder is claimed before the Trainer exists
    ".*WeightAveraging callback with a model that overrides.*",  # no sharding here
    # what is logged has been reduced over the processes
    ".*recommended to use .self.log.*sync_dist=True.*",
    ".*Found keys that are not in the model state dict.*",
    # scripts/slurm.sh uses it, under a name by which Lightning leaves the job to us
    ".*`srun` command is available.*",
)


@contextlib.contextmanager
def quiet(debug: bool) -> Iterator[None]:
    """Without Lightning's tips and start-up notes, and without warnings about what is settled here
    on purpose.
    """
    import lightning.pytorch  # noqa: F401 - which sets the levels of its loggers, once

    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        if not debug:
            for logger in loggers:
                logger.setLevel(logging.WARNING)
            for message in SETTLED:
                warnings.filterwarnings("ignore", message=message)
        hook, threading.excepthook = threading.excepthook, told_once(threading.excepthook)
        try:
            yield
        finally:
            threading.excepthook = hook
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextlib.contextmanager
def as_found() -> Iterator[None]:
    """Leave the process as it was: for a run among others in one process, each of which must be
    like one of its own.
    """
    handlers = {number: signal.getsignal(number) for number in STOPPING}
    variables = dict(os.environ)
    deterministic, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    cudnn = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    threads, number_type = torch.get_num_threads(), torch.get_default_dtype()
    precision = torch.get_float32_matmul_precision()
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if threading.current_thread() is threading.main_thread():
                signal.signal(number, handler)
        os.environ.clear()
        os.environ.update(variables)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = cudnn
        torch.set_num_threads(threads)
        torch.set_default_dtype(number_type)
        torch.set_float32_matmul_precision(precision)
        if "torch._dynamo" in sys.modules:
            # a function compiled for many shapes is no longer compiled for a further one
            torch.compiler.reset()
        gc.collect()  # trainer, task and data refer to each other
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def told_once(hook: Callable[[Any], object]) -> Callable[[Any], object]:
    """Leave out that TensorBoard's thread cannot write: it hands the error on, and then it is told
    in one line.
    """

    def without(arguments: Any) -> None:
        if not (
            isinstance(arguments.exc_value, OSError)
            and type(arguments.thread).__module__.startswith("tensorboard.")
        ):
            hook(arguments)

    return without


@contextlib.contextmanager
def output_in(path: Path) -> Iterator[None]:
    """Everything this process prints goes to the end of a file, the words of libraries too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    with open(path, "a", encoding="utf-8", buffering=1) as file:
        kept = os.dup(1), os.dup(2)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
                yield
        finally:
            for number, handle in zip((1, 2), kept, strict=True):
                os.dup2(handle, number)
                os.close(handle)


def settle_threads(tree: dict[str, Any]) -> None:
    """CPU threads of this process, kept in the config: as set there or by OMP_NUM_THREADS, or the
    cores that nobody uses, shared by the processes of the run.
    """
    if tree["run"]["threads"] is None:
        devices = str(tree["trainer"].get("devices"))
        processes = max(1, int(devices)) if devices.isdecimal() else 1
        asked = os.environ.get("OMP_NUM_THREADS", "")
        free = int(asked) if asked.isdecimal() and int(asked) else idle_cores()
        tree["run"]["threads"] = max(1, free // processes)
    torch.set_num_threads(tree["run"]["threads"])


def emulates_bf16(cpu_info: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this CPU has no bfloat16 of its own, which is then many times slower than float32;
    false where nobody knows.
    """
    if not cpu_info.is_file():
        return False
    found = re.search(r"(?mi)^(?:flags|features)\s*:(.*)$", cpu_info.read_text(errors="replace"))
    return found is not None and not {"avx512_bf16", "amx_bf16", "bf16"} & set(found[1].split())


def idle_cores() -> int:
    """The cores that this process may use and others leave free: a thread that waits for its core
    makes all others wait.
    """
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return max(1, available_cores() - round(busy))


# Arguments of the Trainer by which Lightning divides.
ABOVE_ZERO = (
    "log_every_n_steps",
    "accumulate_grad_batches",
    "check_val_every_n_epoch",
    "val_check_interval",
)
FINDERS = {"LearningRateFinder": "lr-find", "BatchSizeFinder": "batch-size"}


def check_trainer(trainer: dict[str, Any]) -> None:
    """Refuse what Lightning takes and then stumbles over.

    Raises:
        UserError: names the argument and what it may be.
    """
    for key in ABOVE_ZERO:
        value = trainer.get(key)
        if isinstance(value, int | float) and not value > 0:
            raise UserError(f"--trainer.{key} {value}: expected a number above 0")
    if trainer.get("max_epochs", 1) is None and trainer.get("max_steps") in (None, -1):
        raise UserError("--trainer.max_epochs null: expected a number; -1 trains until stopped")
    known = ("TORCHELASTIC_RUN_ID", "SLURM_JOB_ID", "MASTER_ADDR", "LSB_JOBID")
    if int(trainer.get("num_nodes") or 1) > 1 and not any(name in os.environ for name in known):
        raise UserError(
            f"--trainer.num_nodes {trainer['num_nodes']}: a launcher starts this on every node, as "
            "torchrun or srun does (scripts/slurm.sh); alone it would wait for the others for ever"
        )
    strategy = trainer.get("strategy")
    arguments = strategy.get("init_args") or {} if isinstance(strategy, dict) else {}
    way = str(arguments.get("start_method") or strategy)
    if any(word in way for word in ("spawn", "fork", "notebook")):
        raise UserError(
            f"--trainer.strategy {way}: its processes hand nothing back that a run could continue "
            "from; ddp starts each by the command itself"
        )
    for callback in trainer.get("callbacks") or []:
        name = str(callback.get("class_path", "")).rpartition(".")[2]
        if name in FINDERS:
            raise UserError(
                f"--trainer.callbacks: {name} changes settings that a run is continued with; "
                f"{PROGRAM} {FINDERS[name]} finds them before it"
            )
    check_devices(trainer)


def check_devices(trainer: dict[str, Any]) -> None:
    """Refuse more processes than the machine has places for: Lightning would start them all.

    Raises:
        UserError: too many devices are asked for.
    """
    devices, accelerator = str(trainer.get("devices")), str(trainer.get("accelerator"))
    if devices.lstrip("-").isdecimal() and (int(devices) < -1 or int(devices) == 0):
        raise UserError(
            f"--trainer.devices {devices}: expected a number of devices, auto, or -1 for all"
        )
    on_cpu = accelerator == "cpu" or (
        accelerator == "auto"
        and not (torch.cuda.is_available() or torch.backends.mps.is_available())
    )
    there = (os.cpu_count() or 1) if on_cpu else torch.cuda.device_count() or 1
    if devices.isdecimal() and int(devices) > max(there, 2 if on_cpu else 1):
        raise UserError(
            f"--trainer.devices {devices}: this machine has {there} "
            f"{'CPU cores' if on_cpu else 'devices'}"
        )
