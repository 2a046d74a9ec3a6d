"""`batch-size`: samples per second of training steps at several batch sizes.

Lightning's own search finds the largest size that fits into memory, which is rarely the one to
train with.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import Callback

from ..cli.arguments import CommandLine
from ..cli.parser import ProjectCLI
from ..cli.screen import show_table
from ..errors import UserError
from ..spec import Batch
from .short import number_above, picture_path, prepared, train

WARM_UP = 3  # batches before the clock starts
SECONDS, BATCHES = 0.4, 5  # a measurement lasts at least so long and has at least so many batches
CLOSE = 0.95  # of the best throughput is as good as the best
ON_A_CPU = 4096  # samples in the largest batch tried there, unless more are asked for


class Clock(Callback):
    """Times the batches after the first few, and ends the training when they have taken long
    enough.
    """

    def __init__(self) -> None:
        self.batches = self.samples = 0
        self.start = self.seconds = 0.0

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Batch, i: int
    ) -> None:
        self.batches += 1
        if self.batches == WARM_UP:
            wait_for(module.device)
            self.start = time.perf_counter()
        elif self.batches > WARM_UP:
            self.samples += len(batch.ids)
            if self.batches >= WARM_UP + BATCHES and time.perf_counter() - self.start >= SECONDS:
                wait_for(module.device)
                self.seconds = time.perf_counter() - self.start
                trainer.should_stop = True


def wait_for(device: torch.device) -> None:
    """Until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass
class Measured:
    """The throughput of a batch size: samples per second in each round, and the most memory a GPU
    had in use, in bytes.
    """

    size: int
    throughputs: list[float]
    memory: int = 0
    fits: bool = True

    @property
    def best(self) -> float:
        return max(self.throughputs, default=0.0)


def find_size(request: CommandLine) -> int:
    """Time the sizes, print a table with the one to use, and draw it; returns the exit code."""
    least = int(number_above(request, "--min_batch", 8, 1))
    most = (
        int(number_above(request, "--max_batch", math.inf, least))
        if "--max_batch" in request.options
        else None
    )
    rounds = int(number_above(request, "--rounds", 3, 1))
    path = picture_path(request, "batch-size.png")
    cli = prepared(request)
    if cli is None:
        return 0
    configured, samples = cli.datamodule.batch_size, len(cli.datamodule.part("train"))
    if most is None:
        most = samples if torch.cuda.is_available() else ON_A_CPU
    if least > samples:
        raise UserError(f"--min_batch {least}: the training split has {samples:,} samples")
    measured = measure(cli, sizes_between(least, min(most, samples), configured), rounds)
    timed = [one for one in measured if one.fits]
    if not timed:
        raise UserError(f"--min_batch {least}: not even this batch fits into the memory")
    chosen = smallest_close(timed)
    table(measured, chosen, configured)
    print(advice(cli, chosen, configured))
    draw(timed, chosen, configured, path)
    print(f"picture   {path}")
    return 0


def sizes_between(least: int, most: int, configured: int) -> list[int]:
    """The powers of two, and the size of the config."""
    powers = [
        1 << exponent for exponent in range(most.bit_length()) if least <= 1 << exponent <= most
    ]
    return sorted({*powers, *([configured] if configured <= most else [])} or {least})


def measure(cli: ProjectCLI, sizes: Sequence[int], rounds: int) -> list[Measured]:
    """Each size timed once in every round, from the smallest up and in the next round down
    again.
    """
    measured = [Measured(size, []) for size in sizes]
    first = copy.deepcopy(cli.model.net.state_dict())
    cli.datamodule.drop_last = True  # batches of the whole size alone
    for number in range(rounds):
        for one in measured if number % 2 == 0 else measured[::-1]:
            if one.fits:
                cli.model.net.load_state_dict(first)
                time_one(cli, one)
            if not one.fits and number == 0:
                for larger in measured[measured.index(one) :]:
                    larger.fits = False
                break
    return measured


def time_one(cli: ProjectCLI, one: Measured) -> None:
    """Add a throughput, or note that the memory does not suffice."""
    cli.datamodule.batch_size = one.size
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    clock = Clock()
    try:
        train(cli, clock)
        one.throughputs.append(clock.samples / clock.seconds)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        one.fits = False
    cli.model.net.zero_grad(set_to_none=True)
    if on_gpu:
        one.memory = max(one.memory, torch.cuda.max_memory_allocated())
        torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a GPU or the machine has no memory left."""
    of_the_machine = "DefaultCPUAllocator" in str(error)
    return of_the_machine or isinstance(error, (MemoryError, torch.OutOfMemoryError))


def smallest_close(timed: Sequence[Measured]) -> Measured:
    """The smallest size that is as good as the best."""
    best = max(one.best for one in timed)
    return next(one for one in timed if one.best >= CLOSE * best)


def table(measured: Sequence[Measured], chosen: Measured, configured: int) -> None:
    best = max(one.best for one in measured)
    columns = [
        "batch size",
        "samples/s",
        "of the best",
        "ms a batch",
        *(["memory"] if measured[0].memory else []),
        "",
    ]
    rows = []
    for one in measured:
        notes = ["<- use"] * (one is chosen) + ["the config"] * (one.size == configured)
        if one.fits:
            cells = [
                f"{one.best:,.0f}",
                f"{100 * one.best / best:.0f} %",
                f"{1000 * one.size / one.best:.2f}",
            ]
            cells += [f"{one.memory / 2**20:,.0f} MiB"] if measured[0].memory else []
        else:
            cells, notes = ["-"] * (len(columns) - 2), [*notes, "out of memory"]
        rows.append([f"{one.size:,}", *cells, ", ".join(notes)])
    show_table(columns, rows)


def advice(cli: ProjectCLI, chosen: Measured, configured: int) -> str:
    """The option to use, and what becomes of the learning rate."""
    use = (
        f"use       --data.batch_size {chosen.size}, the smallest within {100 * (1 - CLOSE):.0f} "
        "% of the best"
    )
    optimizer = cli.config_tree["model"]["init_args"]["optimizer"]
    rate, factor = (optimizer.get("init_args") or {}).get("lr"), chosen.size / configured
    if factor == 1 or not isinstance(rate, (int, float)):
        return use
    if optimizer["class_path"].endswith("SGD"):
        scaled, rule = rate * factor, "SGD's rate goes with the batch size (Goyal et al., 2017)"
    else:
        scaled, rule = (
            rate * math.sqrt(factor),
            "an adaptive rate goes with its root (Malladi et al., 2022)",
        )
    return (
        f"{use}\nrate      {rule}:\n          --model.optimizer.lr {scaled:.2g} instead of "
        f"{rate:g}; "
        f"lr-find measures it\nsteps     an epoch has {1 / factor:.2g} times as many"
    )


def draw(timed: Sequence[Measured], chosen: Measured, configured: int, path: Path) -> None:
    """Throughput over batch size as a PNG, each round a dot."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot(xlabel="batch size", ylabel="samples per second")
    axes.set_xscale("log", base=2)
    sizes = [one.size for one in timed]
    axes.plot(sizes, [one.best for one in timed], color="tab:blue", label="fastest round")
    dots = [(one.size, value) for one in timed for value in one.throughputs]
    axes.plot(*zip(*dots, strict=True), ".", color="0.7", label="each round")
    axes.plot(chosen.size, chosen.best, "o", color="tab:red", label=f"use: {chosen.size:,}")
    if configured in sizes:
        axes.axvline(configured, color="0.5", linestyle=":", label=f"the config: {configured:,}")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
