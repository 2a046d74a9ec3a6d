"""Images with numbers beside them: two inputs in one batch, from memory, from files, prepared,
resumed and predicted.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from project.data.augment import Flip, Mixup
from project.data.listed import CSVImages
from project.engine.bases.data import DataModule
from project.engine.bases.images import ImageData
from project.engine.errors import UserError
from project.engine.loading.arrays import Arrays, ItemDataset
from project.lessons.sums import DigitSums
from project.networks.image_and_numbers import ImageAndNumbers
from project.networks.mlp import MLP
from tests.conftest import Project

IMAGES = torch.randint(
    256, (40, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)
NUMBERS = torch.stack(
    [torch.arange(40.0), torch.full((40,), 7.0), torch.arange(40.0) * 1000], dim=1
)


class Pairs(ImageData):
    """Images with three numbers each, in memory or item by item."""

    splits = ("train", "val", "test")
    names = ("no", "yes")

    def __init__(self, by_item: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.by_item = by_item

    def load(self, split: str) -> Any:
        targets = torch.arange(40) % 2
        if not self.by_item:
            return Arrays((IMAGES, NUMBERS), targets)
        items = [
            ((image, row), target)
            for image, row, target in zip(IMAGES, NUMBERS, targets, strict=True)
        ]
        return Listed(items, targets)


class Listed(list[Any]):
    """A map-style dataset."""

    def __init__(self, items: list[Any], targets: Tensor) -> None:
        super().__init__(items)
        self.targets = targets


@pytest.mark.parametrize("by_item", [False, True])
def test_both_inputs_reach_the_network_normalised_by_the_training_split(by_item: bool) -> None:
    data = Pairs(by_item, shuffle=False, batch_size=40)
    data.setup("fit")
    assert data.spec.inputs == ((1, 8, 8), (3,)) and data.spec.shape() == "1x8x8 + 3"
    batch = next(iter(data.train_dataloader()))
    assert torch.equal(batch.inputs[0], IMAGES) and torch.equal(batch.inputs[1], NUMBERS)
    images, numbers = data.on_after_batch_transfer(batch, 0).inputs
    assert abs(float(images.mean())) < 1e-5 and abs(float(images.std()) - 1) < 1e-3
    assert numbers.mean(0).abs().max() < 1e-5
    assert torch.allclose(numbers.std(0, correction=0), torch.tensor([1.0, 0.0, 1.0]), atol=1e-5), (
        "a constant column stays 0"
    )
    moved = data.transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert [part.device.type for part in moved.inputs] == ["meta", "meta"]


def test_images_and_numbers_that_are_mixed_up_are_refused() -> None:
    with pytest.raises(UserError, match="the numbers beside them cannot be blended"):
        Pairs(augment=[Flip(), Mixup()]).setup("fit")


def test_a_split_with_other_numbers_is_refused_with_both_shapes() -> None:
    class Fewer(Pairs):
        def load(self, split: str) -> Arrays:
            return Arrays(
                (IMAGES, NUMBERS[:, :2] if split == "test" else NUMBERS), torch.arange(40) % 2
            )

    data = Fewer()
    data.setup("fit")
    with pytest.raises(
        UserError, match=r"made for inputs of 1x8x8 \+ 3, the test split has 1x8x8 \+ 2"
    ):
        data.setup("test")


def spec_of(data: DataModule) -> Any:
    data.setup("fit")
    return data.spec


def test_the_answer_of_the_network_depends_on_both_inputs() -> None:
    spec = spec_of(DigitSums())
    for net in (ImageAndNumbers(spec), MLP(spec)):
        images, numbers = torch.randn(3, 1, 16, 16), torch.randn(3, 1)
        answer = net(images, numbers)
        assert answer.shape == (3, 10)
        assert not torch.allclose(answer, net(images, numbers + 1)) and not torch.allclose(
            answer, net(images + 1, numbers)
        )


def test_neither_input_alone_tells_the_class() -> None:
    """Of each digit and of each number, about a tenth of the samples belong to each class."""
    data = DigitSums(copies=10)
    data.setup("fit")
    part = data._parts["train"]
    assert isinstance(part, Arrays) and isinstance(part.targets, Tensor)
    sums, numbers = part.targets, part.input(1, part.rows).squeeze(1).long()
    digits = (sums - numbers) % 10
    for known in (digits, numbers):
        table = torch.zeros(10, 10).index_put((known, sums), torch.ones(len(sums)), accumulate=True)
        assert (table / table.sum(1, keepdim=True)).max() < 0.16
    images = part.input(0, part.rows)
    assert torch.equal(images[:1], images[len(images) // 10 :][:1]), "copies are of the same image"


@pytest.mark.parametrize("hidden", ["image", "number"])
def test_a_hidden_input_is_all_zeros(hidden: str) -> None:
    part = DigitSums(hide=hidden).part("train")  # type: ignore[arg-type]
    assert isinstance(part, Arrays)
    sizes = [float(part.input(number, part.rows).float().abs().sum()) for number in (0, 1)]
    assert [size == 0 for size in sizes] == [hidden == "image", hidden == "number"]


def test_a_run_with_two_inputs_predicts(project: Project, tmp_path: Path) -> None:
    tiny = (
        "--data DigitSums --data.copies 1 --model.net ImageAndNumbers --model.net.channels [4] "
        "--trainer.max_epochs 1"
    )
    code, _, err = project("fit", tiny, "--run.tensorboard false --run.threads 1 --run run")
    assert code == 0, err
    code, _, err = project("predict --ckpt_path run")
    assert code == 0, err
    with open(tmp_path / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 360 and {row["prediction"] for row in rows} <= set("0123456789")


@pytest.mark.parametrize("network", ["LeNet", "Matrices"])
def test_a_network_for_one_input_says_that_there_are_two(network: str, project: Project) -> None:
    code, _, err = project("fit --data DigitSums --run.threads 1 --model.net", network)
    assert (code, err.count("\n")) == (2, 1) and "1x16x16 + 1" in err


# ---------------------------------------------------------------------- files


def write_images(folder: Path, rows: list[list[object]]) -> None:
    for name, *_ in rows[1:]:
        path = folder / "images" / str(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 100).save(path)
    with open(folder / "labels.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.mark.parametrize("cache", [True, False])
def test_columns_of_numbers_stand_beside_the_images_of_a_folder(
    cache: bool, tmp_path: Path
) -> None:
    names = [f"{i}.png" for i in range(20)]
    write_images(
        tmp_path,
        [
            ["file", "label", "age", "height"],
            *([n, "ab"[i % 2], i, i / 2] for i, n in enumerate(names)),
        ],
    )
    data = CSVImages(
        root=str(tmp_path), number_columns=["height", "age"], cache=cache, validation=0.2, test=0.2
    )
    data.setup("fit")
    assert (data.spec.inputs, data.spec.columns) == (((1, 8, 8), (2,)), ("height", "age"))
    part = data._parts["train"]
    assert isinstance(part, Arrays if cache else ItemDataset)
    batch = next(iter(data.train_dataloader()))
    assert torch.equal(batch.inputs[1][:, 1], batch.ids.float()) and torch.equal(
        batch.inputs[1][:, 0], batch.ids / 2
    )
    assert batch.inputs[0].shape[1:] == (1, 8, 8)


@pytest.mark.parametrize(
    ("age", "line"),
    {
        "old": "labels.csv:3: 'old' in a column of number_columns is not a finite number",
        "": "labels.csv:3: '' in a column of number_columns is not a finite number",
        "inf": "labels.csv:3: 'inf' in a column of number_columns is not a finite number",
    }.items(),
)
def test_a_number_that_is_none_is_told_with_its_line(age: str, line: str, tmp_path: Path) -> None:
    write_images(tmp_path, [["file", "label", "age"], ["a.png", "a", 1], ["b.png", "b", age]])
    with pytest.raises(UserError, match=line):
        CSVImages(root=str(tmp_path), number_columns=["age"]).setup("fit")


def test_a_file_listed_twice_with_other_numbers_is_told(tmp_path: Path) -> None:
    write_images(tmp_path, [["file", "label", "age"], ["a.png", "a", 1], ["a.png", "a", 2]])
    with pytest.raises(
        UserError, match=r"labels.csv:3: a.png is listed before .* numbers \(1.0,\)"
    ):
        CSVImages(root=str(tmp_path), number_columns=["age"]).setup("fit")
