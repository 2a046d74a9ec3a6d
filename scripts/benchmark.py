"""How much of the machine is left for training: `fit` with everything on, against plain loops.

    python scripts/benchmark.py --root data --threads 1 2
    python scripts/benchmark.py --root data --threads 1 --rows lenet-64 test --picture speed.png

Each row runs two loops in turn inside one process, a block of steps of one after a block of the
other, so that a change of the machine's speed meets both alike, and everything a block costs is
counted: rows, TensorBoard, checkpoints, the finite-loss check. Printed are the median of the ratios
of neighbouring blocks, with quartiles, and the milliseconds of a step.

null            the bare loop against itself: how far from 1 chance leads
lenet-64, -256  LeNet-5 on MNIST against the bare loop: an in-memory uint8 tensor, index_select,
                channels_last, fused Adam, about the limit of eager torch
resnet-128      ResNet-20 on CIFAR-10 with crop and flip, against the bare loop without them
test            validation and test of 10,000 images against a bare loop under no_grad
classic         LeNet-5, batch 64, against torchvision's dataset with ToTensor and Normalize in a
                DataLoader and default Adam: what tutorials write
folder-64, 224  an epoch of an ImageFolder against torchvision's with two workers, first and later
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
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
from project.engine.runs.internals import undo_nvml_check
from project.engine.spec import DataSpec
from project.networks.lenet import LeNet
from project.networks.resnet import ResNet

WARM_UP = 3  # blocks
now = time.perf_counter  # or the processor's, on a machine that others use, at one thread
MEAN, STD = 0.1307, 0.3081


@dataclass
class Result:
    """Pairs of seconds: of ours and of the other, block by block."""

    pairs: list[tuple[float, float]]
    steps: int  # of a block

    def line(self, name: str, threads: int) -> str:
        ratios = [other / own for own, other in self.pairs]
        low, middle, high = statistics.quantiles(ratios, n=4)
        own, other = (statistics.median(column) for column in zip(*self.pairs, strict=True))
        return (
            f"{name:<12} {threads}  {middle:.3f} ({low:.3f} to {high:.3f})  "
            f"{1000 * own / self.steps:8.2f} ms  {1000 * other / self.steps:8.2f} ms  "
            f"{len(ratios)} pairs"
        )


# ---------------------------------------------------------------------- the other loops


class Bare:
    """A plain loop over images in memory, which goes on where it stopped."""

    def __init__(self, net: nn.Module, images: Tensor, classes: Tensor, batch: int) -> None:
        self.net = net.to(memory_format=torch.channels_last)
        self.images, self.classes, self.batch = images, classes, batch
        self.optimizer = torch.optim.Adam(net.parameters(), fused=True)
        self.rows = self._rows()

    def _rows(self) -> Iterator[Tensor]:
        while True:
            order = torch.randperm(len(self.images))
            yield from order[: len(order) // self.batch * self.batch].split(self.batch)

    def prepared(self, rows: Tensor) -> Tensor:
        pixels = self.images.index_select(0, rows).permute(0, 3, 1, 2)
        return pixels.to(torch.float32).sub_(255 * MEAN).mul_(1 / (255 * STD))

    def train(self, steps: int) -> float:
        began = now()
        for _ in range(steps):
            rows = next(self.rows)
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.net(self.prepared(rows)), self.classes[rows])
            loss.backward()
            self.optimizer.step()
        return now() - began

    @torch.no_grad()
    def test(self, batch: int) -> float:
        self.net.eval()
        began, right = now(), torch.zeros(())
        for rows in torch.arange(len(self.images)).split(batch):
            answer, truth = self.net(self.prepared(rows)), self.classes[rows]
            right += (answer.argmax(1) == truth).sum() + 0 * F.cross_entropy(answer, truth)
        right.item()
        return now() - began


class Classic:
    """What tutorials write."""

    def __init__(self, root: str, batch: int) -> None:
        steps = [transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))]
        data = datasets.MNIST(root, transform=transforms.Compose(steps))
        self.loader = DataLoader(data, batch_size=batch, shuffle=True)
        self.net = lenet()
        self.optimizer = torch.optim.Adam(self.net.parameters())
        self.batches = iter(self.loader)

    def train(self, steps: int) -> float:
        began = now()
        for _ in range(steps):
            if (found := next(self.batches, None)) is None:
                self.batches = iter(self.loader)
                found = next(self.batches)
            self.optimizer.zero_grad()
            F.cross_entropy(self.net(found[0]), found[1]).backward()
            self.optimizer.step()
        return now() - began


def lenet() -> LeNet:
    return LeNet(DataSpec(((1, 28, 28),), 10, "class"))


def mnist(root: str, train: bool = True) -> tuple[Tensor, Tensor]:
    data = datasets.MNIST(root, train=train)
    return data.data.unsqueeze(3).contiguous(), data.targets


# ---------------------------------------------------------------------- ours


class InTurn(Callback):
    """After each block of ours, a block of the other."""

    def __init__(self, other: Callable[[int], float], steps: int, blocks: int) -> None:
        self.other, self.steps, self.blocks = other, steps, blocks
        self.pairs: list[tuple[float, float]] = []
        self.began = 0.0

    def on_train_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (batch_idx + 1) % self.steps:
            return
        own = now() - self.began
        self.pairs.append((own, self.other(self.steps)))
        if len(self.pairs) == self.blocks + WARM_UP:
            trainer.should_stop = True
        self.began = now()


def ours(words: str, threads: int, *callbacks: Callback) -> tuple[Any, ProjectCLI]:
    """A Trainer and what it trains, as `fit` makes them."""
    place = tempfile.mkdtemp(prefix="benchmark-")
    words = f"{words} --trainer.accelerator cpu --run.threads {threads}"
    cli = ProjectCLI(merge(read_arguments("fit", words.split(), ())))
    cli.build()
    return make_trainer(cli, RunFolder(place).open(), callbacks=callbacks), cli


def trained(words: str, threads: int, other: Any, steps: int, blocks: int) -> Result:
    clock = InTurn(other.train, steps, blocks)
    trainer, cli = ours(f"{words} --trainer.limit_val_batches 1", threads, clock)
    trainer.fit(cli.model, datamodule=cli.datamodule)
    return Result(clock.pairs[WARM_UP:], steps)


@dataclass(frozen=True)
class Setting:
    """What every row is given."""

    root: str
    threads: int
    blocks: int
    more: str  # further words of `fit`


MNIST = "--data MNIST --data.root {0} --model.net LeNet --model.optimizer Adam"


def null(given: Setting) -> Result:
    one, two = (Bare(lenet(), *mnist(given.root), 64) for _ in range(2))
    return Result([(one.train(50), two.train(50)) for _ in range(given.blocks + 3)][3:], 50)


def lenet_row(batch: int) -> Callable[[Setting], Result]:
    def row(given: Setting) -> Result:
        other = Bare(lenet(), *mnist(given.root), batch)
        steps = 50 if batch < 128 else 20
        words = f"{MNIST.format(given.root)} --data.batch_size {batch} --trainer.max_epochs 50"
        return trained(f"{words} {given.more}", given.threads, other, steps, given.blocks)

    return row


def resnet_row(given: Setting) -> Result:
    data = datasets.CIFAR10(given.root)
    images, classes = torch.from_numpy(data.data), torch.tensor(data.targets)
    other = Bare(ResNet(DataSpec(((3, 32, 32),), 10, "class")), images, classes, 128)
    words = (
        f"--data CIFAR10 --data.root {given.root} --data.batch_size 128 --data.augment [Crop,Flip] "
        f"--model.net ResNet --model.optimizer Adam --trainer.max_epochs 9 {given.more}"
    )
    return trained(words, given.threads, other, 5, max(4, given.blocks // 3))


def test_row(given: Setting) -> Result:
    """Validation and test by the Trainer, after a fit that warms everything up."""
    images, classes = mnist(given.root, train=False)
    other = Bare(lenet(), images, classes, 64)
    words = f"{MNIST.format(given.root)} --data.batch_size 64 --trainer.limit_train_batches 2"
    trainer, cli = ours(f"{words} --trainer.max_epochs 1 {given.more}", given.threads)
    trainer.fit(cli.model, datamodule=cli.datamodule)
    pairs = []
    for _ in range(given.blocks + WARM_UP):
        began = now()
        trainer.test(cli.model, datamodule=cli.datamodule, verbose=False)
        pairs.append((now() - began, other.test(256)))
    return Result(pairs[WARM_UP:], 40)


def classic_row(given: Setting) -> Result:
    other = Classic(given.root, 64)
    words = f"{MNIST.format(given.root)} --data.batch_size 64 --trainer.max_epochs 50 {given.more}"
    return trained(words, given.threads, other, 50, given.blocks)


def folder_row(size: int, later: bool) -> Callable[[Setting], Result]:
    """Seconds of an epoch of photos of 400x300 pixels, read, resized, cropped and mirrored."""

    def row(given: Setting) -> Result:
        place = Path(tempfile.mkdtemp(prefix="benchmark-"))
        write_photos(place / "photos")
        steps = [
            transforms.Resize((size, size)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
        ]
        theirs = datasets.ImageFolder(place / "photos", transforms.Compose(steps))
        loader = DataLoader(theirs, batch_size=32, shuffle=True, num_workers=2)
        pairs = []
        for number in range(3):
            words = (
                f"--data ImageFolder --data.root {place}/photos --data.size {size} "
                f"--data.augment Flip --data.cache {place}/cache{number} --data.batch_size 32 "
                f"--data.validation 0 --data.test 0.01 {given.more}"
            )
            cli = ProjectCLI(merge(read_arguments("fit", words.split(), ())))
            cli.build()
            data = cli.datamodule
            began = now()
            data.prepare_data()
            data.setup("fit")
            first = now() - began
            began = now()
            for batch in data.train_dataloader():
                data.on_after_batch_transfer(batch, 0)
            epoch = now() - began
            began = now()
            for _ in loader:
                pass
            other = now() - began
            pairs.append((epoch if later else first + epoch, other))
        return Result(pairs, 1)

    return row


def write_photos(folder: Path, count: int = 960) -> None:
    """JPEG photos of 400x300 pixels in two classes."""
    from PIL import Image

    draw = torch.Generator().manual_seed(0)
    for number in range(count):
        path = folder / str(number % 2) / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        small = torch.randint(0, 256, (1, 3, 15, 20), generator=draw).float()
        image = F.interpolate(small, (300, 400), mode="bicubic").clamp(0, 255).byte()[0]
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path, quality=90)


ROWS: dict[str, Callable[[Setting], Result]] = {
    "null": null,
    "lenet-64": lenet_row(64),
    "lenet-256": lenet_row(256),
    "resnet-128": resnet_row,
    "test": test_row,
    "classic": classic_row,
    "folder-64": folder_row(64, later=False),
    "folder-224": folder_row(224, later=False),
    "later-224": folder_row(224, later=True),
}


def draw(lines: list[tuple[str, int, float, float, float]], path: str) -> None:
    """A bar for each row and number of threads, with its quartiles."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 0.45 * len(lines) + 1))
    names = [f"{name}, {threads}" for name, threads, *_ in lines]
    middle = [line[3] for line in lines]
    spread = [[m - line[2] for m, line in zip(middle, lines, strict=True)]]
    spread += [[line[4] - m for m, line in zip(middle, lines, strict=True)]]
    axes.barh(names, middle, xerr=spread, color="#4878a8")
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.set_xlabel("speed of fit against the other loop (row, threads)")
    figure.tight_layout()
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", default="data", help="the folder with MNIST/raw")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--blocks", type=int, default=30, help="pairs of blocks of a row")
    parser.add_argument("--more", default="", help='further words of fit: "--run.lean false"')
    parser.add_argument("--processor", action="store_true", help="time of the processor instead")
    parser.add_argument("--picture", help="a file for a picture of the ratios")
    given = parser.parse_args()
    if given.processor:
        global now
        now = time.process_time
    undo_nvml_check()
    print("row          threads  ratio (quartiles)         ours         other")
    drawn = []
    for threads in given.threads:
        for name in given.rows:
            torch.set_num_threads(threads)
            with quiet(False):
                setting = Setting(given.root, threads, given.blocks, given.more)
                result = ROWS[name](setting)
            print(result.line(name, threads), flush=True)
            ratios = [other / own for own, other in result.pairs]
            drawn.append((name, threads, *statistics.quantiles(ratios, n=4)))
    if given.picture:
        draw(drawn, given.picture)


if __name__ == "__main__":
    main()
