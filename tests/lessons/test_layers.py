"""Hand-written layers equal torch's, forward and backward; the networks made of them have the
parameters one counts by hand.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from project.engine.bases.network import Network
from project.engine.errors import UserError
from project.engine.randomness import generator
from project.engine.spec import DataSpec
from project.lessons.layers import (
    CrossCorrelation2d,
    MatrixDict,
    MatrixList,
    MeanSubtract,
    Pool2d,
    windows,
)
from project.lessons.tutorial import HandMade, Matrices, SmallCNN
from project.networks.alexnet import AlexNet
from project.networks.cnn import CNN
from project.networks.lenet import LeNet
from project.networks.mlp import MLP
from tests.conftest import Project


def spec_of(*shape: int) -> DataSpec:
    return DataSpec((shape,), 10, "class", tuple(map(str, range(10))))


def assert_same(ours: nn.Module, theirs: nn.Module, inputs: Tensor) -> None:
    """Equal outputs, and equal gradients of inputs and parameters, for a loss that weighs every
    answer differently.
    """
    results = []
    for layer in (ours, theirs):
        seen = inputs.clone().requires_grad_()
        outputs = layer(seen)
        (
            outputs
            * torch.randn(outputs.shape, generator=generator("weights"), dtype=outputs.dtype)
        ).sum().backward()
        results.append(
            [outputs.detach(), seen.grad, *(parameter.grad for parameter in layer.parameters())]
        )
    assert len(results[0]) == len(results[1])
    for mine, torchs in zip(*results, strict=True):
        torch.testing.assert_close(mine, torchs)


def images(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=generator("images"), dtype=dtype)


# ---------------------------------------------------------------------- layers

GEOMETRY: list[dict[str, Any]] = [
    {},
    {"kernel_size": 1},
    {"kernel_size": (3, 2)},
    {"kernel_size": (1, 4), "padding": (0, 2)},
    {"kernel_size": (3, 5), "stride": (2, 3), "padding": (1, 2)},
    {"kernel_size": (2, 3), "stride": 4},  # leaves rows and columns unseen
    {"kernel_size": (9, 11)},  # the whole image
    {"padding": (3, 0), "bias": False},
]


@pytest.mark.parametrize("options", GEOMETRY, ids=str)
def test_cross_correlation_equals_conv2d(options: dict[str, Any]) -> None:
    options = {"kernel_size": 3} | options
    ours, theirs = CrossCorrelation2d(2, 4, **options).double(), nn.Conv2d(2, 4, **options).double()
    theirs.load_state_dict(ours.state_dict())
    assert_same(ours, theirs, images(3, 2, 9, 11))


def test_cross_correlation_of_the_textbook() -> None:
    """The kernel is not flipped, which a convolution of mathematics would do."""
    layer = CrossCorrelation2d(1, 1, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.arange(4.0).reshape(1, 1, 2, 2))
        outputs = layer(torch.arange(9.0).reshape(1, 1, 3, 3))
    assert outputs.squeeze().tolist() == [[19, 25], [37, 43]]


@pytest.mark.parametrize("bias", [True, False])
def test_cross_correlation_begins_with_the_weights_of_conv2d(bias: bool) -> None:
    states = []
    for kind in (CrossCorrelation2d, nn.Conv2d):
        torch.manual_seed(5)
        states.append(kind(3, 4, (2, 5), bias=bias).state_dict())
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("mode", ["max", "average"])
@pytest.mark.parametrize(
    "options",
    [
        {"kernel": 2},
        {"kernel": (3, 2)},
        {"kernel": 3, "stride": 2},
        {"kernel": 3, "stride": (2, 1), "padding": 1},
        {"kernel": (2, 5), "stride": (3, 2), "padding": (1, 2)},
    ],
    ids=str,
)
def test_pooling_equals_torchs(mode: Any, options: dict[str, Any]) -> None:
    theirs = (nn.MaxPool2d if mode == "max" else nn.AvgPool2d)(
        options["kernel"], options.get("stride"), options.get("padding", 0)
    )
    assert_same(
        Pool2d(**options, mode=mode), theirs, images(2, 3, 8, 9) - 2
    )  # mostly below the zero of a frame


def test_max_pooling_gives_the_gradient_of_a_tie_to_the_first_as_torch_does() -> None:
    assert_same(
        Pool2d(3, stride=2, padding=1),
        nn.MaxPool2d(3, stride=2, padding=1),
        images(2, 3, 8, 9).relu(),
    )


def test_padding_wider_than_half_a_window_is_one_line() -> None:
    with pytest.raises(
        UserError, match=r"padding \(0, 2\) is larger than half the window \(3, 3\)"
    ):
        Pool2d(3, padding=(0, 2))


def test_windows_are_a_view_of_the_images() -> None:
    pixels = images(1, 1, 4, 6)
    seen = windows(pixels, (2, 3), (2, 1))
    assert seen.shape == (1, 1, 2, 4, 2, 3)
    assert seen.data_ptr() == pixels.data_ptr()
    assert torch.equal(seen[0, 0, 1, 2], pixels[0, 0, 2:4, 2:5])


def test_the_mean_is_subtracted_over_all_values_or_over_those_of_each_image() -> None:
    assert MeanSubtract()(torch.tensor([1.0, 2, 3, 4, 5])).tolist() == [-2, -1, 0, 1, 2]
    pixels = images(3, 2, 4, 5) + torch.arange(3.0).reshape(3, 1, 1, 1)
    apart = MeanSubtract((1, 2, 3))(pixels)
    torch.testing.assert_close(apart.mean((1, 2, 3)), torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(apart[:1], MeanSubtract()(pixels[:1]))
    assert not torch.allclose(apart, MeanSubtract()(pixels))


def test_a_list_of_matrices_is_applied_in_turn() -> None:
    layer = MatrixList([4, 4, 4, 1])
    first, second, third = layer.parameters()
    assert [tuple(matrix.shape) for matrix in layer.parameters()] == [(4, 4), (4, 4), (4, 1)]
    values = images(2, 4, dtype=torch.float32)
    torch.testing.assert_close(layer(values), values @ first @ second @ third)
    torch.testing.assert_close(MatrixList([4, 4]).forward(values).shape, torch.Size([2, 4]))
    between = MatrixList([4, 4, 1], nn.ReLU())
    between.load_state_dict({"matrices.0": first, "matrices.1": third})
    torch.testing.assert_close(between(values), (values @ first).relu() @ third)


def test_a_dictionary_of_matrices_uses_the_chosen_one_alone() -> None:
    layer = MatrixDict(4, {"linear1": 4, "linear2": 1, "linear3": 2})
    values = images(2, 4, dtype=torch.float32)
    for name, width in {"linear1": 4, "linear2": 1, "linear3": 2}.items():
        assert layer(values, choice=name).shape == (2, width)
        torch.testing.assert_close(
            layer(values, name), values @ layer.state_dict()[f"matrices.{name}"]
        )
    assert torch.equal(layer(values), layer(values, "linear1"))
    layer(values, "linear3").sum().backward()
    assert [name for name, matrix in layer.named_parameters() if matrix.grad is not None] == [
        "matrices.linear3"
    ]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: MatrixDict(4, {"linear1": 4})(torch.zeros(1, 4), "liner1"), "no matrix "
                                                                             "'liner1'; did you "
                                                                             "mean linear1?"),
        (lambda: MatrixDict(4, {"a.b": 4}), "a matrix cannot be called 'a.b'"),
        (lambda: MatrixDict(4, {"keys": 4}), "a matrix cannot be called 'keys'"),
        (lambda: Matrices(spec_of(1, 8, 8), choice="third"), "net.choice: unknown matrix "
                                                             "'third'; choices: linear1"),
        (lambda: Matrices(spec_of(1, 8, 8), hidden=()), "net.hidden: expected at least "
                                                        "one width"),
        (lambda: SmallCNN(spec_of(1, 15, 28)), "2 convolutions needs images of at least 16x16, "
                                               "the data gives 1x15x28"),
        (lambda: HandMade(spec_of(7)), "HandMade of 2 convolutions needs images of channels x "
                                       "height x width, the data gives 7"),
    ],
    ids=["choice", "dot", "method", "network's choice", "no width", "small images", "table"],
)  # fmt: skip
def test_a_layer_that_cannot_be_is_one_line(build: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError) as error:
        build()
    assert message in str(error.value) and "\n" not in str(error.value)


# ---------------------------------------------------------------------- networks


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_hand_made_network_equals_the_one_of_torchs_layers(
    pooling: Any, batch_norm: bool
) -> None:
    spec, options = (
        spec_of(3, 16, 21),
        {"pooling": pooling, "batch_norm": batch_norm, "hidden": (20,)},
    )
    torch.manual_seed(0)
    ours = HandMade(spec, **options).double()
    torch.manual_seed(0)
    theirs = SmallCNN(spec, **options).double()
    pixels = images(6, 3, 16, 21)
    assert_same(ours, nn.Sequential(MeanSubtract((1, 2, 3)), theirs), pixels)


@pytest.mark.parametrize("side", [16, 17, 28, 33])
def test_a_small_cnn_takes_images_from_16(side: int) -> None:
    assert SmallCNN(spec_of(1, side, side + 1))(torch.zeros(2, 1, side, side + 1)).shape == (2, 10)


@pytest.mark.parametrize(
    ("build", "shape", "parameters"),
    [
        # one of 784x256 with 256 biases, one of 256x10 with 10
        (partial(MLP, hidden=(256,)), (1, 28, 28), 203_530),
        # 6 (5x5 + 1) + 12 (6x5x5 + 1) + (192 + 1) 120 + (120 + 1) 60 + (60 + 1) 10
        (SmallCNN, (1, 28, 28), 156 + 1_812 + 23_160 + 7_260 + 610),
        (HandMade, (1, 28, 28), 32_998),
        # the same, with a scale and a shift in the place of each bias but the last
        (partial(SmallCNN, batch_norm=True), (1, 28, 28), 162 + 1_824 + 23_280 + 7_320 + 610),
        # 32 (3x3 + 1) + 64 (32x3x3 + 1) + (64x7x7 + 1) 128 + (128 + 1) 10
        (partial(CNN, channels=(32, 64)), (1, 28, 28), 320 + 18_496 + 401_536 + 1_290),
        # 6 (5x5 + 1) + 16 (6x5x5 + 1) + (400 + 1) 120 + (120 + 1) 84 + (84 + 1) 10
        (LeNet, (1, 28, 28), 156 + 2_416 + 48_120 + 10_164 + 850),
        # convolutions of 11x11, 5x5, and three of 3x3; then 6,400-4,096-4,096-10
        (
            AlexNet,
            (1, 224, 224),
            11_712 + 614_656 + 885_120 + 1_327_488 + 884_992 + 26_218_496 + 16_781_312 + 40_970,
        ),
        # the small form: 5x5 first, and 256x3x3 = 2,304 values after it
        (
            partial(AlexNet, form="small"),
            (1, 28, 28),
            2_496 + 614_656 + 885_120 + 1_327_488 + 884_992 + 9_441_280 + 16_781_312 + 40_970,
        ),
    ],
    ids=["mlp", "6-12", "6-12 hand", "6-12 norm", "32-64", "lenet", "alexnet", "alexnet small"],
)  # fmt: skip
def test_a_network_has_the_parameters_counted_by_hand(
    build: Callable[[DataSpec], Network], shape: tuple[int, ...], parameters: int
) -> None:
    with torch.device("meta"):
        network = build(spec_of(*shape))
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_bare_matrices_have_no_biases() -> None:
    """Two of 64x64, of which one is used, one of 64x32, one of 32x10."""
    assert (
        sum(parameter.numel() for parameter in Matrices(spec_of(1, 8, 8)).parameters())
        == 2 * 4_096 + 2_048 + 320
    )


def test_the_small_cnn_reaches_its_linear_layers_as_192_values() -> None:
    assert SmallCNN(spec_of(1, 28, 28)).features(torch.zeros(1, 1, 28, 28)).shape == (1, 192)


@pytest.mark.parametrize(
    "words",
    ["HandMade --data.size 16 --model.net.pooling average", "Matrices --model.net.choice linear2"],
)
def test_hand_made_networks_learn_from_the_command_line(words: str, project: Project) -> None:
    fast = (
        "--run.threads 1 --run.tensorboard false --trainer.max_epochs 3 --model.optimizer Adam "
        "--model.optimizer.lr 0.01"
    )
    code, _, err = project(
        f"fit --data Digits --model Classification --model.net {words} --run run", fast
    )
    assert code == 0, err
    assert json.loads(Path("run/results.json").read_text())["last"]["val/accuracy"] > 0.6
