"""Many runs are one table: what differs as columns, a broken folder as a row, in the terminal and
in files.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from project.engine.reports.finding import find_runs
from project.engine.reports.table import gather
from tests.conftest import REPOSITORY, Project
from tests.engine.reports.conftest import MakeRun


@pytest.fixture
def runs(make_run: MakeRun) -> Path:
    """Four runs, of which one goes on and one is half written."""
    make_run("runs/a/000", lr=0.1, accuracy=0.5)
    make_run("runs/a/001", lr=0.3, accuracy=0.9, seed=1, momentum=0.9)
    make_run("runs/a/002", lr=0.2, accuracy=0.7, state="running")
    (make_run("runs/b/000") / "run.json").unlink()
    return Path("runs")


def test_the_settings_that_differ_are_columns_and_a_broken_folder_is_a_row(runs: Path) -> None:
    table = gather(find_runs([runs]))
    assert table.settings == ["model.optimizer.lr", "model.optimizer.momentum"], (
        "not the seed, threads or the data's root"
    )
    assert table.rare == {"model.optimizer.momentum"}
    assert [row["model.optimizer.lr"] for row in table.rows] == [0.1, 0.3, 0.2, None]
    assert [row["val/accuracy"] for row in table.rows] == [0.5, 0.9, 0.7, None], (
        "of the best checkpoint, not the last"
    )
    assert [row["state"] for row in table.rows] == ["finished", "finished", "running", "unreadable"]
    assert "no run.json" in table.rows[3]["reason"]


@pytest.mark.parametrize(
    "column, order",
    [("val/accuracy", "1203"), ("train/loss", "0123"), ("lr", "0213"), ("run", "0123")],
)
def test_a_table_is_sorted_the_best_first(column: str, order: str, runs: Path) -> None:
    table = gather(find_runs([runs]))
    rows = list(table.rows)
    table.sort(column)
    assert "".join(str(rows.index(row)) for row in table.rows) == order


def test_a_table_fits_80_columns_and_says_what_does_not(
    project: Project, runs: Path, make_run: MakeRun
) -> None:
    make_run("runs/c/000", **{f"a_setting_with_a_long_name_{i}": i for i in range(9)})
    code, out, err = project("report runs --sort val/accuracy")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert max(map(len, lines[:-1])) <= 80 and "\x1b" not in out
    assert (
        next(
            line.split()[0]
            for line in lines
            if line.startswith(("a/", "b/", "c/")) and ":" not in line
        )
        == "a/001"
    )
    assert any(line.startswith("b/000: half written") for line in lines)
    assert "columns do not fit (" in lines[-1]


def test_a_table_is_written_as_csv_json_and_html(project: Project, runs: Path) -> None:
    (runs / "a/000/report.html").write_text("")
    for ending in ("csv", "json", "html"):
        assert project(f"report runs --output tables/t.{ending}")[:2] == (0, f"tables/t.{ending}\n")
    with open("tables/t.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    values = json.loads(Path("tables/t.json").read_text())
    assert [row["val/accuracy"] for row in rows] == ["0.5", "0.9", "0.7", ""]
    assert [row["val/accuracy"] for row in values] == [0.5, 0.9, 0.7, None]
    page = Path("tables/t.html").read_text()
    assert page.count('href="../runs/a/000/report.html"') == 1 and page.count("<tr>") == 5


def test_names_from_files_are_text_in_a_table(project: Project, make_run: MakeRun) -> None:
    for number, word in enumerate(["<script>throw 1</script>", "=1+1"]):
        make_run(f"runs/a/00{number}", word=word)
    project("report runs --output t.html")
    project("report runs --output t.csv")
    assert (
        "<script>throw" not in Path("t.html").read_text()
        and "&lt;script&gt;throw" in Path("t.html").read_text()
    )
    assert ",'=1+1," in Path("t.csv").read_text()


MISTAKES = {
    "report": "report needs a run folder",
    "report runs --sort accuracy": "--sort accuracy: no such column; did you mean val/accuracy?",
    "report runs --output t.txt": "unknown ending '.txt'; a table is written as .csv, .json, .html",
    "report runs --output": "--output needs a value",
    "report runs --outptu t.csv": "did you mean --output?",
    "report nowhere": "nowhere: no such folder",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_wrong_word_is_one_line(words: str, project: Project, runs: Path) -> None:
    code, _, err = project(words)
    assert MISTAKES[words] in err and (code, err.count("\n")) == (2, 1)


def test_a_table_needs_neither_torch_nor_matplotlib(runs: Path) -> None:
    code = (
        "import sys; from project.__main__ import main; assert main(['report', 'runs', "
        "'--output', 't.html']) == 0; "
    )
    code += "assert not {'torch', 'matplotlib', 'lightning'} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(REPOSITORY)},
    )
    assert done.returncode == 0, done.stderr
