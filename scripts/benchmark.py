"""How much of the machine is left for training: `fit` with everything on, against two plain loops.

    python scripts/benchmark.py --root data --threads 1

All three train LeNet-5 on MNIST with Adam, batch 64, in one process, in turn, so that a change of
the machine's speed meets them alike. The clock runs from the step WARM_UP to the last one of a
round. Printed are the images per second of each (median over the rounds) and the ratios of `fit` to
the others, round by round (minimum, median, maximum).

bare     an in-memory uint8 tensor, index_select, channels_last, fused Adam: about the limit of
eager torch classic  torchvision's MNIST with ToTensor and Normalize, a DataLoader, default Adam:
what tutorials write fit      this project: metrics, logs, TensorBoard, checkpoints and the
finite-loss check on

    python scripts/benchmark.py --root data --threads 2 --watched 10

measures something else: the share that TensorBoard takes of so many whole epochs of `fit`, by the
clock and by the processor, as the time spent inside its hooks.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from project.engine.cli.arguments import merge, read_arguments
from project.engine.cli.machine import quiet
from project.engine.cli.parser import ProjectCLI
from project.engine.cli.trainer import make_trainer
from project.engine.runs.folder import RunFolder
from project.engine.runs.tensorboard import Board, Events
from project.engine.spec import DataSpec
from project.networks.lenet import LeNet

BATCH, WARM_UP = 64, 50
MEAN, STD = 0.1307, 0.3081


def plain_loop(
    net: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    optimizer: torch.optim.Optimizer,
    steps: int,
) -> float:
    """Seconds of the steps after the warm-up."""
    began = 0.0
    for step, (images, classes) in enumerate(batches):
        if step == WARM_UP:
            began = time.perf_counter()
        if step == steps:
            break
        optimizer.zero_grad()
        F.cross_entropy(net(images), classes).backward()
        optimizer.step()
    return time.perf_counter() - began


def bare(root: str, steps: int) -> Callable[[], float]:
    data = datasets.MNIST(root, train=True)
    images, classes = data.data.unsqueeze(3).contiguous(), data.targets
    net = LeNet(DataSpec(((1, 28, 28),), 10, "class")).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), fused=True)

    def batches() -> Iterable[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(images))
        for rows in order.split(BATCH):
            pixels = images.index_select(0, rows).permute(0, 3, 1, 2)
            yield (
                pixels.to(torch.float32).sub_(255 * MEAN).mul_(1 / (255 * STD)),
                classes.index_select(0, rows),
            )

    return lambda: plain_loop(net, batches(), optimizer, steps)


def classic(root: str, steps: int) -> Callable[[], float]:
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))])
    loader = DataLoader(
        datasets.MNIST(root, train=True, transform=transform), batch_size=BATCH, shuffle=True
    )
    net = LeNet(DataSpec(((1, 28, 28),), 10, "class"))
    optimizer = torch.optim.Adam(net.parameters())
    return lambda: plain_loop(net, loader, optimizer, steps)


class Clock(Callback):
    """Seconds from the start of one batch to the end of another."""

    def __init__(self, last: int) -> None:
        self.last, self.seconds = last, 0.0

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == WARM_UP:
            self.began = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == self.last:
            self.seconds = time.perf_counter() - self.began


def fit(root: str, steps: int, threads: int) -> Callable[[], float]:
    words = (
        f"--data MNIST --data.root {root} --data.batch_size {BATCH} --model.net LeNet "
        "--model.optimizer Adam "
        f"--trainer.max_epochs 1 --trainer.limit_train_batches {steps} "
        "--trainer.limit_val_batches 1 "
        f"--trainer.accelerator cpu --run.threads {threads}"
    )

    def one_round() -> float:
        with tempfile.TemporaryDirectory() as place, quiet(False):
            cli = ProjectCLI(merge(read_arguments("fit", words.split(), ())))
            cli.build()
            trainer = make_trainer(cli, RunFolder(place).open())
            clock = Clock(steps - 1)
            trainer.callbacks.append(clock)
            trainer.fit(cli.model, datamodule=cli.datamodule)
            return clock.seconds

    return one_round


class Meter:
    """Seconds spent in the methods of some classes, by the clock and by the processor; calls within
    calls count once.
    """

    def __init__(self, *classes: type) -> None:
        self.clock = self.processor = 0.0
        self.depth = 0
        for kind in classes:
            for name, method in vars(kind).items():
                if callable(method) and not name.startswith("__"):
                    setattr(kind, name, self._timed(method))

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter(), time.process_time()
            self.depth += 1
            try:
                return method(*arguments, **named)
            finally:
                self.depth -= 1
                if not self.depth:
                    self.clock += time.perf_counter() - began[0]
                    self.processor += time.process_time() - began[1]

        return timed


def watched(root: str, epochs: int, threads: int) -> None:
    """Print the share of TensorBoard in a whole training."""
    words = (
        f"--data MNIST --data.root {root} --data.batch_size {BATCH} --model.net LeNet "
        "--model.optimizer Adam "
        f"--trainer.max_epochs {epochs} --trainer.accelerator cpu --trainer.enable_progress_bar "
        f"false --run.threads {threads}"
    )
    with tempfile.TemporaryDirectory() as place, quiet(False):
        cli = ProjectCLI(merge(read_arguments("fit", words.split(), ())))
        cli.build()
        trainer = make_trainer(cli, RunFolder(place).open())
        meter = Meter(Events, Board)
        began = time.perf_counter(), time.process_time()
        trainer.fit(cli.model, datamodule=cli.datamodule)
        whole = time.perf_counter() - began[0], time.process_time() - began[1]
    print(
        f"threads {threads}, {epochs} epochs in {whole[0]:.1f} s, {whole[1]:.1f} s of the processor"
    )
    print(
        f"  TensorBoard {meter.clock / whole[0]:.2%} by the clock, "
        f"{meter.processor / whole[1]:.2%} by the processor"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", default="data", help="the folder with MNIST/raw")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--steps", type=int, default=800, help="so many that a checkpoint is among them"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--watched", type=int, metavar="EPOCHS", help="the share of TensorBoard instead"
    )
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.watched:
        return watched(given.root, given.watched, given.threads)
    loops = {
        "bare": bare(given.root, given.steps),
        "classic": classic(given.root, given.steps),
        "fit": fit(given.root, given.steps, given.threads),
    }
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(given.rounds):
        for name, loop in loops.items():
            seconds[name].append(loop())
    images = (given.steps - WARM_UP) * BATCH
    print(
        f"threads {given.threads}, {given.rounds} rounds of {given.steps - WARM_UP} steps of "
        f"{BATCH} images"
    )
    for name, times in seconds.items():
        print(f"  {name:<8} {images / statistics.median(times):>9,.0f} images/s")
    for name in ("bare", "classic"):
        ratios = sorted(
            other / own for other, own in zip(seconds[name], seconds["fit"], strict=True)
        )
        print(f"  fit / {name:<8} {ratios[0]:.3f} {statistics.median(ratios):.3f} {ratios[-1]:.3f}")


if __name__ == "__main__":
    main()
