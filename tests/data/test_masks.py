"""Masks stay with their images, are the same in every run, and mistakes are one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from project.data.augment import Affine, Crop, Cutout, Flip, Mixup
from project.data.digits import Digits
from project.data.masks import DigitMasks, MaskFolder
from project.engine.errors import UserError
from project.engine.loading.arrays import Arrays
from project.engine.spec import IGNORED
from tests.data.test_vision import write_idx

CLASSES = "value,name\n3,road\n7,car\n9,sky\n11,unlabelled\n"


def write_folder(root: Path, count: int = 6, classes: str = CLASSES) -> Path:
    """Images of 8x6 whose red is ten times the mask's value, with a split file."""
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    draw = np.random.default_rng(0)
    lines = ["file,split"]
    for number in range(count):
        mask = draw.choice([3, 7, 9, 11], size=(6, 8)).astype(np.uint8)
        pixels = np.stack([mask * 10, mask, mask], axis=2)
        Image.fromarray(mask).save(root / f"masks/{number}.png")
        Image.fromarray(pixels).save(root / f"images/{number}.bmp")
        lines.append(f"{number},{('train', 'train', 'val', 'test')[number % 4]}")
    (root / "split.csv").write_text("\n".join(lines) + "\n")
    (root / "classes.csv").write_text(classes)
    return root


def folder(root: Path, **options: Any) -> MaskFolder:
    return MaskFolder(
        root=str(root), **{"cache": str(root / "cache"), "split_file": "split.csv", **options}
    )


# ---------------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("options", "names", "numbers"),
    [
        ({}, ("road", "car", "sky", "unlabelled"), {3: 0, 7: 1, 9: 2, 11: 3}),
        ({"ignore": ["unlabelled"]}, ("road", "car", "sky"), {3: 0, 7: 1, 9: 2, 11: IGNORED}),
        ({"foreground": ["road", "car"]}, ("background", "road+car"), {3: 1, 7: 1, 9: 0, 11: 0}),
        (
            {"foreground": ["sky"], "ignore": ["car"]},
            ("background", "sky"),
            {3: 0, 7: IGNORED, 9: 1, 11: 0},
        ),
    ],
    ids=lambda value: str(list(value)) if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("cached", [True, False])
def test_the_values_of_a_mask_become_classes(
    options: dict[str, Any],
    names: tuple[str, ...],
    numbers: dict[int, int],
    cached: bool,
    tmp_path: Path,
) -> None:
    data = folder(write_folder(tmp_path), **options, **({} if cached else {"cache": False}))
    data.setup("fit")
    data.setup("test")
    assert (data.spec.target, data.spec.names, data.spec.outputs) == ("mask", names, len(names))
    assert data.spec.inputs == ((3, 6, 8),)
    batch = next(iter(data.train_dataloader()))
    assert batch.targets.dtype == torch.uint8
    for value, number in numbers.items():
        there = batch.inputs[:, 0] == 10 * value
        assert there.any() and (batch.targets[there] == number).all()
    seen = batch.targets[batch.targets != IGNORED]
    assert data.spec.counts == tuple(torch.bincount(seen, minlength=len(names)).tolist())


def test_a_mask_is_resized_without_values_between(tmp_path: Path) -> None:
    data = folder(write_folder(tmp_path), size=16)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch.targets.shape == batch.inputs[:, 0].shape == (4, 16, 16)
    assert set(batch.targets.unique().tolist()) == {0, 1, 2, 3}


def test_shares_are_held_out_where_no_file_names_the_splits(tmp_path: Path) -> None:
    data = folder(write_folder(tmp_path, 20), split_file=None)
    assert [len(data.part(split)) for split in ("train", "val", "test")] == [14, 2, 4]


def _colour(root: Path) -> None:
    Image.new("RGB", (8, 6)).save(root / "masks/0.png")


def _small(root: Path) -> None:
    Image.new("L", (4, 4), 3).save(root / "masks/0.png")


def _unnamed(root: Path) -> None:
    Image.new("L", (8, 6), 200).save(root / "masks/0.png")


MISTAKES: list[tuple[Any, dict[str, Any], str]] = [
    (_colour, {}, r"masks/0.png: a mask of mode RGB"),
    (_small, {}, r"masks/0.png: 4x4 pixels, its image has 8x6"),
    (_unnamed, {}, r"masks/0.png: value 200 has no name in .*classes.csv"),
    (
        lambda root: (root / "masks/2.png").unlink(),
        {},
        r"images/2.bmp: there is no mask of the same name",
    ),
    (
        lambda root: (root / "masks/0.png").write_bytes(b"no"),
        {},
        r"masks/0.png: the mask cannot be read",
    ),
    (
        lambda root: (root / "split.csv").write_text("file,split\n0,trian\n"),
        {},
        r"split.csv:2: unknown split 'trian'",
    ),
    (
        lambda root: (root / "split.csv").write_text("file,split\n0,train\n0.bmp,test\n"),
        {},
        r"split.csv:3: .* listed before",
    ),
    (
        lambda root: (root / "split.csv").write_text("file,split\nx,train\n"),
        {},
        r"split.csv:2: there is no image 'x'",
    ),
    (
        lambda root: (root / "classes.csv").write_text("value,name\n300,a\n"),
        {},
        r"classes.csv:2: expected a value",
    ),
    (None, {"masks": "mask"}, r"masks: there is no folder"),
    (None, {"foreground": ["raod"]}, r"foreground: unknown class 'raod'; did you mean road"),
    (None, {"augment": Affine()}, r"augment: Affine would tear images and masks apart"),
    (None, {"augment": [Flip(), Mixup()]}, r"augment: Mixup would tear"),
]


@pytest.mark.parametrize(
    ("spoil", "options", "message"),
    MISTAKES,
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mistake_in_the_folder_is_one_line(
    spoil: Any, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    write_folder(tmp_path)
    if spoil:
        spoil(tmp_path)
    with pytest.raises(UserError, match=message):
        folder(tmp_path, **options).setup("fit")


# ---------------------------------------------------------------------- augmentation


@pytest.mark.parametrize("step", [Crop(2), Flip(), Cutout(3)], ids=lambda step: type(step).__name__)
def test_a_mask_goes_where_its_image_goes(step: torch.nn.Module) -> None:
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(50, 250, (16, 3, 9, 7), generator=draw, dtype=torch.uint8)
    masks = images[:, 0] // 50
    data = DigitMasks(augment=step)
    data.preprocessing = {"spec": {"inputs": [[3, 9, 7]], "outputs": 2, "target": "mask"}}
    changed, moved = data.changed(images, masks, draw)
    assert not torch.equal(changed, images)
    if isinstance(step, Cutout):
        assert torch.equal(moved, masks)
    else:
        black = (changed == 0).all(1)
        assert (moved[black] == IGNORED).all()
        assert torch.equal(moved[~black], (changed[:, 0] // 50)[~black])
        assert not torch.equal(moved, masks)


# ---------------------------------------------------------------------- digits


def arrays(data: DigitMasks, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    part = data.part(split)
    assert isinstance(part, Arrays) and isinstance(part.targets, torch.Tensor)
    return part.inputs(part.rows), part.targets[part.rows]


def test_the_mask_of_a_digit_is_where_the_clean_image_is_bright_and_no_threshold_finds_it() -> None:
    part, clean = DigitMasks(size=24).load("train"), Digits(size=24).load("train")
    images, masks = part.inputs(part.rows), part.targets
    assert isinstance(masks, torch.Tensor)
    assert torch.equal(masks.bool(), clean.inputs(clean.rows)[:, 0] > 127.5)
    best = 0.0
    for threshold in range(20, 240, 10):
        guess = images[:, 0] > threshold
        best = max(best, float(2 * (guess & masks.bool()).sum() / (guess.sum() + masks.sum())))
    assert best < 0.85


def test_mnist_is_another_source_in_any_number_of_channels(tmp_path: Path) -> None:
    write_idx(tmp_path / "MNIST/raw")
    data = DigitMasks(source="MNIST", root=str(tmp_path), size=12, channels=3)
    data.setup("fit")
    data.setup("test")
    assert data.spec.inputs == ((3, 12, 12),)


def test_samples_are_a_function_of_the_split_seed() -> None:
    same = [arrays(DigitMasks(split_seed=1), "test") for _ in range(2)]
    other = arrays(DigitMasks(split_seed=2), "test")
    assert torch.equal(same[0][0], same[1][0]) and torch.equal(same[0][1], same[1][1])
    assert not torch.equal(same[0][0], other[0])
