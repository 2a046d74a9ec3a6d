"""A baseline is scikit-learn's on the splits of `fit`, and stands beside the runs of the same data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from project.data.digits import Digits
from project.engine.reports.run import Run
from tests.conftest import Project

SHORT = "--run.tensorboard false --run.threads 1 --trainer.max_epochs 1"
TABLE = "--data CSVTable --data.root . --data.file t.csv --data.target y --model.net MLP"


@pytest.fixture(autouse=True)
def table(tmp_path: Path) -> None:
    """Two classes and a number by one column; categories, gaps."""
    draw = np.random.default_rng(0)
    rows = [
        f"{a:.3f},{'' if i % 9 == 0 else i % 5},{'abc'[i % 3]},{'yes' if a > 0 else 'no'},{3 * a + 1:.3f}"
        for i, a in enumerate(draw.normal(size=300))
    ]
    (tmp_path / "t.csv").write_text("\n".join(["x,gaps,letter,y,n", *rows]) + "\n")


def rows_of(path: str) -> dict[str, dict[str, float]]:
    return {row["name"]: row["metrics"] for row in json.loads(Path(path).read_text())["rows"]}


def test_images_have_their_neighbours_and_scikit_learns_accuracy(project: Project) -> None:
    sk = pytest.importorskip("sklearn.neighbors")
    code, out, err = project(f"baseline --data.size 8 {SHORT} --name d")
    assert (code, err) == (0, "") and "kept in runs/d/baseline.json" in out
    found = rows_of("runs/d/baseline.json")
    assert list(found) == ["the most frequent, or the mean", "linear", "nearest three"]
    data = Digits(size=8)
    for stage in ("fit", "test"):
        data.setup(stage)
    (x, y), (tx, ty) = (data.fetch(s, data.loaded(s).rows) for s in ("train", "test"))
    model = sk.KNeighborsClassifier(3).fit(x.flatten(1).numpy(), y.numpy())  # type: ignore[union-attr]
    wanted = model.score(tx.flatten(1).numpy(), ty.numpy())  # type: ignore[union-attr]
    assert found["nearest three"]["test/accuracy"] == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("positive", ["", "--model.positive [yes]"], ids=["classes", "yes or no"])
def test_a_table_of_classes(positive: str, project: Project) -> None:
    pytest.importorskip("sklearn")
    loss = "--model.loss BCEWithLogits" if positive else "--model.metrics AUROC"
    code, _, err = project(
        f"baseline {TABLE} --data.drop [n] {positive} {loss} {SHORT} --output b.json"
    )
    assert (code, err) == (0, "")
    found = rows_of("b.json")
    assert list(found) == ["the most frequent, or the mean", "linear", "gradient boosting"]
    assert found["gradient boosting"]["test/accuracy"] > 0.9
    assert found["the most frequent, or the mean"]["test/accuracy"] < 0.7
    assert positive or found["linear"]["val/auroc"] > 0.95


def test_numbers_are_judged_in_their_units_and_shown_beside_a_run(project: Project) -> None:
    pytest.importorskip("sklearn")
    words = f"{TABLE} --data.target n --data.drop [y] --model Regression {SHORT} --name t"
    code, _, err = project("baseline", words.replace("--data.target y ", ""))
    assert (code, err) == (0, "")
    found = rows_of("runs/t/baseline.json")
    assert found["linear"]["test/rmse"] < 0.1 * found["the most frequent, or the mean"]["test/rmse"]
    assert found["linear"]["test/r2"] > 0.98
    for seed, shown in ((0, True), (1, False)):
        extra = f"--data.split_seed {seed} --run runs/t/00{seed}"
        code, _, err = project("fit", words.replace("--data.target y ", ""), extra)
        assert (code, err) == (0, "")
        project(f"report runs/t/00{seed}")
        page = Path(f"runs/t/00{seed}/report.html").read_text()
        assert (">gradient boosting</td>" in page) == shown, "only of the same splits"
        assert bool(Run(Path(f"runs/t/00{seed}")).baselines) == shown
        out = project(f"compare runs/t/00{seed} --metric val/rmse")[1]
        assert ("gradient boosting" in out) == shown and "val/rmse" in out


def test_a_damaged_file_of_baselines_is_one_line(project: Project) -> None:
    project(f"fit --data.size 8 {SHORT} --run r")
    for text in ("{", "[]", '{"rows": 3}', '{"rows": [{"name": 1}], "data": {}}'):
        Path("r/baseline.json").write_text(text)
        code, _, err = project("report r")
        assert (code, err.count("\n")) == (2, 1) and "r/baseline.json" in err


MISTAKES = {
    "--data DigitMasks --model Segmentation --model.net UNet": "baseline is for classes and numbers",
    "--model MetricLearning --model.net CNN": "baseline is for classes and numbers",
    "--data.size 96": "baseline is for small images, these have 9,216 values",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_what_has_no_baseline_is_one_line(words: str, project: Project) -> None:
    pytest.importorskip("sklearn")
    code, _, err = project("baseline", words)
    assert (code, err.count("\n")) == (2, 1) and MISTAKES[words] in err


def test_without_scikit_learn_it_says_how_to_get_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    code, _, err = project("baseline --data.size 8")
    assert code == 2 and "pip install scikit-learn" in err
