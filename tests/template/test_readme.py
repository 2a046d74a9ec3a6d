"""Every command and every piece of Python in README.md and docs/ does what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import REPOSITORY, Project
from tests.fakes import write_data

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
LIMITS = [
    "--run.threads",
    "1",
    "--trainer.limit_train_batches",
    "2",
    "--trainer.limit_val_batches",
    "1",
]
SHORT = {
    "fit": LIMITS,
    "sweep": [
        "--trainer.limit_train_batches",
        "2",
        "--trainer.limit_val_batches",
        "1",
        "--workers",
        "1",
        "--trials",
        "2",
    ],
    "kfold": LIMITS,
    "profile": ["--run.threads", "1", "--steps", "20"],
    "lr-find": ["--run.threads", "1", "--steps", "20"],
    "batch-size": ["--run.threads", "1", "--rounds", "1"],
}


def commands(page: Path) -> list[str]:
    """The project's commands on a page, in order, without their comments."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(), flags=re.S)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("python -m project")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_work_one_after_the_other(
    page: Path, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_data(tmp_path / "data", monkeypatch)
    (tmp_path / "photos").mkdir()
    Image.new("L", (40, 30), 255).save(tmp_path / "photos" / "one.png")
    (tmp_path / "configs").symlink_to(REPOSITORY / "configs")
    for line in commands(page):
        words = shlex.split(line)[3:]
        if "--run" not in words:
            words += SHORT.get(words[0], [])
        if words[0] in ("fit", "sweep", "kfold") and not {"--run", "--trainer.max_epochs"} & set(
            words
        ):
            words += ["--trainer.max_epochs", "1"]
        code, _, err = project(words)
        assert code == 0, f"{line}: {err}"


def test_the_python_of_the_readme_works(tmp_path: Path) -> None:
    network, fit = re.findall(
        r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), flags=re.S
    )
    (tmp_path / "configs").symlink_to(REPOSITORY / "configs")
    names: dict[str, Any] = {"__name__": "two"}
    exec(network, names)
    short = '"trainer.max_epochs": 1, "trainer.limit_train_batches": 2'
    exec(fit.replace('"trainer.max_epochs": 3', short), names)
    assert names["run"].results["steps"] == 2 and not names["task"].training


def test_the_network_of_the_readme_trains_from_the_command_line(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from project import networks
    from project.engine import registry

    network = re.findall(
        r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), flags=re.S
    )[0]
    (tmp_path / "two.py").write_text(network)
    monkeypatch.setattr(networks, "__path__", [*networks.__path__, str(tmp_path)])
    monkeypatch.setitem(
        registry.TABLES["networks"], "Two", ("project.networks.two.Two", "two linear layers")
    )
    code, out, err = project(
        "fit --model.net Two --model.net.width 128 --data.size 12 --trainer.max_epochs 1 "
        "--run.threads 1"
    )
    assert code == 0, err
    assert "runs/run/000" in out


def test_the_readme_ends_before_the_reader_does() -> None:
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_two_commands_are_those_that_ci_runs() -> None:
    install = [
        line
        for line in (REPOSITORY / "README.md").read_text().splitlines()
        if line.startswith("python3 -m venv")
    ]
    assert len(install) == 2 and all("-c constraints.txt -e" in line for line in install)
    assert ".venv/bin/pip install -q -c constraints.txt -e" in (REPOSITORY / ".ci/run").read_text()


def test_the_pins_for_cpus_are_those_of_all_without_cuda() -> None:
    pins, cpu = (
        {line for line in (REPOSITORY / name).read_text().splitlines() if "==" in line}
        for name in ("constraints.txt", "constraints-cpu.txt")
    )
    assert cpu == {pin for pin in pins if not re.match("(nvidia|cuda)-|triton", pin)}
