"""`list` says what there is: a line for each name, the arguments of one, and nothing that is not
there.
"""

from __future__ import annotations

import re

import pytest

from project.engine.cli.classes import SLOTS, load_class
from project.engine.registry import TABLES
from tests.conftest import Project

NAMES = [(kind, name) for kind, table in TABLES.items() for name in table]


@pytest.mark.parametrize("kind", TABLES)
def test_a_kind_is_listed_with_a_line_for_each_name(kind: str, project: Project) -> None:
    code, out, _ = project("list", kind)
    assert code == 0
    assert len(out.splitlines()) == 1 + len(TABLES[kind])


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_each_name_is_a_class_of_its_kind(kind: str, name: str) -> None:
    table = TABLES[kind]
    slot = next(slot for _, slot in SLOTS if slot.table is table)
    base = (
        load_class(slot.base, kind)
        if slot.base.split(".")[0] not in ("torch", "builtins")
        else object
    )
    assert issubclass(load_class(table[name][0], name), base)


def test_a_name_is_explained_by_its_arguments(project: Project) -> None:
    code, out, _ = project("list data ImageFolder")
    assert code == 0
    assert "--split_file" in out and "--batch_size" in out and "known subclasses" not in out
    assert len(out.splitlines()) < 120


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_an_explanation_speaks_of_arguments_alone(kind: str, name: str, project: Project) -> None:
    code, out, err = project("list", kind, name)
    assert code == 0, err
    first, *lines = out.splitlines()
    assert first.endswith(name) and lines
    assert not re.search(r"--\S*help|given subclass|show this help", out)
