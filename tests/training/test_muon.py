"""FilterMuon makes each step orthogonal, and is refused where it has no use."""

from __future__ import annotations

import pytest
import torch

from project.engine import UserError
from project.training.muon import FilterMuon, orthogonal


@pytest.mark.parametrize("shape", [(8, 27), (27, 8), (16, 16)])
def test_singular_values_come_near_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(shape), steps=8))
    assert float(values.min()) > 0.6 and float(values.max()) < 1.3


def test_a_step_turns_a_filter_of_fixed_length() -> None:
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(8, 3, 3, 3))
    optimizer = FilterMuon([weight], lr=0.1, momentum=0.0)
    before = weight.detach().clone()
    weight.grad = torch.randn_like(weight)
    optimizer.step()
    held = before * (8**0.5 / before.norm())
    assert float((weight.detach() - held).norm()) == pytest.approx(0.1 * 8**0.5, rel=0.3)


def test_biases_are_refused_with_the_way_out() -> None:
    with pytest.raises(UserError, match="groups"):
        FilterMuon([torch.nn.Parameter(torch.zeros(3))])
