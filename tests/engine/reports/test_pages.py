"""A page shows what it should, in a browser, without the network, in light and dark, whatever the
names in it are.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from project.engine.reports.finding import find_runs
from project.engine.reports.page import write_report
from project.engine.reports.plots import GRID, INK
from project.engine.reports.run import Run
from project.engine.reports.table import gather, save_table
from tests.conftest import Project
from tests.engine.reports.conftest import HOSTILE, MakeRun

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
WATCH = (
    "<script>const faults = []; addEventListener('error', e => faults.push(String(e.message || "
    "e.target.src)), true);</script>"
)
REPORT = """<script>addEventListener('load', () => {
  const images = [...document.images], drawings = [...document.querySelectorAll('.drawing svg')];
  const heads = [...document.querySelectorAll('#runs th')], first = () => document.querySelector('#runs td').textContent.trim();
  const sorted = heads.filter(head => head.textContent === 'val/accuracy').flatMap(head => {
    head.click(); const up = first(); head.click(); return [up, first()];
  });
  parent.postMessage({
    page: document.title, faults, images: images.length, sorted,
    broken: images.filter(image => !(image.complete && image.naturalWidth > 0)).length,
    drawings: drawings.length, empty: drawings.filter(drawing => drawing.getBoundingClientRect().width < 100).length,
    requests: performance.getEntriesByType('resource').map(entry => entry.name).filter(name => !name.startsWith('data:')),
    paper: getComputedStyle(document.body).backgroundColor,
    inks: [...new Set([...document.querySelectorAll('.drawing svg text')].map(text => getComputedStyle(text).fill))],
    wide: document.documentElement.scrollWidth - innerWidth,
  }, '*');
});</script>"""
COLLECT = """<!doctype html><pre id="out"></pre><script>
  const found = []; addEventListener('message', event => {
    found.push(event.data); document.querySelector('#out').textContent = JSON.stringify(found);
  });</script>"""


def opened(pages: list[Path], folder: Path, dark: bool = False) -> list[dict[str, Any]]:
    """What a browser says of these pages, each in a frame of its own."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    frames = []
    for number, page in enumerate(pages):
        copy = folder / f"{number}.html"
        copy.write_text(
            page.read_text()
            .replace("<head>", f"<head>{WATCH}", 1)
            .replace("</body>", f"{REPORT}</body>", 1)
        )
        frames.append(f'<iframe src="{copy.name}" width="1100" height="900"></iframe>')
    (folder / "all.html").write_text(COLLECT + "".join(frames))
    options = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        f"--user-data-dir={folder}/profile",
    ]
    options += ["--host-resolver-rules=MAP * ~NOTFOUND", "--blink-settings=preferredColorScheme=0"][
        : 2 if dark else 1
    ]
    words = [
        CHROMIUM,
        *options,
        "--virtual-time-budget=20000",
        "--dump-dom",
        f"file://{folder}/all.html",
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert ":CONSOLE" not in done.stderr, done.stderr
    text = re.search(r'<pre id="out">(.*?)</pre>', done.stdout, flags=re.S)
    assert text, done.stderr
    found = json.loads(text[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert len(found) == len(pages)
    return sorted(found, key=lambda page: page["page"])


@pytest.fixture(scope="module")
def pages(real_runs: dict[str, Path]) -> dict[str, Path]:
    return {kind: write_report(Run(folder)) for kind, folder in real_runs.items()}


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_page_opens_in_a_browser(pages: dict[str, Path], tmp_path: Path, dark: bool) -> None:
    shown = list(pages.values()) if not dark else [pages["class"]]
    for page in opened(shown, tmp_path, dark):
        assert (page["faults"], page["requests"], page["broken"], page["empty"]) == (
            [],
            [],
            0,
            0,
        ), page
        assert page["drawings"] >= 4 and page["wide"] <= 0
        paper, ink = (
            ("rgb(21, 24, 28)", "rgb(226, 229, 232)")
            if dark
            else ("rgb(253, 253, 252)", "rgb(29, 33, 38)")
        )
        assert page["paper"] == paper
        assert set(page["inks"]) <= {ink, "rgb(255, 255, 255)"}, (
            "text in drawings has the colour of the page's text"
        )
        assert page["images"] or page["page"].rpartition("/")[2] in ("number", "ranking")


@pytest.mark.slow
def test_a_table_of_runs_sorts_in_a_browser(make_run: MakeRun, tmp_path: Path) -> None:
    for number, accuracy in enumerate([0.5, 0.9, 0.1]):
        make_run(f"runs/a/00{number}", lr=0.1 * number, accuracy=accuracy)
    (tmp_path / "runs/a/003").mkdir()
    (page,) = opened(
        [save_table(gather(find_runs([tmp_path / "runs"])), tmp_path / "table.html")], tmp_path
    )
    assert page["sorted"] == ["a/002", "a/001"] and not page["faults"]


PARTS = {
    "class": [
        "Confusion",
        "Calibration (ECE",
        "Each class",
        "precision",
        "Most confused",
        "The worst",
        "test split",
    ],
    "number": ["Each target", ": predicted", "residuals", "R2"],
    "mask": ["IoU", "Dice of each image", "Image, truth, answer.", "swatch"],
    "sequence": ["By length", "Most frequent mistakes", "The first, read against true"],
    "embedding": ["The plane of widest spread", "Nearest neighbours"],
    "ranking": ["Pairs in their order", "Scores"],
}
EVERY = [
    "learning rate",
    "Time per epoch",
    "The whole config",
    "What differs from the base",
    "SHA-256",
    "Layers",
    "First weights",
    "commit",
    "torch",
]


@pytest.mark.parametrize("kind", PARTS)
def test_a_page_has_the_parts_of_its_kind(kind: str, pages: dict[str, Path]) -> None:
    text = pages[kind].read_text()
    assert [part for part in [*PARTS[kind], *EVERY] if part not in text] == []
    assert INK not in text and GRID not in text
    assert not re.search(r"""(?:src|href|url\()=?["']?\s*https?:""", text), (
        "nothing is loaded from elsewhere"
    )


def test_names_from_files_are_text_in_a_page(pages: dict[str, Path]) -> None:
    text = pages["class"].read_text()
    for name in HOSTILE[:2]:
        assert name not in text
    assert "&lt;/script&gt;&lt;script&gt;throw 2" in text and "$x^2$" in text
    assert "学" in text
    assert "&lt;b&gt;" in text and "<b>\n" not in text


@pytest.mark.slow
def test_an_older_run_still_has_a_page(real_runs: dict[str, Path], tmp_path: Path) -> None:
    """Without samples, and without what later versions put into run.json."""
    folder = tmp_path / "run"
    shutil.copytree(real_runs["class"], folder)
    for samples in folder.glob("samples*.npz"):
        samples.unlink()
    (folder / "run.json").write_text(
        '{"command": "python -m project fit", "seed": 0, "state": "finished"}'
    )
    text = write_report(Run(folder)).read_text()
    assert "Confusion" in text and "<img" not in text


SHORT = (
    "--data.size 8 --model.net MLP --trainer.max_epochs 1 --trainer.limit_train_batches 1 "
    "--run.threads 1"
)


def test_a_run_that_was_stopped_has_a_page_of_what_there_is(
    make_run: MakeRun, project: Project
) -> None:
    folder = make_run("runs/a/000", state="interrupted")
    for part in ("results.json", "epochs.csv"):
        (folder / part).unlink()
    assert project("report runs/a/000") == (0, "runs/a/000/report.html\n", "")
    text = (folder / "report.html").read_text()
    assert "state interrupted" in text and "Training" in text and "The whole config" in text


def test_fit_and_test_write_the_page(project: Project, tmp_path: Path) -> None:
    code, out, _ = project(f"fit --run run {SHORT}")
    assert code == 0 and "run/report.html" in out
    assert "Predictions on the test split" not in Path("run/report.html").read_text()
    project("test --ckpt_path run")
    assert "Predictions on the test split" in Path("run/report.html").read_text()


def test_a_page_that_fails_does_not_fail_the_run(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(run: Run) -> Path:
        raise ValueError("a bug\nof two lines")

    monkeypatch.setattr("project.engine.reports.page.write_report", fail)
    code, _, err = project(
        "fit --data.size 8 --model.net MLP --trainer.max_epochs 1 --trainer.limit_train_batches "
        "1 --run.threads 1"
    )
    assert (code, err) == (0, "no report.html: a bug of two lines\n")
