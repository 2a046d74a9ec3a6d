"""Numbers, counts and numbers with a variance: what the loss sees, and what the metrics and people
see.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from project.engine.bases.network import Network
from project.engine.errors import UserError
from project.engine.spec import Batch, DataSpec
from project.tasks.regression import Coverage, Regression

NUMBER = DataSpec(((2,),), 1, "number", ("price",), scale=((100.0, 10.0),))
COUNT = DataSpec(((2,),), 1, "count", ("visits",), scale=((4.0, 2.0),))
INPUTS, IDS = torch.zeros(2, 2), torch.arange(2)


class Says(Network):
    """A network that answers with zeros."""

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.zeros(len(inputs), self.spec.outputs)


def task(loss: nn.Module, spec: DataSpec) -> Regression:
    made = Regression(Says, loss)
    made.build(spec)
    return made


def test_the_loss_sees_standardised_numbers_and_people_their_own_units() -> None:
    loss, predictions, targets = task(nn.L1Loss(), NUMBER).step(
        Batch(INPUTS, torch.tensor([[110.0], [80.0]]), IDS, (0, 0))
    )
    assert float(loss) == pytest.approx((1 + 2) / 2)
    assert (predictions.tolist(), targets.tolist()) == ([[100.0], [100.0]], [[110.0], [80.0]])


@pytest.mark.parametrize(
    ("loss", "rate"),
    [(nn.PoissonNLLLoss(), 4.0), (nn.PoissonNLLLoss(log_input=False), 4 * math.log(2))],
)
def test_a_rate_is_counted_from_the_mean_of_the_training_split(
    loss: nn.Module, rate: float
) -> None:
    made = task(loss, COUNT)
    value, predictions, targets = made.step(Batch(INPUTS, torch.tensor([[3], [5]]), IDS, (0, 0)))
    assert predictions.flatten().tolist() == pytest.approx([rate, rate], abs=1e-5)
    assert float(value) == pytest.approx(rate - 4 * math.log(rate), abs=1e-5), (
        "the loss compares whole counts"
    )
    deviance = made.metrics(COUNT)["deviance"](predictions, targets)
    by_hand = sum(2 * (count * math.log(count / rate) + rate - count) for count in (3, 5)) / 2
    assert float(deviance) == pytest.approx(by_hand, rel=1e-5)


def test_counts_can_be_read_as_numbers() -> None:
    loss, predictions, _ = task(nn.MSELoss(), COUNT).step(
        Batch(INPUTS, torch.tensor([[4], [6]]), IDS, (0, 0))
    )
    assert float(loss) == pytest.approx((0 + 1) / 2)
    assert predictions.flatten().tolist() == [4.0, 4.0]


def test_a_variance_is_predicted_as_a_deviation_in_the_units_of_the_target() -> None:
    made = task(nn.GaussianNLLLoss(), NUMBER)
    _, predictions, targets = made.step(Batch(INPUTS, torch.tensor([[110.0], [80.0]]), IDS, (0, 0)))
    deviation = 10 * math.sqrt(math.log(2))
    assert predictions.tolist() == [pytest.approx([100.0, deviation], rel=1e-5)] * 2
    metrics = made.metrics(NUMBER)
    assert float(metrics["mae"](predictions, targets)) == pytest.approx(15), "of the means alone"
    assert float(metrics["coverage"](predictions, targets)) == 0.5, (
        "10 is within 1.96 deviations of 8.3, 20 is not"
    )
    assert list(made.to_columns(predictions)) == ["price", "price deviation"]


def test_coverage_of_a_normal_distribution_is_what_it_should_be() -> None:
    coverage, draw = Coverage(), torch.Generator().manual_seed(0)
    mean, deviation = (
        torch.randn(20_000, 1, generator=draw),
        torch.rand(20_000, 1, generator=draw) + 0.1,
    )
    coverage.update(
        torch.cat([mean, deviation], dim=1),
        mean + deviation * torch.randn(20_000, 1, generator=draw),
    )
    assert float(coverage.compute()) == pytest.approx(0.95, abs=0.005)


def test_a_loss_for_counts_refuses_other_numbers() -> None:
    with pytest.raises(
        UserError,
        match=r"loss PoissonNLL is for counts, the target price is a number: use MSE",
    ):
        task(nn.PoissonNLLLoss(), NUMBER)
