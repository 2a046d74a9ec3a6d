"""Every config trains and tests, and says at its top what it shows and how it is called."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Project
from tests.fakes import write_data, write_published

FOLDER = REPOSITORY / "configs"
CONFIGS = [*sorted(FOLDER.glob("*.yaml")), *sorted(FOLDER.glob("lessons/*.yaml"))]
PARTS = sorted(FOLDER.glob("parts/*.yaml"))
RUN_IT_NEEDS = (
    r"^#   python -m project (fit --config \S+ --run \S+)$"  # of another config, before it
)
SHORT = (
    "--trainer.max_epochs 1 --trainer.limit_train_batches 2 --trainer.limit_val_batches 1 "
    "--trainer.limit_test_batches 1 "
    "--run.threads 1 --run.tensorboard false"
)
# What would take a minute, with the same shapes: its widths are counted in
# tests/networks/test_networks.py. Of the stand-in's few samples a small share would be none.
LIGHTER = {
    "alexnet": "--data.batch_size 4 --model.net.channels [4,8,8,8,8] --model.net.hidden [16,16]",
    "cifar_fast": "--data.validation 0.2",
    "cifar_94": "--data.validation 0.2",
}


def name_of(config: Path) -> str:
    return config.relative_to(FOLDER).as_posix()


@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_a_config_trains_and_tests(
    config: Path, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_data(tmp_path / "data", monkeypatch)
    write_published(config.read_text(), tmp_path / "torch", monkeypatch)
    for needed in re.findall(RUN_IT_NEEDS, config.read_text(), flags=re.M):
        code, _, err = project(needed.replace("configs/", f"{FOLDER}/"), SHORT)
        assert code == 0, err
    code, out, err = project(["fit", "--config", str(config)], SHORT, LIGHTER.get(config.stem, ""))
    assert code == 0, err
    assert f"runs/{config.stem}/000" in out
    code, out, err = project(f"test --ckpt_path runs/{config.stem}/000")
    assert code == 0, err
    assert "test/loss" in out


@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_a_config_says_what_it_shows_how_it_is_called_and_what_to_expect(config: Path) -> None:
    header = "".join(re.findall(r"^#.*\n", config.read_text(), flags=re.M))
    assert f"python -m project fit --config configs/{name_of(config)}" in header
    assert re.search(r"\b\d\.\d\d|\d\d(\.\d)? ?%", header), "an expected figure"


@pytest.mark.parametrize("part", PARTS, ids=lambda path: path.stem)
def test_a_part_goes_over_a_config(part: Path, project: Project) -> None:
    """Two processes need processes of their own: tests/test_ddp.py has them."""
    command = (
        f"python -m project fit --config configs/lenet.yaml --config configs/parts/{part.name}"
    )
    assert command in part.read_text()
    words = ["fit", "--config", str(REPOSITORY / "configs/lenet.yaml"), "--config", str(part)]
    last = "--print_config" if part.stem == "two_devices" else SHORT
    code, _, err = project(words, last)
    assert code == 0, err
