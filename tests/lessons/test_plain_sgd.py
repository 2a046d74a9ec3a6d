"""The optimizer written by hand steps like torch's, trains, and goes on from its saved state."""

from __future__ import annotations

import csv
import functools
import io
from pathlib import Path

import torch
from torch import nn

from project.engine.building.groups import GroupRule
from project.engine.building.optimizers import build_optimizer
from project.engine.randomness import generator
from project.lessons.plain_sgd import PlainSGD
from tests.conftest import Project

RATE = functools.partial(PlainSGD, lr=0.3)


def steps(net: nn.Module, optimizer: torch.optim.Optimizer, numbers: range) -> list[torch.Tensor]:
    for number in numbers:
        optimizer.zero_grad()
        net(torch.rand(6, 4, generator=generator(number))).sub(1).square().mean().backward()
        optimizer.step()
    return [parameter.detach().clone() for parameter in net.parameters()]


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(4, 3)


def test_it_steps_like_torchs() -> None:
    ours, theirs = linear(), linear()
    after = steps(ours, RATE(ours.parameters()), range(5))
    expected = steps(theirs, torch.optim.SGD(theirs.parameters(), lr=0.3), range(5))
    torch.testing.assert_close(after, expected, rtol=0, atol=1e-7)


def test_it_continues_from_its_saved_state_bit_for_bit() -> None:
    net, other = linear(), linear()
    optimizer = build_optimizer(RATE, net, [GroupRule("bias", lr=0.02)])
    steps(net, optimizer, range(3))
    file = io.BytesIO()
    torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, file)
    whole = steps(net, optimizer, range(3, 6))
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    restored = build_optimizer(RATE, other, [GroupRule("bias", lr=0.02)])
    other.load_state_dict(saved["net"])
    restored.load_state_dict(saved["optimizer"])
    assert all(map(torch.equal, steps(other, restored, range(3, 6)), whole))


def test_it_is_named_by_its_short_name_and_by_its_path(project: Project, tmp_path: Path) -> None:
    for number, name in enumerate(["PlainSGD", "project.lessons.plain_sgd.PlainSGD"]):
        code, _, err = project(
            f"fit --data.size 12 --model.net MLP --model.net.hidden [32] --model.optimizer {name} "
            "--trainer.max_epochs 3 --trainer.log_every_n_steps 5 --run.threads 1 "
            f"--run.tensorboard false --run {number}"
        )
        assert code == 0, err
    with open("0/metrics.csv", newline="") as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]
    assert losses[-1] < 0.7 * losses[0]
    assert Path("0/metrics.csv").read_bytes() == Path("1/metrics.csv").read_bytes()
