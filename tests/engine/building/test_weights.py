"""First weights: what set them and what they are like, and the weights of one run in the network of
another.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from project import load
from project.__main__ import main
from project.engine.building.weights import statistics, take_weights
from project.engine.errors import UserError
from tests.conftest import Project
from tests.engine.runs.equal import differing

TINY = (
    "--data.size 12 --data.batch_size 128 --run.threads 1 --run.tensorboard false "
    "--trainer.max_epochs 1"
)
NET = "--model.net CNN --model.net.channels [4] --model.net.hidden [8] --model.net.batch_norm true"
INIT = (
    "model: {init_args: {init: [{match: Linear.weight, init: kaiming_normal}, {match: '.*bias', "
    "init: zeros}]}}\n"
)
# A network of other data: two classes, made from the ten by a folder of pictures.
TWO_CLASSES = "--data ImageFolder --data.root two --data.size 12 --data.channels 1"


def test_statistics_are_those_of_the_numbers() -> None:
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
        layer.bias.fill_(0.5)
    assert statistics(layer)["weight"] == {
        "shape": [2, 2],
        "mean": 3.0,
        "std": 1.87083,
        "min": 1.0,
        "max": 6.0,
    }
    assert statistics(layer)["bias"] == {
        "shape": [2],
        "mean": 0.5,
        "std": 0.0,
        "min": 0.5,
        "max": 0.5,
    }


@pytest.mark.slow
def test_the_run_keeps_what_set_its_first_weights_and_what_they_were_like(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "init.yaml").write_text(INIT)
    code, _, err = project("fit --config init.yaml --run run", TINY)
    assert code == 0, err
    kept = initialised(tmp_path / "run")
    assert kept["rules"]["Linear.weight: kaiming_normal"] == [
        f"classifier.{i}.weight" for i in (0, 3, 6)
    ]
    assert len(kept["rules"][".*bias: zeros"]) == 5
    wide = kept["layers"]["classifier.0.weight"]  # 48,000 values
    assert wide["shape"] == [120, 400] and wide["std"] == pytest.approx(
        math.sqrt(2 / 400), rel=0.05
    )
    assert kept["layers"]["features.0.bias"] == {
        "shape": [6],
        "mean": 0.0,
        "std": 0.0,
        "min": 0.0,
        "max": 0.0,
    }
    project("fit --run run --trainer.max_epochs 2")
    assert initialised(tmp_path / "run") == kept, (
        "a run that continues keeps what was written at its start"
    )
    older = next((tmp_path / "run/checkpoints").glob("step-*.ckpt"))
    project("fit --trainer.max_epochs 3 --run other --ckpt_path", older)
    assert initialised(tmp_path / "other") == kept


def test_the_first_weights_are_printed_by_layer(project: Project, tmp_path: Path) -> None:
    (tmp_path / "init.yaml").write_text(INIT)
    code, out, err = project("fit --config init.yaml --print_init", TINY)
    assert code == 0, err
    lines = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert len(lines) == 10 and not (tmp_path / "runs").exists()
    assert (
        "6x1x5x5" in lines["features.0.weight"]
        and "its layer's default" in lines["features.0.weight"]
    )
    assert "Linear.weight: kaiming_normal" in lines["classifier.6.weight"]


def initialised(run: Path) -> dict[str, Any]:
    return json.loads((run / "run.json").read_text())["initialised"]


# ---------------------------------------------------------------------- weights of another run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run on ten classes, `ten`, and pictures of two, `two/`."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("place")
    assert main([*f"fit {TINY} {NET} --run".split(), str(folder / "ten")]) == 0
    for number in range(40):
        path = folder / "two" / ("dark", "light")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (12, 12), 40 + 150 * (number % 2) + number % 7).save(path)
    return folder


def fit_two(project: Project, place: Path, *words: object) -> tuple[int, str, str]:
    data = TWO_CLASSES.replace("two", str(place / "two"))
    return project(
        "fit --data.batch_size 8 --run.threads 1 --run.tensorboard false --trainer.max_epochs 1",
        NET,
        data,
        *words,
    )


def test_the_weights_of_ten_classes_begin_a_network_for_two(
    project: Project, place: Path, tmp_path: Path
) -> None:
    frozen = "--model.optimizer SGD --model.optimizer.lr 1e-12"
    code, _, err = fit_two(
        project, place, "--run new", frozen, "--weights", place / "ten", "--fresh classifier.3.*"
    )
    assert code == 0, err
    old, new = (
        torch.load(run / "checkpoints/best.ckpt", weights_only=True)
        for run in (place / "ten", tmp_path / "new")
    )
    for name in ("features.0.weight", "features.1.weight", "classifier.0.weight"):
        torch.testing.assert_close(
            new["state_dict"][f"net.{name}"], old["state_dict"][f"net.{name}"], rtol=1e-5, atol=1e-7
        )
    assert new["state_dict"]["net.classifier.3.weight"].shape == (2, 8)
    rules = initialised(tmp_path / "new")["rules"]
    assert len(rules[f"--weights {place / 'ten'}"]) == 6 and not any(
        "classifier.3.weight" in names for names in rules.values()
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            "",
            "classifier.3.weight is (2, 8) in it and (10, 8) in them; --fresh 'classifier.3.*' "
            "leaves that out",
        ),
        (
            "--fresh features.*",
            "classifier.3.weight is (2, 8) in it and (10, 8) in them; --fresh "
            "'features.*|classifier.3.*'",
        ),
        ("--fresh head.*", "--fresh: 'head.*' takes no parameter"),
        ("--fresh (", "--fresh: '(' is not a regular expression"),
        (
            "--model.net.hidden [] --fresh classifier.0.*",
            "they have classifier.1.weight (8,), it does not; --fresh 'classifier.0",
        ),
    ],
)
def test_weights_that_do_not_fit_say_which_and_the_way_out(
    words: str, says: str, project: Project, place: Path
) -> None:
    net = NET.replace("--model.net.hidden [8]", "") if "hidden" in words else NET
    data = TWO_CLASSES.replace("two", str(place / "two"))
    code, _, err = project(f"fit --run.threads 1 {net} {data} --weights {place / 'ten'} {words}")
    assert (code, err.count("\n")) == (2, 1)
    assert says in err


def test_fresh_without_weights_is_one_line(project: Project) -> None:
    code, _, err = project("fit --fresh classifier.*", TINY)
    assert (code, "there is no --weights" in err) == (2, True)


def test_a_layer_that_starts_anew_has_statistics_of_its_own_and_follows_the_rules() -> None:
    def made(value: float) -> nn.Module:
        net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        for tensor in net.state_dict().values():
            tensor.fill_(value)
        return net

    net, other = made(1), made(2)
    taken = take_weights(net, other.state_dict(), "BatchNorm1d.*", "weights")
    assert taken == ["0.weight", "0.bias"]
    assert (
        net[0].weight.unique() == 2
        and net[1].weight.unique() == 1
        and net[1].running_var.unique() == 1
    )  # type: ignore[index]
    with pytest.raises(UserError, match=r"they have 2\.extra"):
        take_weights(made(1), other.state_dict() | {"2.extra": torch.ones(1)}, None, "weights")
    take_weights(made(1), other.state_dict() | {"2.extra": torch.ones(1)}, "2.*|1.*", "weights")


def test_a_plain_state_dict_begins_a_run_like_the_run_it_came_from(
    project: Project, tmp_path: Path
) -> None:
    project("fit --run first", TINY, NET)
    net = load(tmp_path / "first").net
    torch.save(net.state_dict(), "net.pth")
    torch.save(net, "whole.pth")
    torch.save({"epoch": 3, "lr": 0.1}, "other.pth")
    code, _, err = project("fit --weights first --run run", TINY, NET)
    assert code == 0, err
    code, _, err = project("fit --weights net.pth --run plain", TINY, NET)
    assert code == 0, err
    assert differing(tmp_path / "run", tmp_path / "plain") == []
    for name, what in {
        "whole.pth": "more than tensors",
        "other.pth": "not written by a run",
    }.items():
        code, _, err = project(f"fit --weights {name} --run refused", TINY, NET)
        assert (code, len(err.splitlines()), what in err) == (2, 1, True), err
        assert not Path("refused").exists()
