"""Schedules are as long as the run and step when they should."""

from __future__ import annotations

import csv
import functools
import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from project.engine.building.schedules import build_schedule, rebuild, steps_every
from project.engine.errors import UserError
from project.training.schedules import Chain, Cosine, Lambda, LinearDecay
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


def test_cosine_warms_up_and_comes_down_to_its_last_rate() -> None:
    rates = curve(Cosine(sgd(), total_steps=10, warmup=2, min_lr=0.1), 11)
    assert rates[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert rates[6] == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 2)))
    assert rates[10] == pytest.approx(0.1)
    straight = curve(LinearDecay(sgd(), total_steps=10, warmup=2), 11)
    assert straight[2:] == pytest.approx([straight[2] * (8 - n) / 8 for n in range(9)])
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
def test_a_schedule_gets_its_length_from_the_run_and_the_interval_that_suits_it(
    factory: object, interval: str
) -> None:
    schedule = build_schedule(factory, sgd(), lambda: 7)  # type: ignore[arg-type]
    assert steps_every(schedule) == interval
    assert getattr(schedule, "total_steps", 7) == 7


@pytest.mark.parametrize(
    "factory", [Cosine, functools.partial(lr_scheduler.OneCycleLR, max_lr=1.0)]
)
def test_a_rebuilt_schedule_stands_where_one_of_the_new_length_would(factory: object) -> None:
    short, long = (
        build_schedule(factory, sgd(), lambda: 6),
        build_schedule(factory, sgd(), lambda: 12),
    )  # type: ignore[arg-type]
    curve(short, 4)
    curve(long, 4)
    assert curve(rebuild(short, factory, lambda: 12), 8) == pytest.approx(curve(long, 8))  # type: ignore[arg-type]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_logged_rates_follow_the_optimizer_steps(
    accumulate: int, project: Project, tmp_path: Path
) -> None:
    code, _, err = project(
        "fit --data.size 12 --data.batch_size 128 --run.threads 1 --run run --run.tensorboard "
        "false --trainer.max_epochs 2 "
        "--model.schedule Cosine --trainer.log_every_n_steps 1 "
        f"--trainer.accumulate_grad_batches {accumulate}"
    )
    assert code == 0, err
    with open(tmp_path / "run/metrics.csv", newline="") as file:
        rates = [float(row["lr"]) for row in csv.DictReader(file) if row["lr"]]
    steps = 20 // accumulate
    wanted = [0.001 * 0.5 * (1 + math.cos(math.pi * step / steps)) for step in range(steps)]
    assert rates == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (
            "--model.schedule Cosine",
            [0.5 * (1 + math.cos(math.pi * epoch / 4)) for epoch in range(4)],
        ),
        ("--model.schedule ExponentialLR --model.schedule.gamma 0.5", [1, 0.5, 0.25, 0.125]),
        ("--model.schedule StepLR --model.schedule.step_size 2", [1, 1, 0.1, 0.1]),
        ("--model.schedule MultiStepLR --model.schedule.milestones [1,3]", [1, 0.1, 0.1, 0.01]),
        ("--model.schedule WarmRestarts --model.schedule.T_0 2", [1, 0.5, 1, 0.5]),
    ],
)
def test_a_schedule_by_epochs_ends_with_them(
    words: str, wanted: list[float], project: Project, tmp_path: Path
) -> None:
    short = (
        "--data.size 12 --trainer.limit_train_batches 2 --trainer.limit_val_batches 1 "
        "--run.threads 1 --run.tensorboard false"
    )
    code, _, err = project(
        f"fit {short} --trainer.max_epochs 4 --model.optimizer.lr 1.0 --model.interval epoch "
        f"{words} --run run"
    )
    assert code == 0, err
    with open(tmp_path / "run/epochs.csv", newline="") as file:
        assert [float(row["lr"]) for row in csv.DictReader(file)] == pytest.approx(wanted)


def test_a_factor_of_zero_holds_the_network_still_for_two_epochs(
    project: Project, tmp_path: Path
) -> None:
    code, _, err = project(
        "fit --data.size 12 --run.threads 1 --run run --run.tensorboard false "
        "--trainer.max_epochs 4 --model.net MLP "
        "--model.optimizer SGD --model.optimizer.lr 0.1 --model.schedule Lambda "
        "--model.schedule.factor epoch//2"
    )
    assert code == 0, err
    with open(tmp_path / "run/epochs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["lr"]) for row in rows] == pytest.approx([0, 0, 0.1, 0.1]), (
        "the rate that an epoch was trained with"
    )
    losses = [float(row["val/loss"]) for row in rows]
    assert losses[0] == losses[1] and losses[2] < 0.9 * losses[1]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("epoch // 2", [0, 0, 1, 1, 2]),
        ("0.5 ** epoch", [1, 0.5, 0.25, 0.125, 0.0625]),
        ("1 if step < 2 else 0.1", [1, 1, 0.1, 0.1, 0.1]),
        ("max(0, 1 - step / 4)", [1, 0.75, 0.5, 0.25, 0]),
        ("0.5 * (1 + cos(pi * step / 4))", [1, 0.853553, 0.5, 0.146447, 0]),
    ],
)
def test_a_lambda_is_arithmetic_of_epoch_or_step(text: str, values: list[float]) -> None:
    schedule = Lambda(sgd(), text)
    assert steps_every(schedule) == ("epoch" if "epoch" in text else "step")
    assert curve(schedule, 5) == pytest.approx(values, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("epochs / 2", "unknown name 'epochs'; did you mean epoch"),
        ("open('x')", "unknown function 'open'"),
        ("epoch.real", "is not arithmetic"),
        ("epoch +", "is not arithmetic; write it like"),
        ("epoch * step", "uses both epoch and step"),
        ("1 / epoch", "has no value"),
        ("9 ** 9 ** 9 ** 9", "has no value"),
        ("'a' * 99", "is not arithmetic"),
        ("[1][0]", "is not arithmetic"),
    ],
)
def test_a_lambda_that_is_no_arithmetic_is_one_line(text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        Lambda(sgd(), text)


def test_a_chain_begins_each_schedule_at_its_milestone() -> None:
    warm = functools.partial(lr_scheduler.LinearLR, start_factor=0.25, total_iters=3)
    chain = Chain(sgd(), [warm, functools.partial(lr_scheduler.ExponentialLR, gamma=0.5)], [3])
    assert curve(chain, 6) == pytest.approx([0.25, 0.5, 0.75, 1, 0.5, 0.25])


@pytest.mark.parametrize("milestones", [[], [3, 2], [1, 2]])
def test_a_chain_with_wrong_milestones_is_one_line(milestones: list[int]) -> None:
    with pytest.raises(UserError, match="milestones"):
        Chain(sgd(), [lr_scheduler.ConstantLR, lr_scheduler.ConstantLR], milestones)


@pytest.mark.parametrize(
    "words",
    [
        "--model.schedule Lambda --model.schedule.factor 0.9**epoch",
        "--model.schedule {class_path:Chain}",
        "--model.schedule Cyclic --model.schedule.base_lr 0.001 --model.schedule.max_lr 0.01 "
        "--model.schedule.cycle_momentum false",
        "--model.schedule MultiStepLR --model.schedule.milestones [1]",
        "--model.schedule ExponentialLR --model.schedule.gamma 0.9",
        "--model.schedule WarmRestarts --model.schedule.T_0 2",
    ],
)
def test_every_schedule_trains_from_the_command_line(
    words: str, project: Project, tmp_path: Path
) -> None:
    (tmp_path / "chain.yaml").write_text(
        "model: {init_args: {schedule: {class_path: Chain, init_args: {milestones: [1], schedules: "
        "[{class_path: Linear, init_args: {total_iters: 1}}, {class_path: ExponentialLR, "
        "init_args: {gamma: 0.5}}]}}}}\n"
    )
    words = "--config chain.yaml" if "Chain" in words else words
    code, _, err = project(
        "fit --data.size 12 --run.threads 1 --run run --run.tensorboard false "
        "--trainer.max_epochs 2",
        words,
    )
    assert code == 0, err
