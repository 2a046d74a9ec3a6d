"""Every sweep in configs/sweeps/ runs on small stand-ins, and says at its top what it shows and how
it is called.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Project
from tests.fakes import write_data

SWEEPS = sorted((REPOSITORY / "configs" / "sweeps").glob("*.yaml"))
SHORT = (
    "--trials 2 --trainer.max_epochs 1 --trainer.limit_train_batches 2 --run.threads 1 "
    "--run.tensorboard false --run.report false"
)


@pytest.mark.template
@pytest.mark.parametrize("config", SWEEPS, ids=lambda path: path.stem)
def test_a_sweep_of_the_configs_runs(
    config: Path, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_data(tmp_path / "data", monkeypatch)
    limited = "" if "limit_val_batches" in config.read_text() else "--trainer.limit_val_batches 1"
    code, _, err = project(["sweep", "--config", str(config)], SHORT, limited)
    assert (code, err) == (0, "")
    states = [
        row["state"]
        for row in json.loads(Path(f"runs/{config.stem}/results.json").read_text())["trials"]
    ]
    assert states == ["complete"] * 2


@pytest.mark.template
@pytest.mark.parametrize("config", SWEEPS, ids=lambda path: path.stem)
def test_a_sweep_says_what_it_shows_how_it_is_called_and_what_to_expect(config: Path) -> None:
    header = "".join(re.findall(r"^#.*\n", config.read_text(), flags=re.M))
    assert f"python -m project sweep --config configs/sweeps/{config.name}" in header
    assert re.search(r"\b\d\.\d\d|\d\d(\.\d)? ?%", header), "an expected figure"
