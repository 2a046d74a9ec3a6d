"""Freezing is a function of the epoch: until then nothing of a group moves, afterwards all of it
does.
"""

from __future__ import annotations

import functools
from typing import Any

import lightning.pytorch as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from project.data.digits import Digits
from project.engine.building.groups import GroupRule, freeze, take
from project.engine.errors import UserError
from project.engine.spec import DataSpec
from project.networks.cnn import CNN
from project.tasks.classification import Classification

NET = functools.partial(CNN, channels=(4,), hidden=(8,), batch_norm=True)


class Recorder(Callback):
    """After each epoch: the weights and statistics of the network, and for which parameters the
    optimizer has a state.
    """

    def __init__(self) -> None:
        self.states: list[dict[str, Tensor]] = []
        self.known: list[int] = []

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        self.states.append({name: value.clone() for name, value in module.net.state_dict().items()})
        self.known.append(len(trainer.optimizers[0].state))


def fit(rules: list[GroupRule], epochs: int) -> tuple[dict[str, Tensor], Recorder]:
    """The first weights, and what was recorded."""
    seen = Recorder()
    task = Classification(
        NET, optimizer=functools.partial(torch.optim.AdamW, lr=0.01, weight_decay=0.1), groups=rules
    )
    data = Digits(size=12)
    data.setup("fit")
    task.build(data.spec, data.preprocessing)
    first = {name: value.clone() for name, value in task.net.state_dict().items()}
    trainer = L.Trainer(
        max_epochs=epochs,
        limit_train_batches=4,
        val_check_interval=2,  # a validation in the middle must not wake what is frozen
        limit_val_batches=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[seen],
    )
    trainer.fit(task, datamodule=data)
    return first, seen


def moved(before: dict[str, Tensor], after: dict[str, Tensor], part: str) -> set[bool]:
    return {
        not torch.equal(value, after[name])
        for name, value in before.items()
        if name.startswith(part)
    }


def test_a_frozen_group_moves_from_its_epoch_on_statistics_too() -> None:
    first, seen = fit([GroupRule("features.*", freeze_until=2)], epochs=3)
    assert moved(first, seen.states[1], "features") == {False}, (
        "neither by gradients, nor by decay, nor the statistics"
    )
    assert moved(first, seen.states[1], "classifier") == {True}
    assert moved(seen.states[1], seen.states[2], "features") == {True}
    assert seen.known == [5, 5, 8], "the optimizer has no state for what it has not trained"


def test_a_group_that_is_frozen_for_ever_never_moves() -> None:
    first, seen = fit([GroupRule("features.*", freeze=True)], epochs=2)
    assert moved(first, seen.states[1], "features") == {False}
    assert moved(first, seen.states[1], "classifier") == {True}


def test_an_earlier_rule_keeps_what_it_has_taken() -> None:
    net = NET(DataSpec(((1, 12, 12),), 10, "class"))
    freeze(net, [GroupRule("features.0.*", lr=0.1), GroupRule("features.*", freeze=True)])
    assert [name for name, parameter in net.named_parameters() if not parameter.requires_grad] == [
        "features.1.weight",
        "features.1.bias",
    ]


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ([GroupRule(".*", freeze=True)], "nothing to train"),
        (
            [GroupRule("features.*", freeze=True), GroupRule("classifier.*", freeze_until=3)],
            "in the first epoch, there is nothing",
        ),
        ([GroupRule("features.*", freeze_until=0)], "freeze_until is the epoch, 1 or later"),
        (
            [GroupRule("features.*", freeze=True, freeze_until=2)],
            "freeze_until is the epoch, 1 or later",
        ),
        ([GroupRule("feature", freeze_until=2)], "takes no parameter"),
    ],
)
def test_freezing_that_cannot_be_meant_is_one_line(rules: list[GroupRule], says: str) -> None:
    with pytest.raises(UserError, match=says):
        take(NET(DataSpec(((1, 12, 12),), 10, "class")), rules)
