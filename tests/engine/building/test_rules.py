"""Rules by pattern: first weights, groups with rates of their own, other optimizers, frozen
parts.
"""

from __future__ import annotations

import copy
import csv
import functools
from pathlib import Path

import pytest
import torch
from torch import nn

from project.engine.building.groups import GroupRule, freeze
from project.engine.building.initialisation import FUNCTIONS, InitRule, initialise
from project.engine.building.optimizers import Combined, build_optimizer
from project.engine.building.rules import match
from project.engine.errors import UserError
from project.engine.spec import DataSpec
from project.networks.lenet import LeNet
from tests.conftest import Project

SGD = functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9)
TINY = (
    "--data.size 12 --data.batch_size 128 --run.threads 1 --run.tensorboard false "
    "--trainer.max_epochs 2"
)
GROUPS = (
    "model:\n  init_args:\n    groups:\n"
    "      - {match: '.*bias', weight_decay: 0}\n"
    "      - {match: 'features.*', lr: 0.05, optimizer: {class_path: SGD, init_args: {momentum: "
    "0.9}}}\n"
    "    schedule: Cosine\n"
)


def net() -> nn.Module:
    return LeNet(DataSpec(((1, 28, 28),), 10, "class"))


def test_the_first_rule_that_matches_takes_a_parameter() -> None:
    taken = match(["features.0.*", "Conv2d.weight", ".*bias"], net(), "rules")
    assert taken[0] == ["features.0.weight", "features.0.bias"]
    assert taken[1] == ["features.3.weight"]
    assert "features.0.bias" not in taken[2] and "classifier.0.bias" in taken[2]


@pytest.mark.parametrize(
    ("pattern", "says"), [("Conv3d.*", "takes no parameter"), ("(", "not a regular expression")]
)
def test_a_rule_that_can_take_nothing_is_an_error(pattern: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        match([".*weight", pattern], net(), "rules")


# function, options, and the mean and deviation of a 400 x 300 matrix
STATISTICS = {
    "uniform": ({"a": -2.0, "b": 2.0}, 0.0, 4 / 12**0.5),
    "normal": ({"mean": 1.0, "std": 0.5}, 1.0, 0.5),
    "trunc_normal": ({"std": 0.1}, 0.0, 0.1),
    "constant": ({"val": 0.3}, 0.3, 0.0),
    "ones": ({}, 1.0, 0.0),
    "zeros": ({}, 0.0, 0.0),
    "eye": ({}, 1 / 400, (1 / 400) ** 0.5),
    "xavier_uniform": ({}, 0.0, (2 / 700) ** 0.5),
    "xavier_normal": ({"gain": "relu"}, 0.0, (4 / 700) ** 0.5),
    "kaiming_uniform": ({"nonlinearity": "relu"}, 0.0, (2 / 300) ** 0.5),
    "kaiming_normal": ({"nonlinearity": "relu", "mode": "fan_out"}, 0.0, (2 / 400) ** 0.5),
    "orthogonal": ({"gain": 2.0}, 0.0, 2 * (1 / 400) ** 0.5),
    "sparse": ({"sparsity": 0.5, "std": 1.0}, 0.0, 0.5**0.5),
}


@pytest.mark.parametrize("name", STATISTICS)
def test_first_weights_have_the_statistics_of_their_function(name: str) -> None:
    options, mean, std = STATISTICS[name]
    layer = nn.Linear(300, 400)
    before = layer.bias.clone()
    torch.manual_seed(0)
    taken = initialise(layer, [InitRule("weight", name, options)])
    assert taken == {f"weight: {name}": ["weight"]}
    weight = layer.weight.detach()
    assert float(weight.mean()) == pytest.approx(mean, abs=0.02)
    assert float(weight.std()) == pytest.approx(std, rel=0.03, abs=1e-6)
    assert torch.equal(layer.bias, before), "what no rule takes keeps the default of its layer"


def test_dirac_passes_images_through() -> None:
    layer = nn.Conv2d(2, 2, 3, padding=1, bias=False)
    initialise(layer, [InitRule(".*", "dirac")])
    images = torch.rand(1, 2, 5, 5)
    assert torch.allclose(layer(images), images)
    assert set(FUNCTIONS) == {*STATISTICS, "dirac"}


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (InitRule("weight", "kaimming_normal"), "did you mean kaiming_normal"),
        (InitRule("weight", "normal", {"sd": 1}), "normal has no option 'sd'; did you mean std"),
        (InitRule("bias", "xavier_uniform"), "xavier_uniform does not suit bias of 3"),
    ],
)
def test_a_wrong_rule_of_initialisation_is_one_line(rule: InitRule, says: str) -> None:
    with pytest.raises(UserError, match=says):
        initialise(nn.Linear(2, 3), [rule])


def test_groups_have_rates_and_decay_of_their_own() -> None:
    optimizer = build_optimizer(
        SGD, net(), [GroupRule(".*bias", weight_decay=0.0), GroupRule("classifier.*", lr=0.01)]
    )
    settings = {
        group["name"]: (group["lr"], group["weight_decay"], len(group["params"]))
        for group in optimizer.param_groups
    }
    assert settings == {".*bias": (0.1, 0.0, 5), "classifier.*": (0.01, 0, 3), "rest": (0.1, 0, 2)}


def test_frozen_parameters_do_not_move() -> None:
    module = net()
    before = module.features[0].weight.clone()  # type: ignore[index, union-attr]
    rules = [GroupRule("features.*", freeze=True)]
    freeze(module, rules)
    optimizer = build_optimizer(SGD, module, rules)
    module(torch.rand(2, 1, 28, 28)).sum().backward()
    optimizer.step()
    assert torch.equal(module.features[0].weight, before)  # type: ignore[index, union-attr]
    assert len(optimizer.param_groups) == 1 and len(optimizer.param_groups[0]["params"]) == 6


def test_different_optimizers_step_as_one_and_their_state_is_restored() -> None:
    def made() -> tuple[nn.Module, Combined]:
        torch.manual_seed(0)
        module = net()
        optimizer = build_optimizer(
            torch.optim.Adam, module, [GroupRule("features.*", optimizer=SGD)]
        )
        assert isinstance(optimizer, Combined)
        return module, optimizer

    def steps(module: nn.Module, optimizer: Combined, count: int) -> None:
        for seed in range(count):
            optimizer.zero_grad()
            module(
                torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(seed))
            ).square().mean().backward()
            optimizer.step()

    whole, optimizer = made()
    steps(whole, optimizer, 2)
    saved = copy.deepcopy((whole.state_dict(), optimizer.state_dict()))
    other, restored = made()
    other.load_state_dict(saved[0])
    restored.load_state_dict(saved[1])
    steps(whole, optimizer, 2)
    steps(other, restored, 2)
    assert all(
        torch.equal(a, b) for a, b in zip(whole.parameters(), other.parameters(), strict=True)
    )
    assert [group["name"] for group in restored.param_groups] == ["rest", "features.*"]


def test_groups_from_yaml_are_seen_in_the_logged_rates(project: Project, tmp_path: Path) -> None:
    (tmp_path / "groups.yaml").write_text(GROUPS)
    code, _, err = project("fit --config groups.yaml --run run --trainer.log_every_n_steps 1", TINY)
    assert code == 0, err
    with open(tmp_path / "run/metrics.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    assert [name for name in rows[0] if name.startswith("lr/")] == [
        "lr/.*bias",
        "lr/features.*",
        "lr/rest",
    ]
    assert all(
        float(row["lr/features.*"]) == pytest.approx(50 * float(row["lr/rest"]))
        for row in rows[:-1]
    )


def test_a_rule_from_yaml_that_takes_nothing_stops_the_command(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "init.yaml").write_text(
        "model: {init_args: {init: [{match: Conv3d.weight, init: zeros}]}}\n"
    )
    code, _, err = project("fit --config init.yaml", TINY)
    assert (code, "--model.init: 'Conv3d.weight' takes no parameter" in err) == (2, True)
