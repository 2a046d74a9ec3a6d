"""The private names of Lightning that runs/internals.py stands on are still there, and still
needed.
"""

from __future__ import annotations

import copy
import inspect
from operator import attrgetter

import lightning.pytorch as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer import call
from torchmetrics import MeanMetric

from project.data.digits import Digits
from project.engine.runs.internals import quicken
from project.tasks.classification import Classification

PRIVATE = (
    "fit_loop._restarting",
    "fit_loop.epoch_loop._results",
    "_logger_connector._first_loop_iter",
    "_logger_connector._current_fx",
    "_logger_connector._callback_metrics",
    "_logger_connector._logged_metrics",
    "_logger_connector._progress_bar_metrics",
)


@pytest.fixture
def trainer() -> L.Trainer:
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Classification(), datamodule=Digits(size=12))
    return trainer


@pytest.mark.parametrize("name", PRIVATE)
def test_a_private_name_is_there(name: str, trainer: L.Trainer) -> None:
    attrgetter(name)(trainer)


def test_lightning_still_notes_the_running_hook_on_the_module(trainer: L.Trainer) -> None:
    assert "pl_module._current_fx_name = hook_name" in inspect.getsource(call._call_callback_hooks)
    assert "_current_fx_name" in trainer.lightning_module.__dict__


def test_a_loop_progress_has_the_parts_that_a_checkpoint_is_rewritten_in(
    trainer: L.Trainer,
) -> None:
    loops = trainer.fit_loop.state_dict()
    assert {"total", "current"} <= set(loops["epoch_progress"])
    assert {"ready", "started", "processed", "completed"} <= set(
        loops["epoch_loop.batch_progress"]["current"]
    )
    assert {"step", "zero_grad"} <= set(
        loops["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]
    )


def test_lightning_still_forgets_the_current_score() -> None:
    best = ModelCheckpoint("somewhere", monitor="x")
    best.load_state_dict(best.state_dict() | {"current_score": torch.tensor(1.0)})
    assert best.current_score is None, "BestCheckpoint.load_state_dict may be simpler now"


def test_torchmetrics_still_leaves_the_weights_out_when_it_keeps_nans() -> None:
    mean = MeanMetric(nan_strategy="disable")
    mean.update(torch.tensor([1.0, 3.0]), torch.tensor([3.0, 1.0]))
    assert mean.compute() == 2.0, "MeanLoss in bases/metrics.py may give way to MeanMetric"


class Noted(L.LightningModule):
    """Counts what Lightning sets on it."""

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return batch.sum()


def test_a_quickened_module_is_what_it_was() -> None:
    module = Noted()
    module.layer = torch.nn.Linear(2, 2)
    quicken(module)
    quicken(module)
    assert isinstance(module, Noted) and type(module).__qualname__ == "Noted"
    assert type(module).__module__ == Noted.__module__ and type(module).__mro__[1] is Noted
    module._current_fx_name = "training_step"
    module.other = torch.nn.Linear(1, 1)
    assert module.__dict__["_current_fx_name"] == "training_step" and "other" in module._modules
    assert set(copy.deepcopy(module).state_dict()) == set(module.state_dict())
