"""The lean loop ends with the bits of Lightning's own, calls the same hooks in the same order, and
says when the code it follows has changed.
"""

from __future__ import annotations

import hashlib
import inspect
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.loops.evaluation_loop import _EvaluationLoop
from lightning.pytorch.loops.optimization.automatic import _AutomaticOptimization
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from lightning.pytorch.strategies import SingleDeviceStrategy, Strategy
from lightning.pytorch.trainer import call
from lightning.pytorch.trainer.connectors.logger_connector import logger_connector

from project import fit
from project.data.digits import Digits
from project.engine.runs import lean
from project.engine.runs.fused import FusedStep, fits
from project.networks.mlp import MLP
from project.tasks.classification import Classification
from tests.conftest import Project, the_rest_slow
from tests.engine.runs.equal import differing
from tests.engine.runs.settings import MORE, SETTINGS, command

SAME = [
    *(name for name in SETTINGS if name not in ("loader workers", "max_steps")),
    *("bfloat16", "momentum", "optimizer LBFGS", "gradient clipping", "clipping by value"),
    *("mixup", "batch norm", "metric learning", "loaders made again", "averaged and accumulated"),
    *("callback GradientAccumulationScheduler", "callback StochasticWeightAveraging"),
    *("callback LearningRateMonitor", "callback ModelPruning"),
]


@pytest.mark.parametrize("setting", the_rest_slow(SAME, "cosine by step", "everything watched"))
def test_a_setting_ends_with_the_bits_of_lightnings_own_loop(
    setting: str, project: Project, tmp_path: Path
) -> None:
    assert setting in SETTINGS or setting in MORE
    words = command(setting).replace("--run.save_every 1", "")
    for name, lean_or_not in {"lean": "true", "own": "false"}.items():
        code, _, err = project(words, "--run", tmp_path / name, "--run.lean", lean_or_not)
        assert code == 0, err
    assert differing(tmp_path / "lean", tmp_path / "own", everything=True) == []


HOOKS = [name for name in vars(Callback) if name.startswith(("on_", "setup", "teardown"))]


class Spy(Callback):
    """Notes every hook with where the Trainer stands."""

    def __init__(self, seen: list[tuple[Any, ...]]) -> None:
        self.seen = seen


def _noting(name: str) -> Any:
    def hook(self: Spy, trainer: Any, module: Any, *arguments: Any, **_: Any) -> None:
        loop = trainer.fit_loop.epoch_loop
        numbers = [a for a in arguments if isinstance(a, int)]
        loss = [float(a.detach()) for a in arguments if isinstance(a, torch.Tensor) and a.ndim == 0]
        outputs = [sorted(a) for a in arguments if isinstance(a, dict)]
        progress = loop.batch_progress
        place = (trainer.global_step, trainer.current_epoch, loop.batch_idx, trainer.is_last_batch)
        done = (progress.current.ready, progress.current.processed, progress.current.completed)
        self.seen.append((name, module._current_fx_name, place, done, numbers, loss, outputs))

    return hook


for _name in HOOKS:
    if _name not in ("on_save_checkpoint", "on_load_checkpoint"):
        setattr(Spy, _name, _noting(_name))


@pytest.mark.parametrize(
    "more", [{}, {"trainer.val_check_interval": 0.5, "model.schedule": "Cosine"}]
)
def test_every_hook_is_called_in_lightnings_order(more: dict[str, Any], tmp_path: Path) -> None:
    seen: dict[bool, list[tuple[Any, ...]]] = {True: [], False: []}
    settings = {
        "data.size": 8,
        "data.batch_size": 256,
        "trainer.max_epochs": 2,
        "run.threads": 1,
        "run.report": False,
        "run.tensorboard": False,
        **more,
    }
    for is_lean, calls in seen.items():
        fit(
            settings=settings | {"run.lean": is_lean},
            run=tmp_path / str(is_lean),
            callbacks=[Spy(calls)],
        )
    assert len(seen[True]) > 80 and {row[0] for row in seen[True]} >= {"on_after_backward"}
    assert seen[True] == seen[False]


class Logging(Callback):
    """Logs in steps of training and of evaluation, as a fork may."""

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:
        module.log("mine", outputs["loss"] * 2, on_step=True, on_epoch=True, batch_size=64)

    def on_validation_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:
        if trainer.global_step > 5:
            size = len(outputs["ids"])
            module.log("seen", float(size), on_step=True, on_epoch=True, batch_size=size)

    on_test_batch_end = on_validation_batch_end


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_an_evaluation_is_lightnings_own(precision: Any) -> None:
    """Its hooks in their order, what it returns, and what is logged in its steps."""
    found: list[Any] = []
    for is_lean in (True, False):
        torch.manual_seed(0)
        data, task = Digits(size=8), Classification(net=partial(MLP, hidden=[4]))
        seen: list[Any] = []
        trainer = L.Trainer(
            max_epochs=1,
            accelerator="cpu",
            precision=precision,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[Spy(seen), Logging()],
        )
        if is_lean:
            lean.make_lean(trainer)
        trainer.fit(task, datamodule=data)
        returned = [
            way(task, datamodule=data, verbose=False) for way in (trainer.validate, trainer.test)
        ]
        loops = trainer.fit_loop.epoch_loop.val_loop, trainer.validate_loop, trainer.test_loop
        assert [getattr(loop, "plan", None) is not None for loop in loops] == [is_lean] * 3
        found.append((seen, returned, dict(trainer.callback_metrics)))
    assert "seen_epoch" in found[0][1][1][0] and len(found[0][0]) > 80
    assert found[0] == found[1]


def test_what_a_fork_logs_in_its_hooks_is_the_same(tmp_path: Path) -> None:
    found = []
    for is_lean in (True, False):
        run = fit(
            settings={
                "data.size": 8,
                "trainer.max_epochs": 2,
                "trainer.log_every_n_steps": 5,
                "run.threads": 1,
                "run.report": False,
                "run.lean": is_lean,
            },
            run=tmp_path / str(is_lean),
            callbacks=[Logging()],
        )
        found.append((run.path / "metrics.csv").read_text())
    assert found[0] == found[1] and "mine_epoch" in found[0]


def test_the_lean_loop_is_taken_where_nothing_unusual_is_asked(tmp_path: Path) -> None:
    plans: list[Any] = []

    class Noting(Callback):
        def on_train_end(self, trainer: Any, module: Any) -> None:
            plans.append(trainer.fit_loop.epoch_loop.plan)

    short = {"trainer.max_steps": 2, "run.report": False, "run.tensorboard": False}
    for number, (more, is_taken) in enumerate(
        {
            "": True,
            "trainer.accumulate_grad_batches=2": False,
            "trainer.profiler=simple": False,
            "model.optimizer=LBFGS": False,
            "trainer.precision=bf16-mixed": True,
            "data=Numbers": True,
        }.items()
    ):
        key, _, value = more.partition("=")
        own = {"model": "Regression"} if value == "Numbers" else {"data.size": 8}
        fit(
            settings=short | own | ({key: value} if key else {}),
            run=tmp_path / str(number),
            callbacks=[Noting()],
        )
        assert (plans.pop() is not None) == is_taken, more


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_the_fused_step_is_torchs_own_bit_for_bit(kind: type[torch.optim.Optimizer]) -> None:
    nets = [torch.nn.Linear(5, 3), torch.nn.Linear(5, 3)]
    nets[1].load_state_dict(nets[0].state_dict())
    made: list[Any] = [
        kind(
            [{"params": [net.weight]}, {"params": [net.bias], "lr": 0.01, "weight_decay": 0.1}],
            lr=0.1,
            fused=True,
        )
        for net in nets
    ]
    assert fits(made[0]) and not fits(torch.optim.SGD(nets[0].parameters(), lr=0.1))
    stepper = FusedStep(made[1])
    for number in range(6):
        if number == 4:
            for net in nets:  # a layer that gets no gradient is left as it is
                net.bias.requires_grad_(False)
        inputs = torch.randn(4, 5, generator=torch.Generator().manual_seed(number))
        for net, zero_grad, step in (
            (nets[0], made[0].zero_grad, made[0].step),
            (nets[1], stepper.zero_grad, stepper.step),
        ):
            zero_grad()
            net(inputs).square().sum().backward()
            step()
        made[0].param_groups[0]["lr"] = made[1].param_groups[0]["lr"] = 0.1 / (number + 2)
        assert torch.equal(nets[0].weight, nets[1].weight)
        assert torch.equal(nets[0].bias, nets[1].bias)
    states = [optimizer.state_dict()["state"] for optimizer in made]
    assert all(
        torch.equal(states[0][i][key], states[1][i][key]) for i in states[0] for key in states[0][i]
    )


FOLLOWED = [
    _TrainingEpochLoop.advance,
    _TrainingEpochLoop.on_advance_end,
    _TrainingEpochLoop.run,
    _EvaluationLoop.run,
    _EvaluationLoop.on_run_start,
    _EvaluationLoop._evaluation_step,
    _AutomaticOptimization,
    Strategy.backward,
    Strategy.validation_step,
    Strategy.test_step,
    Strategy.training_step,
    Strategy.optimizer_step,
    Strategy.batch_to_device,
    Precision,
    MixedPrecision.optimizer_step,
    LightningOptimizer.step,
    call._call_callback_hooks,
    call._call_lightning_module_hook,
    L.LightningModule.optimizer_step,
    L.LightningModule.backward,
    SingleDeviceStrategy,
    logger_connector._LoggerConnector.on_batch_start,
    logger_connector._LoggerConnector.on_batch_end,
    logger_connector._LoggerConnector.update_train_step_metrics,
    logger_connector._LoggerConnector.update_eval_step_metrics,
    torch.optim.Adam.step,
    inspect.getmodule(torch.optim.Adam)._fused_adam,  # type: ignore[union-attr]
]
DIGEST = "e881c28a37f16ffc"


def test_the_code_that_is_followed_is_as_it_was() -> None:
    """Where this fails after an upgrade, read what has changed, and follow it in runs/lean.py."""
    text = "".join(inspect.getsource(part) for part in FOLLOWED)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == DIGEST


def test_plain_lightning_is_left_alone() -> None:
    trainer = L.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    assert type(trainer.fit_loop.epoch_loop) is _TrainingEpochLoop
    assert type(trainer.test_loop) is _EvaluationLoop
    assert Digits is not None
