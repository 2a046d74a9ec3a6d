"""A fork's first day is green: with a module, a config and a README of its own, without lessons.

And under another name: the package's folder is renamed, the imports of its rooms are rewritten, the
engine stays as it is to the byte.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Project

pytestmark = pytest.mark.slow

NETWORK = '''"""A network of one's own."""

from torch import Tensor, nn

from project.engine import DataSpec, Network


class Mine(Network):
    """One layer."""

    def __init__(self, spec: DataSpec, bias: bool = True) -> None:
        super().__init__(spec)
        channels, height, width = spec.inputs[0]
        self.layer = nn.Linear(channels * height * width, spec.outputs, bias)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.flatten(1))
'''
CONFIG = "model: {class_path: Classification, init_args: {net: Mine}}\ntrainer: {max_epochs: 1}\n"
OWN_TESTS = (
    "tests/test_configs.py tests/networks tests/tasks tests/engine/test_architecture.py "
    "tests/engine/cli/test_list.py tests/engine/bases"
)
TINY = (
    "--data.size 8 --model.net MLP --model.net.hidden [8] --trainer.max_epochs 1 --run.threads 1 "
    "--run.tensorboard false --run.report false"
)


def copy(target: Path) -> Path:
    """The files that git knows of, as a fork gets them."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in listed:
        if (REPOSITORY / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / name, target / name)
    return target


def run(folder: Path, words: str) -> str:
    """The output of Python in a folder, whose packages come first."""
    environment = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words.split()],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_a_fork_with_files_of_its_own_and_without_lessons_is_green(tmp_path: Path) -> None:
    fork = copy(tmp_path / "fork")
    for part in ("project", "configs", "tests"):
        shutil.rmtree(fork / part / "lessons")
    (fork / "project" / "networks" / "mine.py").write_text(NETWORK)
    (fork / "project" / "mine.py").write_text("from project.engine.runs.folder import RunFolder\n")
    table = fork / "project" / "networks" / "__init__.py"
    line = '    "Mine": (".networks.mine.Mine", "one layer"),\n}'
    table.write_text(table.read_text().rstrip().removesuffix("}") + line + "\n")
    (fork / "configs" / "mine.yaml").write_text(CONFIG)
    (fork / "README.md").write_text("# birds\n\nWhich bird is it?\n")
    collected = run(fork, "-m pytest -q --collect-only -n 0 -p no:cacheprovider")
    assert "error" not in collected.lower()
    run(fork, f"-m pytest -q -n 2 -p no:cacheprovider {OWN_TESTS}")
    out = run(fork, "-m project fit --config configs/mine.yaml --run.threads 1")
    assert "finished runs/mine/000" in out


def test_the_package_can_be_renamed(project: Project, tmp_path: Path) -> None:
    averaged = '[{"class_path":"project.engine.runs.averaging.SWA","init_args":{"start":0}}]'
    code, _, err = project("fit", TINY, ["--trainer.callbacks", averaged], "--run before")
    assert (code, err) == (0, "")
    fork = copy(tmp_path / "fork")
    (fork / "project").rename(fork / "birds")
    for file in (fork / "birds").rglob("*.py"):
        if "engine" not in file.relative_to(fork).parts:
            text = file.read_text()
            file.write_text(re.sub(r"(?m)^(\s*(?:from|import) )project\b", r"\1birds", text))
    run(fork, f"-m birds fit {TINY} --run new")
    out = run(fork, "-m birds fit --run new --trainer.max_epochs 2")
    assert "continuing new from step 20" in out and "python -m birds test" in out
    assert "test/loss" in run(fork, "-m birds test --ckpt_path new")
    before = tmp_path / "before"  # a run of the package under its old name
    assert "test/loss" in run(fork, f"-m birds test --ckpt_path {before}")
    run(fork, f"-m birds predict --ckpt_path {before}")
    run(fork, f"-m birds report {before}")
    out = run(fork, f"-m birds fit --run {before} --trainer.max_epochs 2")
    assert f"continuing {before} from step 20" in out
    assert (before / "config.yaml").read_text().count("class_path: .engine.runs.averaging.SWA") == 1
