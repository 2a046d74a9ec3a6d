"""The mean loss is exact: over unequal batches, and to the bit wherever its tensors lie in
memory.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import MeanSquaredError

from project.engine.bases.metrics import MeanLoss, MetricAccumulator


def at(values: Tensor, offset: int) -> Tensor:
    """The same values at another place in memory."""
    return torch.zeros(len(values) + 64)[offset : offset + len(values)].copy_(values)


def test_the_mean_loss_has_the_same_bits_wherever_it_lies_in_memory() -> None:
    draw = torch.Generator().manual_seed(0)
    losses, sizes = torch.randn(21, generator=draw), 64 * torch.rand(21, generator=draw)
    values = set()
    for offset in range(16):
        mean = MeanLoss()
        mean.update(at(losses, offset), at(sizes, 15 - offset))
        values.add(float(mean.compute()))
    assert len(values) == 1


def test_a_tally_weighs_batches_by_their_size_and_begins_anew_after_compute() -> None:
    accumulator = MetricAccumulator({"mse": MeanSquaredError()})
    accumulator.add(torch.tensor(1.0), torch.zeros(30, 1), torch.ones(30, 1))
    accumulator.add(torch.tensor(4.0), torch.zeros(10, 1), 2 * torch.ones(10, 1))
    window = accumulator.flush()
    assert (float(window["loss"]), float(window["mse"])) == (1.75, 1.75)
    accumulator.add(torch.tensor(1.75), torch.zeros(40, 1), torch.zeros(40, 1))
    whole = accumulator.compute()
    assert (float(whole["loss"]), float(whole["mse"])) == (1.75, 0.875)
    accumulator.add(torch.tensor(3.0), torch.zeros(1, 1), torch.zeros(1, 1))
    assert float(accumulator.compute()["loss"]) == 3.0


def test_a_loss_that_is_no_number_stays_one() -> None:
    mean = MeanLoss()
    mean.update(torch.tensor([1.0, float("nan")]), torch.tensor([1.0, 1.0]))
    assert mean.compute().isnan()
