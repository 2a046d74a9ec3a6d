"""Optimizers are fused where torch can; schedules are as long as the run and step when they should."""

from __future__ import annotations

import csv
import functools
import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from project.errors import UserError
from project.training.optimizers import build_optimizer
from project.training.schedules import Cosine, build_schedule, rebuild, steps_every
from tests.conftest import Project


def sgd(lr: float = 1.0) -> torch.optim.Optimizer:
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)


def curve(schedule: lr_scheduler.LRScheduler, steps: int) -> list[float]:
    """The rate of each step."""
    rates = []
    for _ in range(steps):
        rates.append(schedule.optimizer.param_groups[0]["lr"])
        schedule.optimizer.step()
        schedule.step()
    return rates


@pytest.mark.parametrize(("factory", "fused"), [(torch.optim.Adam, True), (torch.optim.SGD, True), (torch.optim.RMSprop, None)])
def test_an_optimizer_is_fused_where_torch_has_the_kernel(factory: type[torch.optim.Optimizer], fused: bool | None) -> None:
    optimizer = build_optimizer(functools.partial(factory, lr=0.1), nn.Linear(2, 1))
    assert optimizer.defaults.get("fused") is fused
    assert not build_optimizer(factory, nn.Linear(2, 1), fused_allowed=False).defaults.get("fused")


def test_frozen_parameters_are_left_out() -> None:
    net = nn.Linear(2, 1)
    net.bias.requires_grad_(False)
    assert len(build_optimizer(torch.optim.Adam, net).param_groups[0]["params"]) == 1


def test_an_optimizer_that_refuses_its_arguments_is_named() -> None:
    with pytest.raises(UserError, match=r"--model\.optimizer: Invalid learning rate"):
        build_optimizer(functools.partial(torch.optim.Adam, lr=-1), nn.Linear(2, 1))


def test_cosine_warms_up_and_comes_down_to_its_last_rate() -> None:
    rates = curve(Cosine(sgd(), total_steps=10, warmup=2, min_lr=0.1), 11)
    assert rates[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert rates[6] == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 2)))
    assert rates[10] == pytest.approx(0.1)
    assert curve(Cosine(sgd(), total_steps=10, warmup=0.2), 3) == pytest.approx(rates[:3])


@pytest.mark.parametrize(
    ("factory", "interval"),
    [
        (Cosine, "step"),
        (functools.partial(lr_scheduler.OneCycleLR, max_lr=1.0), "step"),
        (functools.partial(lr_scheduler.StepLR, step_size=2), "epoch"),
        (functools.partial(lr_scheduler.ExponentialLR, gamma=0.5), "epoch"),
        (lr_scheduler.ReduceLROnPlateau, "epoch"),
    ],
)
def test_a_schedule_gets_its_length_from_the_run_and_the_interval_that_suits_it(factory: object, interval: str) -> None:
    schedule = build_schedule(factory, sgd(), lambda: 7)  # type: ignore[arg-type]
    assert steps_every(schedule) == interval
    assert getattr(schedule, "total_steps", 7) == 7


@pytest.mark.parametrize("factory", [Cosine, functools.partial(lr_scheduler.OneCycleLR, max_lr=1.0)])
def test_a_rebuilt_schedule_stands_where_one_of_the_new_length_would(factory: object) -> None:
    short, long = build_schedule(factory, sgd(), lambda: 6), build_schedule(factory, sgd(), lambda: 12)  # type: ignore[arg-type]
    curve(short, 4)
    curve(long, 4)
    assert curve(rebuild(short, factory, lambda: 12), 8) == pytest.approx(curve(long, 8))  # type: ignore[arg-type]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_logged_rates_follow_the_optimizer_steps(accumulate: int, project: Project, tmp_path: Path) -> None:
    code, _, err = project(
        "fit --data.size 12 --data.batch_size 128 --run.threads 1 --run run --run.tensorboard false --trainer.max_epochs 2 "
        f"--model.schedule Cosine --trainer.log_every_n_steps 1 --trainer.accumulate_grad_batches {accumulate}"
    )
    assert code == 0, err
    with open(tmp_path / "run/metrics.csv", newline="") as file:
        rates = [float(row["lr"]) for row in csv.DictReader(file) if row["lr"]]
    steps = 20 // accumulate
    wanted = [0.001 * 0.5 * (1 + math.cos(math.pi * step / steps)) for step in range(1, steps + 1)]
    assert rates == pytest.approx(wanted)
