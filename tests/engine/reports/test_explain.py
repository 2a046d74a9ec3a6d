"""`explain`, and what a report says of why: heat beside images, columns by what they tell."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import project as package
from project.data.digits import Digits
from project.engine.building.explaining import heatmaps
from project.engine.reports.run import Run
from project.engine.spec import Batch
from tests.conftest import Project

SHORT = "--run.tensorboard false --run.threads 1 --trainer.max_epochs"
TABLE = (
    "--data CSVTable --data.root . --data.file t.csv --data.target y --model.net MLP "
    "--model.net.hidden [16] --model.optimizer.lr 0.05"
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two classes by one column; another is noise, a third has gaps."""
    draw = np.random.default_rng(0)
    told, noise = draw.normal(size=400), draw.normal(size=400)
    rows = [
        f"{a:.4f},{b:.4f},{'' if i % 9 == 0 else i % 5},{'yes' if a > 0 else 'no'}"
        for i, (a, b) in enumerate(zip(told, noise, strict=True))
    ]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["told,noise,gaps,y", *rows]) + "\n")
    return path


def test_a_column_that_tells_stands_first_in_report_and_page(table: Path, project: Project) -> None:
    code, _, err = project(f"fit {TABLE} {SHORT} 8 --run r")
    assert (code, err) == (0, "")
    found = json.loads(Path("r/results.json").read_text())["importance"]
    means = {name: sum(rises) for name, rises in found.items()}
    assert list(means) == ["told", "noise", "gaps"] and max(means, key=means.__getitem__) == "told"
    assert "What it answers by" in Path("r/report.html").read_text()
    for words in ("", "--input t.csv"):
        code, out, err = project(f"explain --ckpt_path r {words} --output why.html")
        assert (code, err, out) == (0, "", "why.html\n")
        cells = re.findall(r"<td[^>]*>(told|noise|gaps)</td>", Path("why.html").read_text())
        assert cells[0] == "told" and set(cells) == {"told", "noise", "gaps"}


def test_images_stand_beside_their_heat(project: Project, tmp_path: Path) -> None:
    code, _, err = project(f"fit --data.size 16 {SHORT} 2 --run r")
    assert (code, err) == (0, "")
    samples = Run(tmp_path / "r").samples("val")
    assert samples is not None and samples["heat"].shape == (len(samples["id"]), 16, 16)
    warm = samples["heat"].any(axis=(1, 2))
    assert (warm[samples["worst"]]).all() and not warm.all()
    assert "where it spoke for the answer" in Path("r/report.html").read_text()
    assert project("test --ckpt_path r")[0] == 0
    with np.load("r/samples-test.npz") as kept:
        assert "heat" in kept
    Image.fromarray(np.full((20, 20), 90, np.uint8)).save("one.png")
    for words in ("", "--input one.png"):
        code, _, err = project(f"explain --ckpt_path r {words} --output pages/why.html")
        assert (code, err) == (0, ""), err
        page = Path("pages/why.html").read_text()
        assert page.count("data:image/png") == (1 if words else 32)


@pytest.mark.slow
def test_the_heat_points_at_the_digit(project: Project, tmp_path: Path) -> None:
    """On digits at random places of a noisy canvas, the warmest place is inside the digit."""
    data = Digits(size=14)
    data.setup("fit")
    part, draw = data.loaded("train"), np.random.default_rng(0)
    images, targets = part.fetch(part.rows)
    corners = draw.integers(0, 40 - 14, (len(images), 2))
    for i, (row, column) in enumerate(corners):
        canvas = draw.integers(0, 30, (40, 40)).astype(np.uint8)
        canvas[row : row + 14, column : column + 14] |= images[i, 0].numpy()
        path = tmp_path / f"pasted/{int(targets[i])}/{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(canvas).save(path)
    net = "--model.net CNN --model.net.channels [16,32,64] --model.net.batch_norm true"
    code, _, err = project(
        f"fit --data ImageFolder --data.root pasted {net} --model.net.global_pool true "
        f"--data.batch_size 32 --model.optimizer.lr 0.005 --model.schedule Cosine {SHORT} 10 --run r"
    )
    assert (code, err) == (0, ""), err
    task = package.load("r")
    paths = sorted(tmp_path.glob("pasted/*/*.png"))[::5]
    raw, _ = task.reader.accept([str(path) for path in paths])
    heat = heatmaps(task, task.reader.prepared(Batch(raw, None, None, (0, 0))).inputs)  # type: ignore[arg-type]
    assert heat is not None
    inside = 0
    for path, warm in zip(paths, heat, strict=True):
        (row, column), (top, left) = divmod(int(warm.argmax()), 40), corners[int(path.stem)]
        inside += bool(top <= row < top + 14 and left <= column < left + 14)
    assert inside >= 0.9 * len(paths), f"{inside} of {len(paths)}"


MISTAKES = {
    "": "explain needs --ckpt_path RUN",
    "--ckpt_path r extra": "unexpected extra",
    "--ckpt_path nowhere": "no such file or run folder",
    "--ckpt_path r --input nowhere.png": "no such file, folder or pattern",
    "--ckpt_path r --input t.csv": "the run was trained on Digits",
    "--ckpt_path flat": "MLP has no convolution to look through",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_one_line(words: str, project: Project, table: Path) -> None:
    run = "--ckpt_path r" in words or "flat" in words
    if run:
        net = "MLP --run flat" if "flat" in words else "LeNet --run r"
        assert project(f"fit --data.size 12 {SHORT} 1 --model.net {net}")[0] == 0
    code, _, err = project("explain", words)
    assert MISTAKES[words] in err and (code, err.count("\n")) == (2, 1)
