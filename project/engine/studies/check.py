"""`check`: what is wrong, or will be, before a long run; it trains a little and leaves nothing."""

from __future__ import annotations

import contextlib
import copy
import functools
import sys
import time
from collections.abc import Iterator
from typing import Any

import lightning.pytorch as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from ..bases.data import DataModule
from ..bases.monitors import unreported
from ..bases.task import Task
from ..building.schedules import build_schedule, steps_every
from ..cli.arguments import CommandLine, merge
from ..cli.fitting import assemble
from ..cli.parser import ProjectCLI, parse
from ..errors import UserError
from ..formats import duration
from ..formats import metric as figure
from ..loading.arrays import Arrays, copies
from ..spec import Batch, as_tuple
from .short import train

STEPS, TIMED, WARM = 50, 25, 5  # of training; those before WARM and after TIMED are not timed
MOST_ROWS = 20_000
FEW, COPIES, SAME = 5, 0.01, 0.01  # samples of a class; shares of a split
GIVEN_AWAY, RARELY = 0.99, 0.95  # what one column answers alone; what always saying one class does
DEAD, FADED = 0.9, 1e-5  # share of a layer's units; a gradient beside the largest
OVERFIT_STEPS, OVERFITTED = 100, 0.6  # share of its first loss that one batch has to come below


def check(request: CommandLine) -> int:
    """Look at data, settings and the first steps of a config; print what was found.

    Raises:
        UserError: the data cannot be read, or the settings do not go together.
    """
    cli = parse(merge(request), request.print_config)
    if cli is None:
        return 0
    assemble(cli)
    task, data = cli.model, cli.datamodule
    data.setup("test")
    for line in described(data):
        print(line)
    findings = [*of_data(data), *of_columns(data), *of_settings(cli)]
    begin = copy.deepcopy(task.net.state_dict())
    findings += of_one_batch(task, data)
    task.net.load_state_dict(begin)
    findings += of_steps(cli)
    print()
    for finding in findings:
        print(f"- {UserError(finding).on_command_line()}")
    print(f"{len(findings)} findings" if findings else "nothing found")
    return 0


def described(data: DataModule) -> Iterator[str]:
    """The splits with the beginnings of their digests."""
    yield f"{type(data).__name__}: inputs {data.spec.shape()}, target {data.spec.target}"
    for split, part in data.summary().items():
        digest = str(part["digest"] or "on demand")[:12]
        yield f"{split:<6} {part['samples']:>9,} samples  {digest}"


# ---------------------------------------------------------------------- data


def of_data(data: DataModule) -> Iterator[str]:
    """Copies across splits, classes that are rare or missing, values that are none."""
    spec, part = data.spec, data.loaded("train")
    for split, count in copies({name: data.loaded(name) for name in data.summary()}).items():
        share = count / len(data.loaded(split))
        if share > COPIES:
            yield f"{share:.0%} of the {split} samples are exactly one of the training samples"
    if spec.target == "class":
        counts = dict(zip(spec.names, spec.counts, strict=True))
        if rare := [name for name, count in counts.items() if count < FEW]:
            yield f"fewer than {FEW} training samples of: {', '.join(rare[:8])}"
        if min(spec.counts, default=1) and max(spec.counts) > 100 * min(spec.counts):
            yield "one class has 100 times the samples of another: --model.class_weights balanced"
    if not isinstance(part, Arrays):
        return
    inputs, targets = part.fetch(part.rows[:MOST_ROWS])
    if spec.target == "class" and isinstance(targets, Tensor) and targets.ndim == 1:
        if int(targets.min()) < 0 or int(targets.max()) >= len(spec.names):
            yield f"labels from {int(targets.min())} to {int(targets.max())}, of {len(spec.names)}"
        if len(targets.unique()) == 1:
            yield "all training samples have the same label"
    for values in as_tuple(inputs):
        flat = values.flatten(1)
        if flat.is_floating_point() and not flat.isfinite().all():
            yield "inputs that are no finite numbers"
        elif values.ndim == 4 and (blank := (flat == flat[:, :1]).all(1).float().mean()) > SAME:
            yield f"{float(blank):.0%} of the images are of one colour"


def of_columns(data: DataModule) -> Iterator[str]:
    """Columns of a table that tell nothing, or all."""
    spec, part = data.spec, data.loaded("train")
    if not spec.columns or len(spec.columns) != spec.inputs[0][0] or not isinstance(part, Arrays):
        return
    inputs, targets = part.fetch(part.rows[:MOST_ROWS])
    assert isinstance(inputs, Tensor)
    for name, values in zip(spec.columns, inputs.T.numpy(), strict=True):
        if (values == values[0]).all():
            yield f"column {name!r} is constant"
        elif (share := answered(values, targets.numpy(), spec.target)) > GIVEN_AWAY:
            yield f"column {name!r} alone gives the target away ({share:.1%}): is it known before?"


def answered(values: np.ndarray, targets: np.ndarray, target: str) -> float:
    """How much of the targets one column tells: of every second row by the nearest of the others.

    Of classes the share that is right, 0 where one class is nearly all; of numbers R2.
    """
    truth = targets.reshape(len(targets), -1)[:, 0].astype(np.float64)
    order = np.argsort(values[::2], kind="stable")
    known, said = values[::2][order], truth[::2][order]
    place = np.searchsorted(known, values[1::2])
    near = said[np.clip(place[:, None] + np.arange(-2, 2), 0, len(said) - 1)]
    wanted = truth[1::2]
    if target == "class":
        if np.bincount(truth.astype(int)).max() > RARELY * len(truth):
            return 0.0
        votes = (near[:, :, None] == near[:, None, :]).sum(2)
        best = near[np.arange(len(near)), votes.argmax(1)]
        return float((best == wanted).mean())
    if target not in ("number", "count"):
        return 0.0
    missed = ((wanted - near[:, 1:3].mean(1)) ** 2).mean()
    return 1 - float(missed / max(((wanted - wanted.mean()) ** 2).mean(), 1e-300))


# ---------------------------------------------------------------------- settings


def of_settings(cli: ProjectCLI) -> Iterator[str]:
    """A monitor that nothing reports, a schedule that does not fit the length of the run."""
    task, settings = cli.model, cli.config_tree["trainer"]
    yield from unreported(task, cli.trainer_arguments.get("callbacks") or [])
    if task.make_schedule is None or not settings.get("max_epochs") or settings["max_epochs"] < 0:
        return
    batches = len(cli.datamodule.train_dataloader())
    parameter = nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    epochs = int(settings["max_epochs"])
    schedule = build_schedule(task.make_schedule, optimizer, lambda: epochs * batches)
    if isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
        return
    moves = epochs if (task.interval or steps_every(schedule)) == "epoch" else epochs * batches
    rates = []
    for _ in range(min(moves, 200_000)):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    name = type(schedule).__name__
    if len(set(rates)) == 1 and moves > 1:
        yield f"the schedule {name} never moves in {moves:,} moves"
    late = rates[len(rates) // 2 :]
    if late and min(late) < 0.1 * max(rates) and late[-1] > 0.5 * max(rates):
        yield f"the schedule {name} rises again before the end: its length is not the run's"


# ---------------------------------------------------------------------- training


def of_one_batch(task: Task, data: DataModule) -> Iterator[str]:
    """Whether one batch can be learnt by heart."""
    part = data.loaded("train")
    rows = part.rows[torch.linspace(0, len(part) - 1, min(len(part), data.batch_size)).long()]
    inputs, targets = part.fetch(rows)
    batch = task.for_members(data.prepared(Batch(inputs, targets, rows, (0, 0))))
    optimizer = torch.optim.Adam((p for p in task.net.parameters() if p.requires_grad), lr=2e-3)
    task.train()
    losses = []
    for _ in range(OVERFIT_STEPS):
        optimizer.zero_grad()
        loss = task.step(batch)[0]
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    first, last = losses[0], min(losses[-10:])
    if not np.isfinite(losses).all():
        yield "the loss of one batch is not finite"
    elif last > OVERFITTED * first and first > 0:
        yield f"one batch cannot be learnt by heart: its loss went from {first:.4g} to {last:.4g}"


class FirstSteps(Callback):
    """What the first training steps say: losses and seconds, and after half of them, which are
    timed, gradients and units that never answer.
    """

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.times: list[float] = []
        self.gradients: dict[str, float] = {}
        self.answers: dict[str, Tensor] = {}

    def watch(self, net: nn.Module) -> None:
        def look(name: str, layer: nn.Module, given: Any, output: Tensor) -> None:
            alive = output.detach().movedim(1, 0).flatten(1).gt(0).any(1)
            self.answers[name] = alive | self.answers.get(name, torch.zeros_like(alive))

        for name, layer in net.named_modules():
            if isinstance(layer, nn.ReLU):
                layer.register_forward_hook(functools.partial(look, name))

    def on_before_optimizer_step(self, trainer: L.Trainer, module: Any, *_: Any) -> None:
        if len(self.losses) < TIMED:
            return
        for name, parameter in module.net.named_parameters():
            if parameter.grad is not None and parameter.ndim > 1:
                size = float(parameter.grad.norm() / parameter.detach().norm().clamp_min(1e-12))
                self.gradients[name] = max(size, self.gradients.get(name, 0.0))

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, outputs: Any, *_: Any) -> None:
        self.losses.append(float(outputs["loss"]))
        self.times.append(time.perf_counter())
        if len(self.losses) == TIMED:
            self.watch(module.net)


def memory() -> str:
    """The most memory that this process has taken so far, and of a GPU where it has one."""
    found = []
    with contextlib.suppress(ImportError):  # on Windows
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        found.append(f"{peak / 2**20:,.0f} MB of memory")
    if torch.cuda.is_available():
        found.append(f"{torch.cuda.max_memory_allocated() / 2**20:,.0f} MB of the GPU's")
    return ", ".join(found) or "memory that is not known here"


def of_steps(cli: ProjectCLI) -> Iterator[str]:
    """Train some steps as configured, and say what they cost and show."""
    first, task, settings = FirstSteps(), cli.model, cli.config_tree["trainer"]
    batches = len(cli.datamodule.train_dataloader())
    task.make_schedule = None
    try:
        train(cli, first, STEPS)
    except UserError as error:
        yield error.on_command_line()
        return
    timed = first.times[WARM:TIMED]
    each = (timed[-1] - timed[0]) / max(1, len(timed) - 1)
    epochs = settings.get("max_epochs")
    whole = f", {epochs} epochs in {duration(each * batches * epochs)}" if (epochs or 0) > 0 else ""
    print(f"a step takes {1000 * each:.3g} ms, an epoch {duration(each * batches)}{whole}")
    print(f"the process has taken {memory()}")
    print(f"the loss went from {figure(first.losses[0])} to {figure(first.losses[-1])}")
    if not np.isfinite(first.losses).all():
        yield "the loss is not finite within the first steps: a lower --model.optimizer.lr"
        return
    if np.mean(first.losses[-5:]) > 1.5 * first.losses[0]:
        yield "the loss rises in the first steps: a lower --model.optimizer.lr"
    for name, alive in first.answers.items():
        if (share := float((~alive).float().mean())) > DEAD:
            yield f"layer {name}: {share:.0%} of its units answer 0 to everything"
    largest = max(first.gradients.values(), default=0.0)
    for name, size in first.gradients.items():
        if size < FADED * largest:
            yield f"{name}: its gradient is {size / max(largest, 1e-300):.1g} of the largest"
