"""Averaged weights are the mean that is promised; they are validated, kept in best.ckpt and left at
the end.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging
from torch import Tensor

from project.data.digits import Digits
from project.engine.runs.averaging import SWA
from project.engine.runs.checkpoints import read, step_files
from project.engine.runs.folder import RunFolder
from project.networks.mlp import MLP
from project.tasks.classification import Classification
from tests.conftest import Project

EPOCHS, BATCHES = 4, 5


class Recorder(Callback):
    """The weights after each step, as they were trained, and those that each validation saw."""

    def __init__(self) -> None:
        self.trained: list[Tensor] = []
        self.validated: list[Tensor] = []

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        self.trained.append(flat(module))

    def on_validation_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        self.validated.append(flat(module))


def flat(module: Classification) -> Tensor:
    return torch.cat(
        [parameter.detach().flatten() for parameter in module.net.parameters()]
    ).clone()


def moving(weights: list[Tensor]) -> Tensor:
    """The exponential moving average after some steps."""
    return functools.reduce(lambda mean, new: 0.8 * mean + 0.2 * new, weights)


def of_epochs(weights: list[Tensor]) -> Tensor:
    """The mean of the weights at the end of the epochs from the third on; before, what is
    trained.
    """
    ends = weights[3 * BATCHES - 1 :: BATCHES]
    return torch.stack(ends).mean(0) if ends else weights[-1]


@pytest.mark.parametrize(
    ("callback", "by_hand"),
    [(lambda: EMAWeightAveraging(decay=0.8), moving), (lambda: SWA(start=2), of_epochs)],
    ids=["ema", "swa"],
)
@pytest.mark.filterwarnings("ignore:.*WeightAveraging callback with a model that overrides")
def test_the_mean_is_the_one_computed_by_hand(
    callback: Callable[[], Callback], by_hand: Callable[[list[Tensor]], Tensor]
) -> None:
    seen = Recorder()
    task = Classification(
        functools.partial(MLP, hidden=(8,)), optimizer=functools.partial(torch.optim.Adam, lr=0.01)
    )
    trainer = L.Trainer(
        max_epochs=EPOCHS,
        limit_train_batches=BATCHES,
        limit_val_batches=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[seen, callback()],
    )
    trainer.fit(task, datamodule=Digits(size=12))
    assert len(seen.trained) == EPOCHS * BATCHES and len(seen.validated) == EPOCHS
    for epoch, weights in enumerate(seen.validated, 1):
        torch.testing.assert_close(
            weights, by_hand(seen.trained[: epoch * BATCHES]), rtol=1e-4, atol=1e-6
        )
    torch.testing.assert_close(flat(task), by_hand(seen.trained), rtol=1e-4, atol=1e-6)
    assert not torch.allclose(flat(task), seen.trained[-1], rtol=1e-4, atol=1e-6), (
        "the mean is not the last"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "callback",
    [
        '{"class_path":"EMAWeightAveraging","init_args":{"decay":0.9}}',
        '{"class_path":"project.engine.runs.averaging.SWA","init_args":{"start":1}}',
    ],
    ids=["ema", "swa"],
)
def test_the_shipped_weights_are_the_mean_that_was_validated(
    callback: str, project: Project, tmp_path: Path
) -> None:
    code, _, err = project(
        "fit --data.size 12 --run.threads 1 --run.tensorboard false --trainer.max_epochs 3 --run "
        "run "
        f"--model.optimizer.lr 0.01 --trainer.callbacks [{callback}]"
    )
    assert code == 0, err
    project("validate --ckpt_path run")
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert results["val"]["val/accuracy"] == results["best"]["value"]
    best = read(tmp_path / "run/checkpoints/best.ckpt").content
    last = read(step_files(RunFolder("run"))[0]).content
    name = "net.classifier.6.weight"
    assert torch.equal(best["state_dict"][name], last["state_dict"][name]), (
        "the last validation was the best"
    )
    assert not torch.equal(best["state_dict"][name], last["current_model_state"][name])
