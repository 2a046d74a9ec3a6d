"""Every config can be read, a fork's own too: what it prints is a config that prints itself."""

from __future__ import annotations

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
def test_the_printed_config_is_a_config_that_prints_itself(
    config: Path, project: Project, tmp_path: Path
) -> None:
    _, once, _ = project(["fit", "--config", str(config)], "--print_config")
    (tmp_path / "again.yaml").write_text(once)
    assert project("fit --config again.yaml --print_config")[1] == once
