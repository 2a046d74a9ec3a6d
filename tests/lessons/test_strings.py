"""Strings show their digits, are the same in every run, and mistakes are one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from project.data.augment import Mixup
from project.data.digits import Digits
from project.engine.errors import UserError
from project.engine.loading.arrays import Arrays
from project.lessons.strings import NOTHING, DigitStrings
from tests.data.test_vision import write_idx

FEW: dict[str, Any] = {"strings": 20, "evaluated": 10}


def arrays(data: DigitStrings, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    part = data.part(split)
    assert isinstance(part, Arrays) and isinstance(part.targets, torch.Tensor)
    return part.inputs(part.rows), part.targets[part.rows]


def test_mnist_is_another_source_in_any_number_of_channels(tmp_path: Path) -> None:
    write_idx(tmp_path / "MNIST/raw")
    data = DigitStrings(source="MNIST", root=str(tmp_path), size=12, channels=3, **FEW)
    data.setup("fit")
    data.setup("test")
    assert data.spec.inputs == ((3, 24, 96),)


def test_samples_are_a_function_of_the_split_seed() -> None:
    same = [arrays(DigitStrings(split_seed=1, **FEW), "test") for _ in range(2)]
    other = arrays(DigitStrings(split_seed=2, **FEW), "test")
    assert torch.equal(same[0][0], same[1][0]) and torch.equal(same[0][1], same[1][1])
    assert not torch.equal(same[0][0], other[0])


def test_testing_on_strings_of_mnist_reads_the_test_split_alone(tmp_path: Path) -> None:
    write_idx(tmp_path / "MNIST/raw")
    data = DigitStrings(source="MNIST", root=str(tmp_path), strings=5, evaluated=5)
    data.setup("fit")
    again = DigitStrings(source="MNIST", root=str(tmp_path), strings=5, evaluated=5)
    again.restore(data.preprocessing)
    again.setup("test")
    assert set(again.digits._whole) == {"test"}


def test_a_string_shows_its_digits_from_left_to_right() -> None:
    data = DigitStrings(size=8, strings=30, evaluated=10, gap=3)
    images, strings = arrays(data, "train")
    assert images.shape == (30, 1, 16, 6 * 11) and strings.shape == (30, 6)
    lengths = (strings != NOTHING).sum(1)
    assert lengths.min() >= 3 and lengths.max() <= 6
    known = Digits().part("train")
    assert isinstance(known, Arrays) and isinstance(known.targets, torch.Tensor)
    by_pixels = {
        known.inputs(row[None]).numpy().tobytes(): int(known.targets[row]) for row in known.rows
    }
    for image, string in zip(images, strings.tolist(), strict=True):
        windows = image[0].unfold(0, 8, 1).unfold(1, 8, 1).permute(1, 0, 2, 3).reshape(-1, 8, 8)
        found = [
            by_pixels[key]
            for window in windows
            if (key := window.contiguous().numpy().tobytes()) in by_pixels
        ]
        assert found == [digit for digit in string if digit != NOTHING]


@pytest.mark.parametrize("target", ["labels", "count"])
def test_of_strings_can_be_asked_which_digits_occur_or_how_many(target: Any) -> None:
    options: dict[str, Any] = {"size": 8, "strings": 30, "evaluated": 5}
    images, strings = arrays(DigitStrings(**options), "train")
    data = DigitStrings(target=target, **options)
    same_images, asked = arrays(data, "train")
    assert torch.equal(images, same_images)
    written = [[digit for digit in string if digit != NOTHING] for string in strings.tolist()]
    by_hand = [
        [len(string)] if target == "count" else [float(digit in string) for digit in range(10)]
        for string in written
    ]
    assert asked.tolist() == by_hand
    assert (data.spec.target, data.spec.outputs) == (target, len(by_hand[0]))
    if target == "count":
        assert data.spec.scale[0][0] == pytest.approx(sum(map(len, written)) / 30)
    else:
        assert data.spec.counts == tuple(
            sum(map(int, column)) for column in zip(*by_hand, strict=True)
        )


def test_strings_to_test_on_are_made_of_other_images() -> None:
    data = DigitStrings(strings=5, evaluated=5)
    rows = [set(data.digits.part(split).rows.tolist()) for split in ("train", "val", "test")]
    assert not rows[0] & rows[1] and not rows[0] & rows[2] and not rows[1] & rows[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shortest": 7}, "shortest 7 is more than"),
        ({"augment": [Mixup()]}, "augment: Mixup and CutMix"),
    ],
)
def test_what_strings_cannot_be_is_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DigitStrings(**options).setup("fit")
