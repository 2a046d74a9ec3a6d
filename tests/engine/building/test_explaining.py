"""A heatmap lies where the answer comes from; a column counts by what it tells."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from project.engine.building.explaining import SHUFFLES, grouped, heatmaps, importance


class Bright(nn.Module):
    """Class 1 by how bright the brightest places are."""

    def __init__(self, convolves: bool = True) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 1, 3, padding=1, bias=False)
        nn.init.ones_(self.convolution.weight)
        self.convolves = convolves

    @property
    def net(self) -> nn.Module:
        return self

    def forward(self, images: Tensor) -> Tensor:
        seen = self.convolution(images) if self.convolves else images
        score = seen.relu_().square().mean((1, 2, 3))
        return torch.stack([-score, score], 1)


def with_a_spot() -> Tensor:
    images = torch.zeros(4, 1, 16, 16)
    for i, (row, column) in enumerate([(2, 2), (2, 12), (12, 2), (8, 9)]):
        images[i, 0, row : row + 2, column : column + 2] = 1
    return images


def test_the_heat_lies_on_what_spoke_for_the_answer() -> None:
    images = with_a_spot()
    heat = heatmaps(Bright(), images)
    assert heat is not None and heat.shape == (4, 16, 16)
    assert float(heat.min()) >= 0 and torch.allclose(heat.amax((1, 2)), torch.ones(4))
    for image, warm in zip(images[:, 0], heat, strict=True):
        row, column = divmod(int(warm.argmax()), 16)
        assert image[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].any()


def test_it_is_drawn_where_no_gradients_are_kept_and_of_yes_and_no() -> None:
    net = Bright()
    net.register_forward_hook(lambda module, given, answer: answer[:, 1])
    with torch.inference_mode():
        heat = heatmaps(net, with_a_spot())
    assert heat is not None and float(heat.max()) == 1
    assert net.convolution.weight.grad is None and not net.convolution._forward_hooks


def test_a_network_without_a_convolution_has_none() -> None:
    assert heatmaps(Bright(convolves=False), with_a_spot()) is None


def test_a_number_and_its_gaps_are_one_column() -> None:
    assert grouped(("age", "fare", "age is missing", "lost is missing")) == {
        "age": [0, 2],
        "fare": [1],
        "lost is missing": [3],
    }


def test_a_column_counts_by_what_it_tells() -> None:
    draw = torch.Generator().manual_seed(0)
    rows = torch.randn(3000, 4, generator=draw)
    targets = 3 * rows[:, 0] + rows[:, 1] + 0.5 * rows[:, 3]
    weights = torch.tensor([3.0, 1.0, 0.0, 0.5])

    def loss(changed: Tensor) -> float:
        assert len(changed) == 2000, "as many as keep it short"
        return float((changed @ weights - targets[: len(changed)]).square().mean())

    found = importance(loss, rows, ("a", "b", "noise", "a is missing"))
    assert {len(rises) for rises in found.values()} == {SHUFFLES}
    assert found["noise"] == [0.0] * SHUFFLES
    # twice the variance of what a column contributes: 2 * (9 + 0.25) and 2 * 1
    assert abs(sum(found["a"]) / SHUFFLES - 18.5) < 1.5
    assert abs(sum(found["b"]) / SHUFFLES - 2) < 0.3
    assert importance(loss, rows, ("a", "b", "noise", "a is missing")) == found
