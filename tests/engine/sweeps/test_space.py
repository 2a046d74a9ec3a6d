"""A space: combinations by number, values to check, names as short as they can be."""

from __future__ import annotations

from typing import Any

import pytest

from project.engine.sweeps.space import Space, as_label, as_text, folder_name, read_space


def space(tree: dict[str, Any]) -> Space:
    return read_space(tree, lambda key: f"space.{key}")


def test_every_combination_has_one_number() -> None:
    grid = space(
        {
            "data.size": [8, 12],
            "model.optimizer": ["SGD", "Adam"],
            "trainer.max_epochs": {"low": 1, "high": 7, "step": 3},
        }
    )
    found = [tuple(grid.combination(number).values()) for number in range(grid.size() or 0)]
    assert len(found) == len(set(found)) == 12
    assert found[:4] == [(8, "SGD", 1), (8, "SGD", 4), (8, "SGD", 7), (8, "Adam", 1)]


@pytest.mark.parametrize(
    "tree, values",
    [
        ({"low": 0, "high": 0.3, "step": 0.1}, (0.0, 0.1, 0.2, 0.3)),
        ({"low": 1, "high": 4, "step": 2}, (1, 3)),
        ({"low": 1, "high": 4}, ()),
        ([None, True, "a", [1, 2]], (None, True, "a", "[1, 2]")),
    ],
)
def test_values_that_can_be_counted(tree: Any, values: tuple[Any, ...]) -> None:
    assert space({"data.x": tree}).parameters[0].every() == values


def test_every_value_is_checked_under_every_class_above_it() -> None:
    found = space(
        {"model.optimizer": ["SGD", "Adam"], "model.optimizer.lr": [1, 2], "data.size": [8, 9, 10]}
    ).to_check()
    assert len(found) == 6
    assert {(c["model.optimizer"], c["model.optimizer.lr"]) for c in found} == {
        ("SGD", 1),
        ("SGD", 2),
        ("Adam", 1),
        ("Adam", 2),
    }
    assert {c["data.size"] for c in found} == {8, 9, 10}


@pytest.mark.parametrize(
    "keys, names",
    [
        (["model.optimizer.lr", "data.batch_size"], ["lr", "batch_size"]),
        (["model.optimizer.lr", "model.groups.lr"], ["optimizer.lr", "groups.lr"]),
        (["model.net", "model.net.net"], ["model.net", "net.net"]),
    ],
)
def test_names_are_short_and_different(keys: list[str], names: list[str]) -> None:
    assert list(space({key: [1] for key in keys}).short_names().values()) == names


@pytest.mark.parametrize(
    "value, text, label",
    [
        (0.1, "0.1", "0.1"),
        (1e-05, "1e-05", "1e-05"),
        (0.123456789, "0.123456789", "0.1235"),
        (True, "true", "true"),
        (None, "null", "null"),
        ("SGD", "SGD", "SGD"),
        (
            '{"class_path": "a.b.SGD", "init_args": {}}',
            '{"class_path": "a.b.SGD", "init_args": {}}',
            "SGD",
        ),
        (
            '{"class_path": "SGD", "init_args": {"a": 0.9}}',
            '{"class_path": "SGD", "init_args": {"a": 0.9}}',
            "SGD(a=0.9)",
        ),
    ],
)
def test_values_as_text_and_as_label(value: Any, text: str, label: str) -> None:
    assert (as_text(value), as_label(value)) == (text, label)


def test_a_folder_is_named_by_number_and_parameters() -> None:
    names = {"model.optimizer.lr": "lr", "model.net.hidden": "hidden"}
    assert (
        folder_name(7, {"model.optimizer.lr": 0.01, "model.net.hidden": "[64, 32]"}, names)
        == "007-lr=0.01,hidden=64,32"
    )
    assert len(folder_name(7, {"model.net.hidden": "x/.." * 100}, names)) < 110
