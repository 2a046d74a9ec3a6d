"""Every config can be read, a fork's own too: what it prints is a config that prints itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Project

FOLDER = REPOSITORY / "configs"
CONFIGS = [
    path
    for path in sorted(FOLDER.rglob("*.yaml"))
    if path.relative_to(FOLDER).parts[0] not in ("parts", "sweeps")
]


def name_of(config: Path) -> str:
    return config.relative_to(FOLDER).as_posix()


@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_a_config_is_read(config: Path, project: Project) -> None:
    code, _, err = project(["fit", "--config", str(config)], "--print_config")
    assert code == 0, err


# what needs no data but those that are there, and no other run
READY = [
    path
    for path in CONFIGS
    if not re.search(r"(?m)^data:( \{|\n  )class_path: (?!Digits)|teacher", path.read_text())
]


@pytest.mark.parametrize(
    "config",
    [
        path if path.parent == FOLDER else pytest.param(path, marks=pytest.mark.slow)
        for path in READY
    ],
    ids=name_of,
)
def test_a_config_of_data_that_are_there_trains_two_steps(config: Path, project: Project) -> None:
    code, _, err = project(["fit", "--config", str(config)], "--trainer.fast_dev_run 2")
    assert code == 0, err


@pytest.mark.template
@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_the_printed_config_is_a_config_that_prints_itself(
    config: Path, project: Project, tmp_path: Path
) -> None:
    _, once, _ = project(["fit", "--config", str(config)], "--print_config")
    (tmp_path / "again.yaml").write_text(once)
    assert project("fit --config again.yaml --print_config")[1] == once
