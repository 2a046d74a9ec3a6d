"""Embeddings and rankings: pairs are formed as they should be, and counted right; training is in
test_every_loss_learns.py.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from project.engine.bases.task import Task
from project.engine.errors import UserError
from project.engine.randomness import generator
from project.engine.spec import DataSpec
from project.tasks.metric_learning import (
    FOLLOWING,
    MetricLearning,
    NeighbourAccuracy,
    pairs,
    partners,
)
from project.tasks.ranking import PairAccuracy, Ranking

CLASSES = DataSpec(((1, 28, 28),), 2, "class", ("a", "b"))
NUMBERS = DataSpec(((2,),), 1, "number", ("y",), scale=((0.0, 1.0),))


def test_partners_are_of_the_same_and_of_another_class_and_never_oneself() -> None:
    classes = torch.tensor([0, 0, 1, 1, 1, 2])
    for place in range(20):
        same, other = partners(classes, generator(place))
        assert (classes[same] == classes).all() and (classes[other] != classes).all()
        assert (same[:5] != torch.arange(5)).all() and same[5] == 5, (
            "the only one of its class is its own partner"
        )


def test_the_nearest_other_sample_counts() -> None:
    metric = NeighbourAccuracy()
    metric.update(torch.tensor([[0.0], [1.0], [10.0]]), torch.tensor([0, 0, 1]))
    metric.update(torch.tensor([[11.0], [12.5]]), torch.tensor([1, 0]))
    assert float(metric.compute()) == pytest.approx(4 / 5)


def test_pairs_in_their_order_count_and_ties_do_not() -> None:
    metric = PairAccuracy()
    metric.update(torch.tensor([1.0, 2, 3, 4]), torch.tensor([10.0, 20, 30, 40]))
    assert float(metric.compute()) == 1.0
    metric.update(torch.tensor([4.0, 3, 2, 1]), torch.tensor([10.0, 20, 30, 40]))
    assert float(metric.compute()) == 0.5
    metric.update(torch.tensor([1.0, 2, 3]), torch.tensor([5.0, 5, 5]))
    assert float(metric.compute()) == 0.5


@pytest.mark.parametrize("size", [1, 2, 3, 8, 65, 100])
def test_all_pairs_of_a_batch_are_compared_and_of_a_large_one_a_bounded_number(size: int) -> None:
    first, second = pairs(size, torch.device("cpu"))
    found = {
        frozenset(pair)
        for pair in zip(first.tolist(), second.tolist(), strict=True)
        if pair[0] != pair[1]
    }
    assert len(found) == size * min((size - 1) / 2, FOLLOWING)
    assert len(first) <= size * FOLLOWING


@pytest.mark.parametrize(
    ("task", "data", "message"),
    [
        (
            MetricLearning(loss=nn.CrossEntropyLoss()),
            CLASSES,
            "CrossEntropy does not compare points in space: use TripletMargin",
        ),
        (MetricLearning(), NUMBERS, "MetricLearning needs classes, the target is of kind 'number'"),
        (Ranking(), CLASSES, "Ranking needs one number"),
        (
            Ranking(loss=nn.MSELoss()),
            NUMBERS,
            "MSE does not compare the order of two: use MarginRanking",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_one_line(task: Task, data: DataSpec, message: str) -> None:
    with pytest.raises(UserError, match=message):
        task.build(data)
