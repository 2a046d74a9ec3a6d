"""`show` prints a table of any data and draws its first batch as the network will see it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from project.data.digits import Digits
from project.engine.reports.data import first_batch
from project.engine.targets import TARGETS
from tests.conftest import REPOSITORY, Project
from tests.fakes import write_data

CONFIGS = {
    "lenet": ["1x28x28", "class   train   val   test", "0         125    18     35", "fit mean"],
    "adult": ["column", "category", "number", ">50K"],
    "lessons/segmentation_folder": ["target mask", "road+pavement"],
    "lessons/strings": ["target sequence", "4,000"],
    "lessons/two_inputs": ["inputs"],
}


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS)
def test_the_data_of_a_config_is_a_table_and_a_picture(
    config: str, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_data(tmp_path / "data", monkeypatch)
    words = "--data.strings 4000 --data.evaluated 20" if config.endswith("strings") else ""
    code, out, err = project(
        ["show", "--config", str(REPOSITORY / f"configs/{config}.yaml")], words, "--run.threads 1"
    )
    assert (code, err) == (0, "")
    assert [text for text in CONFIGS[config] if text not in out] == []
    assert out.splitlines()[-1] == "show.png" and max(map(len, out.splitlines())) <= 80
    with Image.open("show.png") as image:
        assert image.width > 600 and len(image.convert("RGB").getcolors(1 << 20) or []) > 10


def test_the_batch_is_that_of_training() -> None:
    torch.manual_seed(0)
    data = Digits(size=12, augment=[], batch_size=8)
    data.setup("fit")
    before, after = first_batch(data)
    assert before.inputs.dtype == torch.uint8 and after.inputs.dtype == torch.float32  # type: ignore[union-attr]
    mean, std = torch.tensor(data.preprocessing["mean"]), torch.tensor(data.preprocessing["std"])
    torch.testing.assert_close(after.inputs, (before.inputs / 255 - mean) / std)  # type: ignore[operator]
    assert torch.equal(before.targets, after.targets)


@pytest.mark.parametrize(
    "shares, title", [([0.0, 1.0], "b"), ([0.3, 0.7], "b 0.70 + a 0.30"), ([0.999, 0.001], "a")]
)
def test_blended_classes_are_told_with_their_shares(shares: list[float], title: str) -> None:
    assert TARGETS["class"].text(("a", "b"), torch.tensor(shares)) == title


MISTAKES = {
    "show --output a.xyz --data.size 8": "--output a.xyz: Format 'xyz' is not supported",
    "show --data Digitss": "did you mean Digits",
    "show --run x": "--run does not belong to show",
    "show --data CSVTable --data.root nowhere": "--data.root nowhere",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_wrong_word_is_one_line(words: str, project: Project) -> None:
    code, _, err = project(words)
    assert MISTAKES[words] in err and (code, err.count("\n")) == (2, 1)
