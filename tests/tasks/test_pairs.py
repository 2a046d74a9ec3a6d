"""Embeddings and rankings: pairs are drawn as they should be, and what is learnt from them holds on other samples."""

from __future__ import annotations

import functools

import lightning.pytorch as L
import pytest
import torch
from torch import nn

from project.data.digits import Digits
from project.data.synthetic import Plane
from project.errors import UserError
from project.networks.lenet import LeNet
from project.networks.mlp import MLP
from project.randomness import generator
from project.tasks.embedding import Embedding, NeighbourAccuracy, partners
from project.tasks.ranking import PairAccuracy, Ranking

ADAM = functools.partial(torch.optim.Adam, lr=0.002)


def figure(task: L.LightningModule, data: L.LightningDataModule, epochs: int) -> float:
    """The monitored figure on the test split."""
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = L.Trainer(max_epochs=epochs, accelerator="cpu", **quiet)
    if epochs:
        trainer.fit(task, datamodule=data)
    trainer.test(task, datamodule=data, verbose=False)
    return float(trainer.callback_metrics[task.monitor.replace("val/", "test/")])


def test_partners_are_of_the_same_and_of_another_class_and_never_oneself() -> None:
    classes = torch.tensor([0, 0, 1, 1, 1, 2])
    for place in range(20):
        same, other = partners(classes, generator(place))
        assert (classes[same] == classes).all() and (classes[other] != classes).all()
        assert (same[:5] != torch.arange(5)).all() and same[5] == 5, "the only one of its class is its own partner"


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


@pytest.mark.parametrize(
    ("loss", "share"),
    [(nn.TripletMarginLoss(), 0.5), (nn.CosineEmbeddingLoss(margin=0.3), 0.8), (nn.HingeEmbeddingLoss(), 0.8)],
    ids=lambda value: type(value).__name__,
)
def test_an_embedding_makes_fewer_errors_than_the_untrained_network(loss: nn.Module, share: float) -> None:
    untrained = figure(Embedding(LeNet, loss, optimizer=ADAM), Digits(size=28), 0)
    trained = figure(Embedding(LeNet, loss, optimizer=ADAM), Digits(size=28), 12)
    assert 1 - trained < share * (1 - untrained)


def test_a_ranking_halves_the_errors_of_chance() -> None:
    net = functools.partial(MLP, hidden=(8,))
    assert figure(Ranking(net, nn.MarginRankingLoss(0.1), optimizer=ADAM), Plane(noise=1.0), 10) > 0.75


def test_what_does_not_fit_is_one_line() -> None:
    with pytest.raises(UserError, match="does not compare points in space: use TripletMargin"):
        figure(Embedding(LeNet, nn.CrossEntropyLoss()), Digits(size=12), 1)
    with pytest.raises(UserError, match="Ranking needs one number"):
        figure(Ranking(MLP), Digits(size=12), 1)
