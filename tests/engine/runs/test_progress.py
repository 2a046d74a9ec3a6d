"""What a person sees: a bar that fits the terminal, plain lines in a pipe, tables that fit 80
columns.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
from pathlib import Path

import pytest
import yaml

from project.__main__ import main
from project.engine.formats import duration, metric
from project.engine.runs import progress
from project.engine.runs.progress import EpochTable
from tests.conftest import Project

TINY = (
    "--data.batch_size 32 --run.threads 1 --trainer.max_epochs 2 --run.tensorboard false "
    "--trainer.log_every_n_steps 5"
)
EXTRA = "val/accuracy val/f1 val/precision val/recall val/a_very_long_name train/accuracy train/f1 train/precision".split()


def on_a_terminal(columns: int, words: list[str]) -> str:
    """What a command line writes to a terminal of so many columns."""
    child, terminal = pty.fork()
    if child == 0:
        code = 1
        try:
            fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            progress.EVERY = 0.0
            import sys

            sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
            code = main(words)
        finally:
            sys.stdout.flush()
            os._exit(code)
    written = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:
            break
        if not part:
            break
        written += part
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, written.decode()
    return written.decode()


@pytest.mark.parametrize("columns", [80, 50])
def test_a_terminal_shows_one_bar_that_fits_and_leaves_a_line_per_epoch(
    columns: int, tmp_path: Path
) -> None:
    text = on_a_terminal(columns, ["fit", *TINY.split(), "--run", "run"])
    drawn = [
        re.sub(r"\x1b\[[0-9;]*m", "", frame)
        for line in text.split("\r\n")
        for frame in line.split("\r")
    ]
    bars = [frame for frame in drawn if re.match(r"epoch \d/2.*\|", frame)]
    assert len(bars) > 20 and max(map(len, bars)) <= columns
    if columns == 80:
        assert any(
            re.search(
                r"epoch 1/2 .*\| [\d,]+/s \d\d:\d\d left loss [\d.]+ accuracy [\d.]+ lr 0.001", bar
            )
            for bar in bars
        )
    assert "\x1b[A" not in text  # one line only: the cursor never goes up
    left = [line.split("\r")[-1] for line in text.split("\r\n")]
    assert [line.split()[0] for line in left if re.match(r"\d/2 ", line)] == ["1/2", "2/2"]
    assert not [line for line in left if "|" in line]


def test_a_pipe_gets_plain_lines_of_at_most_80_columns(project: Project) -> None:
    code, out, err = project("fit", TINY, "--data.size 28 --run run --run.print_every 10")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80 and not [
        char for char in out if ord(char) < 32 and char != "\n"
    ]
    assert [line.split()[0] for line in lines if re.match(r"\d/2 ", line)] == ["1/2", "2/2"]
    assert [line.split()[1] for line in lines if line.startswith("step ")] == [
        str(step) for step in range(10, 81, 10)
    ]
    assert sum(line.startswith("epoch") for line in lines) == 1


def test_the_start_shows_layers_shapes_parameters_and_a_line_each_of_data_training_and_machine(
    project: Project,
) -> None:
    out = project(
        "fit", TINY, "--data.size 28 --model.net LeNet --model.schedule Cosine --run run"
    )[1]
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}
    assert rows["features.0"] == ["Conv2d", "6x28x28", "156"] and rows["total"] == [
        "LeNet",
        "61,706",
    ]
    assert rows["continue"] == "python -m project fit --run run".split()
    assert "Digits: 1,258 train, 179 val, each 1x28x28; 10 classes" in out
    assert "Classification by CrossEntropy; AdamW, lr 0.001, Cosine; 2 epochs" in out
    assert "cpu, 32-true, 1 thread\n" in out


@pytest.mark.parametrize(("limit", "goes_on_to"), [("", "4/4"), ("--trainer.max_steps 50", "3/")])
def test_the_end_shows_the_figures_and_commands_that_work(
    limit: str, goes_on_to: str, project: Project, tmp_path: Path
) -> None:
    out = project(
        "fit",
        TINY.replace("--trainer.max_epochs 2", limit or "--trainer.max_epochs 2"),
        "--data.size 12 --run run",
    )[1]
    assert "val/accuracy (monitored)" in out and "best, step" in out and " test\n" not in out
    project("test --ckpt_path run")
    following = [
        line.split("python -m project ")[1]
        for line in out.splitlines()
        if "python -m project" in line
    ]
    assert [words.split()[0] for words in following if words.startswith(("test", "fit"))] == [
        "fit",
        "test",
        "fit",
    ]
    for words in following:
        code, out, err = project(words)
        assert code == 0, f"{words}: {err}"
    assert goes_on_to in out


def test_lines_are_asked_for_as_often_as_there_are_figures(project: Project) -> None:
    code, _, err = project("fit", TINY, "--run.print_every 7 --run run")
    assert (code, err) == (
        2,
        "error: --run.print_every 7: metrics are logged every 5 steps; "
        "leave out --trainer.log_every_n_steps 5, or print at a multiple of it\n",
    )


@pytest.mark.parametrize(
    ("words", "every"),
    [
        ("--data.batch_size 79", 3),  # 15 steps an epoch
        ("--data.batch_size 4", 50),
        ("--data.batch_size 512", 1),
        ("--data.batch_size 79 --trainer.accumulate_grad_batches 4", 1),
        ("--data.batch_size 79 --run.print_every 4", 2),
        ("--data.batch_size 79 --trainer.log_every_n_steps 9", 9),
    ],
)
def test_an_epoch_has_several_rows_of_figures_however_short_it_is(
    words: str, every: int, project: Project
) -> None:
    tiny = "--data.size 12 --run.threads 1 --run.tensorboard false --trainer.max_steps 1 --run run"
    code, _, err = project("fit", tiny, words)
    assert code == 0, err
    assert (
        yaml.safe_load(Path("run/config.yaml").read_text())["trainer"]["log_every_n_steps"] == every
    )


@pytest.mark.parametrize("extra", [0, 2, 8])
def test_a_row_of_an_epoch_fits_80_columns_and_has_what_matters(extra: int) -> None:
    names = ["train/loss", *sorted(EXTRA[:extra]), "val/loss"]
    head, row = EpochTable().rows(
        "100/100", dict.fromkeys(names, -0.12345), "val/accuracy", 123456.7, 3600
    )
    assert len(head) == len(row) <= 80
    wanted = ["train/loss", "val/loss", *(["val/accuracy"] if extra else [])]
    assert set(wanted) <= set(head.split())
    assert [len(part) for part in (head, row)] and "123,457" in row and "1:00:00" in row


def test_a_row_leaves_blank_what_has_no_figure() -> None:
    table = EpochTable()
    table.rows("1/2", {"train/loss": 1.0, "val/loss": 2.0}, "val/loss", 1, 1)
    (row,) = table.rows("2/2", {"train/loss": 1.0}, "val/loss", 1, 1)
    assert row.split() == ["2/2", "1.0000", "1", "1.0", "s"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.5000"),
        (0, "0.0000"),
        (-3.14159, "-3.1416"),
        (123.456, "123.5"),
        (72402.3, "72402"),
        (1.5e-5, "1.5e-05"),
    ],
)
def test_a_number_takes_at_most_seven_characters(value: float, text: str) -> None:
    assert metric(value) == text and len(text) <= 7


def test_a_duration_reads_well() -> None:
    assert [duration(seconds) for seconds in (4.23, 725, 10925)] == ["4.2 s", "12:05", "3:02:05"]
