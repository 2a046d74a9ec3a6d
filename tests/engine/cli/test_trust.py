"""A config names classes of packages that pyproject.toml trusts, and of no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from project.engine import registry
from tests.conftest import READ_TRUST, Project

TINY = "--data.size 8 --trainer.max_epochs 1 --run.threads 1 --run.tensorboard false"
LAB = """
from torch import Tensor, nn

from project.engine import DataSpec, Network


class Linear(Network):
    def __init__(self, spec: DataSpec) -> None:
        super().__init__(spec)
        self.layer = nn.Linear(64, spec.outputs)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.flatten(1))
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mylab.py").write_text(LAB)
    monkeypatch.syspath_prepend(tmp_path)


def test_a_trusted_package_is_used_by_fit_test_and_sweeps(
    lab: None, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "trusted", lambda: ("mylab",))
    assert project("fit --model.net mylab.Linear --run run", TINY)[0] == 0
    code, out, err = project("test --ckpt_path run")
    assert (code, err) == (0, "") and "test/loss" in out
    code, out, err = project(
        "sweep --name s --space.model.net [mylab.Linear,MLP] --run.report false", TINY
    )
    assert (code, err) == (0, ""), out


def test_one_that_is_not_trusted_is_named_with_the_line_that_trusts_it(
    lab: None, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = project("fit --model.net mylab.Linear", TINY)
    assert code == 2 and "'mylab.Linear' may not be imported" in err
    assert 'below [tool.project]: trust = ["mylab"]' in err
    monkeypatch.setattr(registry, "trusted", lambda: ("mylab",))
    assert project("fit --model.net mylab.Linear --run run", TINY)[0] == 0
    monkeypatch.setattr(registry, "trusted", tuple)
    code, _, err = project("test --ckpt_path run")
    assert code == 2 and 'trust = ["mylab"]' in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ()),
        ("[tool.project]\n", ()),
        ('[tool.project]\ntrust = ["mylab", "timm"]\n', ("mylab", "timm")),
        ('[tool.project]\ntrust = "mylab"\n', None),
    ],
)
def test_trust_is_read_from_pyproject_beside_the_package(
    text: str, found: tuple[str, ...] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    monkeypatch.setattr(registry, "__file__", str(tmp_path / "birds" / "engine" / "registry.py"))
    if found is None:
        with pytest.raises(registry.UserError, match="trust is a list of packages"):
            READ_TRUST()
    else:
        assert READ_TRUST() == found
