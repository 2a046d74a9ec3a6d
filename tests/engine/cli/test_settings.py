"""What is written counts: the command line over files, later files over earlier ones, and no
default leaks between classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Project

FILES = {
    "adamw.yaml": (
        "model: {class_path: Classification, init_args: {optimizer: {class_path: AdamW, "
        "init_args: {lr: 3e-3}}, "
        "net: {class_path: LeNet, init_args: {dropout: 0.3}}}}\ntrainer: {max_epochs: 7}\n"
    ),
    "steps.yaml": "trainer: {max_steps: 9}\nseed_everything: 4\n",
    "part.yaml": "model: {init_args: {net: {init_args: {dropout: 0.4}}}}\n",
    "stopping.yaml": "trainer: {callbacks: [{class_path: EarlyStopping, init_args: {monitor: "
    "val/loss}}]}\n",
}

# command line -> key of the effective config and its value
CASES: dict[str, dict[str, Any]] = {
    "--config adamw.yaml": {"trainer.max_epochs": 7, "model.optimizer.lr": 0.003, "name": "adamw"},
    "--trainer.max_epochs 3 --config adamw.yaml": {"trainer.max_epochs": 3},
    "--config adamw.yaml --config steps.yaml": {
        "trainer.max_epochs": 7,
        "trainer.max_steps": 9,
        "name": "adamw",
    },
    "--config steps.yaml --config adamw.yaml --seed_everything 0": {
        "seed_everything": 0,
        "name": "steps",
    },
    "--config adamw.yaml --config part.yaml": {"model.net.dropout": 0.4, "model.net": "LeNet"},
    "--config adamw.yaml --model.optimizer SGD": {
        "model.optimizer.lr": 0.003,
        "model.optimizer.weight_decay": 0.0,
    },
    "--config adamw.yaml --model.optimizer Adam": {"model.optimizer.weight_decay": 0.0},
    "--model.optimizer Adam": {"model.optimizer.weight_decay": 0.0},
    "--config adamw.yaml --model.net MLP": {
        "model.net": "MLP",
        "model.net.dropout": 0.3,
        "model.net.hidden": [256],
    },
    "--model.net.hidden [5] --model.net MLP": {"model.net": "MLP", "model.net.hidden": [5]},
    "--data.batch_size 5 --data Digits": {"data.batch_size": 5},
    "--data.size=9 --model.optimizer.lr=1e-4": {"data.size": 9, "model.optimizer.lr": 0.0001},
    "--model.net.init_args.dropout 0.5": {"model.net.dropout": 0.5},
    "--model.schedule Cosine --model.schedule.warmup 0.2": {
        "model.schedule": "Cosine",
        "model.schedule.total_steps": None,
    },
    "--model.loss.label_smoothing 0.1": {
        "model.loss": "CrossEntropy",
        "model.loss.label_smoothing": 0.1,
    },
    "--model.loss.weight [1,2,3]": {"model.loss.weight": [1.0, 2.0, 3.0]},
    "--model.net project.networks.mlp.MLP": {"model.net": "MLP"},
    "--config stopping.yaml --trainer.callbacks+ LearningRateMonitor": {
        "callbacks": ["EarlyStopping", "LearningRateMonitor"]
    },
    "--model.metrics F1 --model.metrics.average micro --model.metrics+ TopK "
    "--model.metrics+.top_k 3": {"model.metrics": ["F1", "TopK"]},
    "--data.augment Crop --data.augment+ Flip": {"data.augment": ["Crop", "Flip"]},
    "--config stopping.yaml --trainer.callbacks LearningRateMonitor": {
        "callbacks": ["LearningRateMonitor"]
    },
    "--name 1e30 --data.root 0x1f --run.root 12": {
        "name": "1e30",
        "data.root": "0x1f",
        "run.root": "12",
    },
    "--name 007 --run.threads 1": {"name": "007", "run.threads": 1},
}


@pytest.mark.parametrize("words", CASES)
def test_the_effective_config_is_what_was_written(
    words: str, project: Project, tmp_path: Path
) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    code, out, err = project("fit", words, "--print_config")
    assert code == 0, err
    config = yaml.safe_load(out)
    for key, wanted in CASES[words].items():
        assert value_of(config, key) == wanted, key


def value_of(config: Any, key: str) -> Any:
    """The value at a dotted key; a class gives its name."""
    if key == "callbacks":
        return [
            callback["class_path"].rpartition(".")[2] for callback in config["trainer"]["callbacks"]
        ]
    for part in key.split("."):
        config = config["init_args"][part] if "class_path" in config else config[part]
    if isinstance(config, list) and config and "class_path" in str(config[0]):
        return [item["class_path"].rpartition(".")[2] for item in config]
    return config["class_path"] if isinstance(config, dict) else config


def test_a_checkpoint_gives_way_to_files_and_they_to_the_command_line(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "file.yaml").write_text(
        "data: {init_args: {batch_size: 32}}\ntrainer: {log_every_n_steps: 3}\n"
    )
    project(
        "fit --data.size 12 --data.batch_size 300 --trainer.max_epochs 1 --run.tensorboard false "
        "--run.threads 1 --run run"
    )
    _, out, _ = project(
        "test --ckpt_path run --config file.yaml --trainer.log_every_n_steps 4 --print_config"
    )
    config = yaml.safe_load(out)
    assert value_of(config, "data.size") == 12
    assert value_of(config, "data.batch_size") == 32
    assert value_of(config, "trainer.log_every_n_steps") == 4


def test_changed_limits_are_told_when_a_run_continues(project: Project) -> None:
    project(
        "fit --data.size 12 --trainer.max_epochs 1 --run.tensorboard false --run.threads 1 --run "
        "run"
    )
    _, out, _ = project("fit --run run --trainer.max_epochs 2 --trainer.log_every_n_steps 5")
    assert "  --trainer.max_epochs: 2 (was 1)\n" in out
    assert "  --trainer.log_every_n_steps: 5 (was 3)\n" in out
