"""Forks made at three earlier states, changed as README says and with a run begun, take today's
template: nothing of theirs is lost, their tests pass, and their run goes on.

birds1 is as the first fork that could be updated, birds2 from before torch's own names moved into
the engine (engine, rooms and tests changed at once), birds3 keeps named classes only.
"""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.engine.forking.test_new import git, run
from tests.engine.forking.test_update import UPDATE, commit

pytestmark = pytest.mark.slow
ARCHIVE = Path(__file__).with_name("forks.tar.xz")
CONFIG = """
data: {class_path: Digits, init_args: {size: 8, batch_size: 64}}
model: {class_path: Classification, init_args: {net: {class_path: Two, init_args: {width: 16}}}}
trainer: {max_epochs: 1}
run: {tensorboard: false, report: false, threads: 1}
"""


def change(fork: Path) -> dict[str, str]:
    """README's edits: a network with its line, a metric, a config; returns them by file."""
    readme = (REPOSITORY / "README.md").read_text()
    code = re.search(r"```python\n(import math.*?)```", readme, re.S)
    row = re.search(r'`("Two": \(.*?\))`', readme)
    assert code and row
    (fork / "birds/networks/two.py").write_text(code[1].replace("project.", "birds."))
    table = fork / "birds/networks/__init__.py"
    head, mark, rest = table.read_text().partition("NETWORKS")
    line, newline, rows = rest.partition("\n")
    table.write_text(f"{head}{mark}{line}{newline}    {row[1]},\n{rows}")
    task = fork / "birds/tasks/classification.py"
    text = task.read_text()
    start = text.index("def metrics(self")
    at = text.index("\n", start) + 1
    task.write_text(f"{text[:at]}        # ours: one metric more would stand here\n{text[at:]}")
    (fork / "configs/two.yaml").write_text(CONFIG)
    return {
        "birds/networks/two.py": "class Two(Network)",
        "birds/networks/__init__.py": row[1],
        "birds/tasks/classification.py": "# ours: one metric more",
        "configs/two.yaml": "class_path: Two",
    }


@pytest.mark.parametrize("name", ["birds1", "birds2", "birds3"])
def test_an_earlier_fork_takes_todays_template(name: str, tmp_path: Path) -> None:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    fork = tmp_path / name
    git(fork, "init", "-q")
    commit(fork)
    edits = change(fork)
    run(fork, "-m", "birds", "fit", "--config", "configs/two.yaml", "--run", "runs/a")
    commit(fork)
    out = run(fork, "-c", UPDATE.format(str(REPOSITORY), False))
    assert "replaced" in out and "conflicts" not in out
    for file, text in edits.items():
        assert text in (fork / file).read_text(), file
    out = run(fork, "-m", "birds", "fit", "--run", "runs/a", "--trainer.max_epochs", "2")
    assert "continuing runs/a from step" in out
    run(fork, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "tests/test_configs.py")
