"""The table of layers: complete where it fits, coarser where it does not, its sum always the
network's.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from project.engine.building.layers import LayerInfo, layers, watched
from project.engine.spec import DataSpec
from project.networks.alexnet import AlexNet
from project.networks.lenet import LeNet
from project.networks.resnet import ResNet
from project.networks.unet import UNet


class Scaled(nn.Module):
    """A network with a parameter of its own beside its parts."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 2)
        self.unused = nn.Linear(3, 3)
        self.scale = nn.Parameter(torch.ones(2))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.inner(inputs) * self.scale


def described(net: nn.Module, shape: tuple[int, ...], most: int = 16) -> list[LayerInfo]:
    with torch.no_grad(), watched(net.eval()) as shapes:
        net(torch.zeros(2, *shape))
    assert not any(part._forward_hooks for part in net.modules())
    return layers(net, shapes, most)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [(LeNet, (1, 28, 28)), (ResNet, (3, 32, 32)), (UNet, (3, 32, 32)), (AlexNet, (3, 224, 224))],
)
@pytest.mark.parametrize("most", [4, 8, 16, 1000])
def test_the_layers_add_up_to_the_network(kind: type, shape: tuple[int, ...], most: int) -> None:
    net = kind(DataSpec((shape,), 10, "class"))
    found = described(net, shape, most)
    assert sum(layer.parameters for layer in found) == sum(
        parameter.numel() for parameter in net.parameters()
    )
    assert len(found) <= max(most, len(list(net.children())))


def test_every_layer_stands_with_the_shape_of_its_answer() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))
    assert described(net, (1, 8, 8)) == [
        LayerInfo("0", "Conv2d", (4, 6, 6), 40),
        LayerInfo("1", "ReLU", (4, 6, 6), 0),
        LayerInfo("2", "Flatten", (144,), 0),
        LayerInfo("3", "Linear", (5,), 725),
    ]
    assert [layer.name for layer in described(net, (1, 8, 8), most=3)] == ["0", "2", "3"]


def test_a_parameter_beside_the_parts_and_a_part_that_is_not_called_are_there() -> None:
    assert described(Scaled(), (3,)) == [
        LayerInfo("(itself)", "Scaled", (2,), 2),
        LayerInfo("inner", "Linear", (2,), 8),
        LayerInfo("unused", "Linear", None, 12),
    ]
