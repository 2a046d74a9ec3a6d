"""`test --calibrate true` says how far probabilities are to be believed, before and after."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from project.engine.reports.run import Run
from tests.conftest import Project

TABLE = "--data CSVTable --data.root . --data.file t.csv --run.tensorboard false --run.threads 1"
SHORT = "--data.size 12 --run.tensorboard false --run.threads 1 --run.report false"


def test_it_is_kept_with_the_test_it_belongs_to(project: Project, tmp_path: Path) -> None:
    assert project(f"fit {SHORT} --model.net MLP --trainer.max_epochs 3 --run r")[0] == 0
    code, out, err = project("test --ckpt_path r --calibrate true")
    assert (code, err) == (0, "") and "test/ece calibrated" in out
    found = json.loads(Path("r/results.json").read_text())["test"]
    assert found["test/ece calibrated"] < found["test/ece"]
    assert Run(tmp_path / "r").temperature == found["test/temperature"] != 1
    project("report r")
    assert "Fitted on the validation split" in Path("r/report.html").read_text()
    # of a checkpoint that is no longer the best it says nothing
    assert project("fit --run r --trainer.max_epochs 8")[0] == 0
    assert Run(tmp_path / "r").temperature is None


MISTAKES = {
    f"{TABLE} --model Regression": "is for one class of several, or yes and no",
    f"{SHORT} --model MetricLearning --model.net CNN": "is for one class of several",
    f"{SHORT} --model.net MLP --data.validation 0": "fits the validation split, and there is none",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_what_has_no_probabilities_or_no_validation_is_one_line(
    words: str, project: Project
) -> None:
    Path("t.csv").write_text("x,target\n" + "".join(f"{i % 7},{i % 7}.5\n" for i in range(80)))
    code, _, err = project(f"fit {words} --trainer.max_epochs 1 --run r")
    assert code == 0, err
    code, _, err = project("test --ckpt_path r --calibrate true")
    assert (code, err.count("\n")) == (2, 1) and MISTAKES[words] in err, err
    code, _, err = project("test --ckpt_path r --calibrate maybe")
    assert code == 2 and "--calibrate maybe: true or false" in err
