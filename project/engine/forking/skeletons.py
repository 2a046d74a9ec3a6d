"""A first file of one's own: a network, a dataset, a task or a loss that works at once, with its
line in the table, a config and a test.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError, clip, suggest
from ..registry import PACKAGE, TABLES
from .new import ROOT


@dataclass(frozen=True)
class Skeleton:
    """What is written for a kind.

    room: The folder of its file, below the package and below tests/.
    table: The dictionary in the room's __init__.py.
    known: The kind of its short names.
    code, test, config: Texts; PACKAGE, NAME and MODULE stand for what they say.
    """

    room: str
    table: str
    known: str
    code: str
    test: str
    config: str


TRAINS = '''"""NAME is found by its name, and trains."""

from __future__ import annotations

from tests.conftest import REPOSITORY, Project


def test_it_trains_from_the_command_line(project: Project) -> None:
    config = REPOSITORY / "configs" / "MODULE.yaml"
    code, _, err = project("fit --config", [str(config)], "--trainer.max_epochs 1")
    assert (code, err) == (0, "")
'''

SKELETONS = {
    "network": Skeleton(
        "networks",
        "NETWORKS",
        "networks",
        '''"""NAME: say here what it is, and where it comes from."""

from __future__ import annotations

import math

from torch import Tensor, nn

from PACKAGE.engine import DataSpec, Network


class NAME(Network):
    """One sentence, which `list networks NAME` prints.

    Args:
        width: Each argument is an option: `--model.net.width 128`.
    """

    def __init__(self, spec: DataSpec, width: int = 64) -> None:
        super().__init__(spec)
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(math.prod(spec.inputs[0]), width),
            nn.ReLU(),
            nn.Linear(width, spec.outputs),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs (B, spec.outputs) of images (B, C, H, W)."""
        return self.layers(images)
''',
        TRAINS,
        "model: {class_path: Classification, init_args: {net: {class_path: NAME, init_args: "
        "{width: 64}}}}\ntrainer: {max_epochs: 10}\n",
    ),
    "data": Skeleton(
        "data",
        "DATA",
        "data",
        '''"""NAME: say here what it holds, and where it comes from."""

from __future__ import annotations

import torch

from PACKAGE.engine import Arrays, ImageData, generator


class NAME(ImageData):
    """One sentence, which `list data NAME` prints.

    Args:
        count: Each argument is an option: `--data.count 1000`.
    """

    splits = ("train",)  # "val" and "test" are shares of it, unless they are named here

    def __init__(self, count: int = 600, **options: object) -> None:
        super().__init__(**options)
        self.count = count

    def load(self, split: str) -> Arrays:
        """Return images (N, C, H, W) uint8 and classes (N,) int64; here bright and dark ones."""
        classes = torch.arange(self.count) % 2
        draw = generator("NAME")
        images = torch.randint(0, 128, (self.count, 1, 8, 8), generator=draw, dtype=torch.uint8)
        images += (128 * classes).to(torch.uint8).reshape(-1, 1, 1, 1)
        return Arrays(self.resize_and_convert(images), classes)
''',
        TRAINS,
        "data: {class_path: NAME, init_args: {count: 600}}\n"
        "model: {class_path: Classification, init_args: {net: LeNet}}\ntrainer: {max_epochs: 10}\n",
    ),
    "task": Skeleton(
        "tasks",
        "TASKS",
        "tasks",
        '''"""NAME: say here what a batch means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from PACKAGE.engine import Batch, DataSpec, NetworkFactory, Task
from PACKAGE.networks.lenet import LeNet


class NAME(Task):
    """One sentence, which `list tasks NAME` prints.

    Args:
        net: The network, built when the data is known.
        loss: What is minimised.
    """

    default_monitor = ("val/accuracy", "max")

    def __init__(
        self,
        net: NetworkFactory = LeNet,
        loss: nn.Module = nn.CrossEntropyLoss(),
        **options: Any,
    ) -> None:
        super().__init__(net, loss, **options)

    def step(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss (), predictions (B, ...) and targets (B, ...) of a batch."""
        logits = self(batch.inputs)
        return self.loss(logits, batch.targets), logits, batch.targets

    def metrics(self, spec: DataSpec) -> Mapping[str, Metric]:
        """Return what is computed of the predictions and targets of `step`."""
        return {"accuracy": MulticlassAccuracy(spec.outputs, average="micro")}
''',
        TRAINS,
        "model: {class_path: NAME, init_args: {net: LeNet}}\ntrainer: {max_epochs: 10}\n",
    ),
    "loss": Skeleton(
        "training",
        "LOSSES",
        "losses",
        '''"""NAME: say here what it is, and where it comes from."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class NAME(nn.Module):
    """One sentence, which `list losses NAME` prints: here cross entropy that hard samples count
    more in (Lin et al.: Focal Loss for Dense Object Detection, 2017).

    Args:
        gamma: How much more; 0 is cross entropy. An option: `--model.loss.gamma 2`.
    """

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss () of logits (B, K) and classes (B,) int64."""
        losses = F.cross_entropy(logits, targets, reduction="none")
        return ((1 - (-losses).exp()) ** self.gamma * losses).mean()
''',
        TRAINS,
        "model: {class_path: Classification, init_args: {net: LeNet, loss: NAME}}\n"
        "trainer: {max_epochs: 10}\n",
    ),
}


def add(kind: str, name: str) -> list[Path]:
    """Write the files of a skeleton; returns them, the table's among them.

    Raises:
        UserError: the name is none, or is taken.
    """
    skeleton = SKELETONS[kind]
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", name):
        raise UserError(f"{clip(name)!r}: a class begins with a capital letter, as in Hawk")
    if name in TABLES[skeleton.known]:
        raise UserError(f"{name}: there is a {kind} of this name already")
    module = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    files = {
        ROOT / PACKAGE / skeleton.room / f"{module}.py": skeleton.code,
        ROOT / "tests" / skeleton.room / f"test_{module}.py": skeleton.test,
        ROOT / "configs" / f"{module}.yaml": (
            f"# {name}: say here what this shows.\n"
            f"#   python -m PACKAGE fit --config configs/{module}.yaml\n{skeleton.config}"
        ),
    }
    if there := next((path for path in files if path.exists()), None):
        raise UserError(f"{there}: it is there already; choose another name")
    table = ROOT / PACKAGE / skeleton.room / "__init__.py"
    line = f'    "{name}": (".{skeleton.room}.{module}.{name}", "say what it is"),\n'
    text, count = re.subn(
        rf"(?ms)^({skeleton.table}\b[^\n]* = \{{)\n?(.*?)\}}$",
        rf"\g<1>\n\g<2>{line}}}",
        table.read_text(),
        count=1,
    )
    if not count:
        raise UserError(f"{table}: it has no table {skeleton.table}; add the line yourself: {line}")
    for path, written in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        for word, value in (("PACKAGE", PACKAGE), ("NAME", name), ("MODULE", module)):
            written = written.replace(word, value)
        path.write_text(written, encoding="utf-8")
    table.write_text(text, encoding="utf-8")
    return [*files, table]


def kind_of(word: str) -> str:
    """The kind that a word names.

    Raises:
        UserError: there is none; suggests the nearest.
    """
    if word not in SKELETONS:
        raise UserError(f"new {clip(word)}: {suggest(word, SKELETONS, 'there are')}")
    return word
