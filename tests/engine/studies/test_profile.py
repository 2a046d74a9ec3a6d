"""`profile` says where the time of a step goes, and leaves nothing but its picture."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from project.engine.studies.profile import PARTS, advice, parts_of
from tests.conftest import Project

TINY = "--data.size 8 --model.net MLP --model.net.hidden [8] --run.threads 1 --steps 20"


@pytest.mark.parametrize("batch", ["64", "512"], ids=["long epochs", "short epochs"])
def test_the_parts_make_up_the_step(batch: str, project: Project) -> None:
    code, out, err = project("profile", TINY, f"--data.batch_size {batch} --output p.png")
    assert code == 0, err
    rows = {name: float(ms) for name, ms in re.findall(r"^(\w+) +([\d.]+) +\d+ %", out, re.M)}
    assert list(rows) == list(PARTS)
    whole = float(re.search(r"whole +([\d.]+) ms", out)[1])  # type: ignore[index]
    assert sum(rows.values()) > 0.9 * whole
    assert "aten::" in out and "change    " in out
    assert [path.name for path in Path().iterdir() if path.name != "cache"] == ["p.png"]
    with Image.open("p.png") as picture:
        assert picture.size[0] > 400


def test_what_is_inside_another_part_counts_once() -> None:
    strategy = "[Strategy]SingleDeviceStrategy"
    seconds = {
        f"{strategy}.training_step": 2.0,
        f"{strategy}.backward": 3.0,
        "[Callback]A.on_before_backward": 0.5,
        "[LightningModule]Classification.optimizer_step": 7.0,
        "[LeanEpochLoop].train_dataloader_next": 0.25,
        "[Callback]A.on_train_batch_end": 1.0,
    }
    parts = parts_of(
        {name: [99.0] * 10 + [value] * 5 for name, value in seconds.items()}, "Classification"
    )
    assert parts["forward"] == 2.0 and parts["backward"] == 2.5 and parts["read"] == 0.25
    assert parts["optimizer"] == pytest.approx(7 - 2 - 2.5 - 0.5)
    assert parts["records"] == pytest.approx(1.5)


ADVICE = {
    "optimizer": "torch fuses",
    "records": "log_every_n_steps",
    "framework": "larger --data.batch_size",
    "forward": "the network itself",
}


@pytest.mark.parametrize("part", ADVICE)
def test_the_largest_part_is_what_is_to_be_changed(part: str) -> None:
    class CLI:
        datamodule = None

    shares = dict.fromkeys(PARTS, 0.01) | {part: 0.94}
    assert ADVICE[part] in " ".join(advice(shares, CLI))  # type: ignore[arg-type]
