"""`batch-size` times what it says, stops where the memory ends, and names the smallest size that is
as good as the best.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from project.engine.studies import batch
from project.engine.studies.batch import Measured, is_out_of_memory, sizes_between, smallest_close
from project.networks.mlp import MLP
from tests.conftest import Project

TINY = "--data.size 12 --model.net MLP --model.net.hidden [16] --run.threads 1 --rounds 2"


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "SECONDS", 0.0)


def rows(out: str) -> dict[int, str]:
    """The lines of the table by batch size."""
    lines = re.findall(r"^([\d,]+) +(.*)$", out, flags=re.M)
    return {int(size.replace(",", "")): rest for size, rest in lines}


@pytest.mark.parametrize(
    ("least", "most", "configured", "sizes"),
    [
        (8, 64, 32, [8, 16, 32, 64]),
        (8, 100, 48, [8, 16, 32, 48, 64]),
        (5, 7, 64, [5]),
        (1, 3, 3, [1, 2, 3]),
        (64, 64, 1, [1, 64]),
    ],
)
def test_sizes_are_powers_of_two_and_that_of_the_config(
    least: int, most: int, configured: int, sizes: list[int]
) -> None:
    assert sizes_between(least, most, configured) == sizes


def test_the_smallest_within_five_percent_is_chosen_by_the_fastest_round() -> None:
    timed = [
        Measured(8, [90.0, 94.9]),
        Measured(16, [10.0, 95.1]),
        Measured(32, [100.0]),
        Measured(64, [99.0]),
    ]
    assert smallest_close(timed).size == 16


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"
            ),
            True,
        ),
        (MemoryError(), True),
        (RuntimeError("shapes cannot be multiplied"), False),
    ],
)
def test_full_memory_is_told_from_a_bug(error: BaseException, full: bool) -> None:
    assert is_out_of_memory(error) is full


def test_a_table_an_option_and_a_picture_and_nothing_else(project: Project, tmp_path: Path) -> None:
    code, out, err = project("batch-size", TINY, "--data.batch_size 48 --max_batch 128")
    assert code == 0, err
    assert list(rows(out)) == [8, 16, 32, 48, 64, 128]
    assert "the config" in rows(out)[48]
    chosen = int(
        re.search(r"use       --data.batch_size (\d+), the smallest within 5 % of the best", out)[1]
    )  # type: ignore[index]
    assert "<- use" in rows(out)[chosen]
    assert all(len(line) <= 80 for line in out.splitlines()[:-1])
    assert [path.name for path in tmp_path.iterdir()] == ["batch-size.png"]
    with Image.open("batch-size.png") as image:
        assert min(image.size) > 400


@pytest.mark.parametrize(
    ("optimizer", "rate"), [("SGD", "0.2 instead of 0.05"), ("AdamW", "0.1 instead of 0.05")]
)
def test_the_rate_is_scaled_by_the_rule_of_its_optimizer(
    optimizer: str, rate: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "smallest_close", lambda timed: timed[-1])
    words = (
        f"--model.optimizer {optimizer} --model.optimizer.lr 0.05 --data.batch_size 16 "
        "--min_batch 16 --max_batch 64"
    )
    _, out, _ = project("batch-size", TINY, words)
    assert f"--model.optimizer.lr {rate}" in out and "an epoch has 0.25 times as many" in out


def test_sizes_that_do_not_fit_are_told_and_left(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    forward = MLP.forward

    def limited(net: MLP, *inputs: Any) -> Any:
        seen.append(len(inputs[0]))
        if len(inputs[0]) > 32:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return forward(net, *inputs)

    monkeypatch.setattr(MLP, "forward", limited)
    code, out, err = project("batch-size", TINY, "--max_batch 1024")
    assert code == 0, err
    assert (
        "out of memory" in rows(out)[64]
        and "out of memory" in rows(out)[1024]
        and "out of memory" not in rows(out)[32]
    )
    assert seen.count(64) == 1 and 128 not in seen
    code, _, err = project("batch-size", TINY, "--min_batch 64")
    assert (code, err) == (2, "error: --min_batch 64: not even this batch fits into the memory\n")


def test_another_error_of_the_network_stays_an_error(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(net: MLP, *inputs: Any) -> Any:
        if net.training and len(inputs[0]) > 2:
            raise RuntimeError("a bug")
        return torch.zeros(len(inputs[0]), 10)

    monkeypatch.setattr(MLP, "forward", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        project("batch-size", TINY)
