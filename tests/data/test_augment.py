"""Augmentation depends on its place alone, gives every image its own parameters, and does what
torchvision does.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from project.data import augment
from project.data.augment import Affine, Crop, CutMix, Cutout, Flip, Mixup
from project.data.digits import Digits
from project.engine.errors import UserError
from project.engine.loading.augmenting import augmented
from project.engine.randomness import generator
from project.engine.spec import Batch, DataSpec
from project.networks.mlp import MLP
from project.tasks.classification import Classification

SOFT = v2.RandomApply(nn.ModuleList([v2.GaussianBlur(3)]), p=0.9)
ALL = {
    "Crop": Crop(2),
    "Flip": Flip(),
    "Affine": Affine(30, 0.2, (0.5, 1.5), 20),
    "Cutout": Cutout(4),
    "Mixup": Mixup(1.0),
    "CutMix": CutMix(1.0, 0.9),
    "RandomRotation": v2.RandomRotation(40),
    "RandomApply": SOFT,
}


def noise(*shape: int, dtype: torch.dtype = torch.uint8) -> Tensor:
    images = torch.randint(256, shape, generator=generator("noise"), dtype=torch.uint8)
    return images.to(dtype, memory_format=torch.channels_last)


def draw(*place: object) -> torch.Generator:
    return generator("test", *place)


@pytest.fixture(scope="module")
def digits() -> Digits:
    data = Digits()
    data.setup("fit")
    return data


def prepared(
    data: Digits, step: nn.Module, place: tuple[int, int], training: bool = True, rank: int = 0
) -> Batch:
    data.augment = [step]
    data.trainer = SimpleNamespace(training=training, global_rank=rank)
    return data.on_after_batch_transfer(
        Batch(noise(6, 1, 8, 8), torch.arange(6), torch.arange(6), place), 0
    )


@pytest.mark.parametrize("name", ALL)
def test_the_same_place_gives_the_same_images_whatever_came_before(
    name: str, digits: Digits
) -> None:
    first = prepared(digits, ALL[name], (3, 7))
    torch.rand(5)
    prepared(digits, ALL[name], (0, 0))
    again = prepared(digits, ALL[name], (3, 7))
    assert torch.equal(first.inputs, again.inputs) and torch.equal(first.targets, again.targets)


@pytest.mark.parametrize("name", ALL)
def test_another_epoch_batch_rank_or_seed_gives_other_images(
    name: str, digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepared(digits, ALL[name], (3, 7)).inputs
    others = [
        prepared(digits, ALL[name], (4, 7)),
        prepared(digits, ALL[name], (3, 8)),
        prepared(digits, ALL[name], (3, 7), rank=1),
    ]
    monkeypatch.setenv("PL_GLOBAL_SEED", "1")
    others.append(prepared(digits, ALL[name], (3, 7)))
    assert all(not torch.equal(first, other.inputs) for other in others)


@pytest.mark.parametrize("name", ALL)
def test_only_training_batches_are_changed(name: str, digits: Digits) -> None:
    plain = prepared(digits, nn.Identity(), (0, 0), training=False)
    batch = prepared(digits, ALL[name], (0, 0), training=False)
    assert torch.equal(batch.inputs, plain.inputs) and torch.equal(batch.targets, torch.arange(6))
    assert not torch.equal(prepared(digits, ALL[name], (0, 0)).inputs, plain.inputs)


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("Mixup", "CutMix")])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_equal_images_get_different_parameters_and_keep_shape_and_type(
    name: str, dtype: torch.dtype
) -> None:
    same = noise(1, 3, 12, 16, dtype=dtype).expand(8, -1, -1, -1)
    changed, targets = augmented(same, torch.arange(8), [ALL[name]], 8, draw())
    assert changed.shape == same.shape and changed.dtype == dtype
    assert len({tuple(image.flatten().tolist()) for image in changed}) > 1
    assert changed.min() >= 0 and changed.max() <= 255
    assert torch.equal(targets, torch.arange(8))


# ---------------------------------------------------------------------- the image alone


FRAMES = {"zeros": "constant", "border": "replicate", "reflection": "reflect"}  # as torch says


@pytest.mark.parametrize("padding_mode", FRAMES)
@pytest.mark.parametrize("shape", [(16, 1, 8, 8), (16, 3, 7, 10)])
def test_crop_shifts_each_image_by_at_most_the_padding(
    shape: tuple[int, ...], padding_mode: Any
) -> None:
    images, (height, width) = noise(*shape), shape[2:]
    framed = nn.functional.pad(images.float(), (2, 2, 2, 2), mode=FRAMES[padding_mode]).byte()
    cropped = Crop(2, padding_mode)(images, draw())
    assert cropped.is_contiguous(memory_format=torch.channels_last)
    shifts = []
    for image, result in zip(framed, cropped, strict=True):
        windows = [
            (i, j)
            for i in range(5)
            for j in range(5)
            if torch.equal(image[:, i : i + height, j : j + width], result)
        ]
        assert len(windows) == 1
        shifts += windows
    assert len(set(shifts)) > 5


def test_both_ways_to_crop_give_the_same() -> None:
    images = noise(9, 3, 12, 10).permute(0, 2, 3, 1)
    corners, size = torch.randint(4, (9, 2), generator=draw()), torch.Size((9, 7))
    assert torch.equal(
        augment.crop_by_slices(images, corners, size), augment.crop_by_index(images, corners, size)
    )


@pytest.mark.parametrize(
    ("probability", "low", "high"), [(0.0, 0, 0), (0.5, 70, 130), (1.0, 200, 200)]
)
def test_flip_mirrors_a_share_of_the_images_left_to_right(
    probability: float, low: int, high: int
) -> None:
    images = noise(200, 3, 4, 5)
    flipped = Flip(probability)(images, draw())
    mirrored = [
        torch.equal(result, image.flip(2)) for image, result in zip(images, flipped, strict=True)
    ]
    kept = [torch.equal(result, image) for image, result in zip(images, flipped, strict=True)]
    assert low <= sum(mirrored) <= high
    assert all(a != b for a, b in zip(mirrored, kept, strict=True))


def test_flip_in_turns_shows_each_image_from_both_sides_in_two_epochs(digits: Digits) -> None:
    def seen(epoch: int, batch: int) -> Tensor:
        return prepared(digits, Flip(alternate=True), (epoch, batch)).inputs

    plain = prepared(digits, nn.Identity(), (0, 0)).inputs
    first, second = seen(0, 0), seen(1, 3)
    assert torch.equal(first, seen(2, 5)) and torch.equal(second, seen(3, 0))
    turned = [torch.equal(one, image.flip(2)) for one, image in zip(first, plain, strict=True)]
    assert 0 < sum(turned) < len(turned)
    assert torch.equal(second, torch.stack([image.flip(2) for image in first]))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("shape", [(12, 1, 28, 28), (12, 3, 24, 32)])
def test_affine_equals_torchvision(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    images, numbers = noise(*shape, dtype=dtype), torch.rand(5, shape[0], generator=draw())
    angle, shear, scale = 180 * numbers[0] - 90, 80 * numbers[1] - 40, 0.5 + numbers[2]
    shift = (12 * numbers[3:] - 6).round().T
    ours = augment.affine(images, angle, shift, scale, shear)
    for i, image in enumerate(images):
        arguments = (float(angle[i]), shift[i].tolist(), float(scale[i]), [float(shear[i]), 0.0])
        theirs = v2.functional.affine(
            image, *arguments, interpolation=v2.InterpolationMode.BILINEAR
        )
        difference = (ours[i].float() - theirs.float()).abs()
        assert difference.max() <= 1  # a value of x.5 may round either way
        assert difference.mean() < 0.01


@pytest.mark.parametrize(
    ("mode", "edge"), [("zeros", [0, 0]), ("border", [10, 10]), ("reflection", [20, 10])]
)
def test_affine_fills_what_was_outside(mode: str, edge: list[int]) -> None:
    columns = torch.arange(10, 90, 10, dtype=torch.uint8).expand(2, 1, 8, 8)
    still = torch.zeros(2)
    moved = augment.affine(columns, still, torch.tensor([[2.0, 0.0]] * 2), still + 1, still, mode)
    assert moved[0, 0, 4].tolist() == [*edge, 10, 20, 30, 40, 50, 60]
    step = Affine(degrees=0, translate=0.25, scale=(1, 1), padding_mode=mode)  # type: ignore[arg-type]
    assert bool((step(columns + 100, draw()) == 0).any()) is (mode == "zeros")


def test_affine_stays_within_its_limits() -> None:
    square = torch.zeros(64, 1, 33, 33)
    square[:, :, 16, 16] = 255
    moved = Affine(degrees=0, translate=0.1, scale=(1, 1))(square, draw())
    rows = (moved.sum((1, 3)) > 1).nonzero()[:, 1]
    assert (
        12 <= rows.min() <= 13 and 19 <= rows.max() <= 20
    )  # 3.3 pixels either way, spread over two by interpolation


def test_cutout_fills_a_square_with_the_mean_colour() -> None:
    images = noise(40, 3, 16, 16)
    cut = Cutout(6)(images, draw())
    areas = []
    for image, result in zip(images, cut, strict=True):
        changed = (image != result).any(0)
        mean = image.float().mean((1, 2)).to(torch.uint8)
        assert (result[:, changed] == mean.unsqueeze(1)).all()
        areas.append(int(changed.sum()))
    assert (
        max(areas) in (35, 36) and min(areas) >= 8
    )  # a pixel may have the mean colour; a corner keeps a quarter


# ---------------------------------------------------------------------- pairs of images


@pytest.mark.parametrize("mixing", [Mixup(0.5), CutMix(1.0, 0.8)])
def test_targets_are_mixed_in_the_shares_of_the_images(mixing: nn.Module) -> None:
    classes = torch.arange(10).repeat(3)
    images = (20 * classes).to(torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 3, 14, 10)
    mixed, targets = augmented(images, classes, [mixing], 10, draw())
    assert targets.shape == (30, 10) and targets.dtype == torch.float32
    torch.testing.assert_close(targets.sum(1), torch.ones(30))
    torch.testing.assert_close(
        mixed.float().mean((1, 2, 3)), targets @ (20.0 * torch.arange(10)), rtol=0, atol=1e-3
    )
    assert (targets.max(1).values < 0.999).sum() > 5


def test_mixed_images_can_be_mixed_again() -> None:
    _, targets = augmented(noise(8, 1, 8, 8), torch.arange(8), [Mixup(), CutMix()], 8, draw())
    torch.testing.assert_close(targets.sum(1), torch.ones(8))


def step_on_mixed_images(loss: nn.Module, target: Literal["class", "labels"]) -> dict[str, Tensor]:
    """What a task reports of one batch of two mixed classes."""
    task = Classification(MLP, loss)
    task.build(DataSpec(((1, 6, 6),), 2, target, ("no", "yes")))
    truth = torch.arange(8) % 2 if target == "class" else torch.eye(2).repeat(4, 1)
    images, targets = augmented(noise(8, 1, 6, 6), truth, [Mixup(1.0)], 2, draw())
    task.accumulator("train").add(*task.step(Batch(images / 255, targets, torch.arange(8), (0, 0))))
    return task.accumulator("train").compute()


@pytest.mark.parametrize(
    ("loss", "target"),
    [
        (nn.CrossEntropyLoss(), "class"),
        (nn.BCEWithLogitsLoss(), "class"),
        (nn.BCEWithLogitsLoss(), "labels"),
    ],
)
def test_mixed_targets_train_with_a_loss_of_shares(
    loss: nn.Module, target: Literal["class", "labels"]
) -> None:
    figures = step_on_mixed_images(loss, target)
    assert 0.5 < figures["loss"] < 1 and 0 <= figures["accuracy"] <= 1


@pytest.mark.parametrize("loss", [nn.NLLLoss(), nn.MultiMarginLoss()])
def test_mixed_targets_and_a_loss_of_one_class_are_one_line(loss: nn.Module) -> None:
    with pytest.raises(UserError, match=r"Mixup and CutMix need loss CrossEntropy"):
        step_on_mixed_images(loss, "class")


# ---------------------------------------------------------------------- torchvision's transforms


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (v2.CenterCrop(5), "CenterCrop makes 1x5x5 of 1x8x8"),
        (v2.ToPILImage(), "ToPILImage makes Image of 1x8x8"),
        (v2.MixUp(num_classes=10), "MixUp does not work on an image of 1x8x8"),
    ],
)
def test_a_transform_that_does_not_keep_the_image_is_one_line(
    transform: nn.Module, message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        augmented(noise(4, 1, 8, 8), torch.arange(4), [transform], 10, draw())
    assert "\n" not in str(error.value)


def test_transforms_see_floats_from_zero_to_one() -> None:
    images = noise(4, 3, 8, 8, dtype=torch.float32)
    inverted, _ = augmented(images, torch.arange(4), [v2.RandomInvert(1.0)], 10, draw())
    torch.testing.assert_close(inverted, 255 - images)


@pytest.mark.parametrize(
    "wanted",
    [
        "Flip",
        "[Crop,Mixup]",
        '[{"class_path":"RandomApply","init_args":{"transforms":["RandomInvert"],"p":0.5}},Cutout]',
    ],
)
def test_augmentations_are_named_on_the_command_line(
    wanted: str, project: Callable[..., tuple[int, str, str]]
) -> None:
    code, _, error = project(
        f"fit --trainer.fast_dev_run 2 --run.threads 1 --data.augment {wanted}"
    )
    assert (code, error) == (0, "")
