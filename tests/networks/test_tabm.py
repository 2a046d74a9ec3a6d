"""Tables: numbers in three ways, many members that are trained each by itself and answer together."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from project.engine.spec import DataSpec
from project.networks.columns import BINS, Periodic, Piecewise
from project.networks.mlp import MLP
from project.networks.tabm import TabM
from tests.conftest import Project
from tests.engine.runs.equal import differing


def table(target: str = "class", outputs: int = 3) -> DataSpec:
    names = tuple("abc"[: max(outputs, 2)]) if target == "class" else ("price",)
    return DataSpec(
        inputs=((4,),),
        outputs=outputs,
        target=target,
        names=names,
        columns=("age", "fare", "deck", "town"),
        cardinalities=(4, 40),
    )


def rows(count: int = 50) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    numbers = torch.randn(count, 2, generator=draw)
    codes = [torch.randint(0, n, (count, 1), generator=draw) for n in (4, 40)]
    return torch.cat([numbers, *codes], 1)


def test_piecewise_shares_say_how_far_a_number_has_come() -> None:
    shown = Piecewise(1)
    shown.place(torch.arange(0.0, BINS + 1).unsqueeze(1))
    shown.weight.data.copy_(torch.eye(BINS)[:, : shown.weight.shape[2]].unsqueeze(0))
    shown.bias.data.zero_()
    found = shown(torch.tensor([[2.25], [-1.0], [20.0]]))[:, 0]
    assert found[0, :4].tolist() == [1, 1, 0.25, 0]
    assert found[1, :2].tolist() == [-1, 0], "below the first edge the line goes on"
    assert found[2].tolist() == [1] * shown.weight.shape[2]


def test_a_column_of_few_values_has_no_bin_of_no_width() -> None:
    shown = Piecewise(1)
    shown.place(torch.tensor([[0.0], [0.0], [0.0], [1.0]] * 20))
    assert shown(torch.tensor([[0.0], [1.0], [7.0]])).isfinite().all()


def test_a_column_that_is_mostly_zero_keeps_its_other_values_apart() -> None:
    shown = Piecewise(1)
    column = torch.cat([torch.zeros(960), torch.linspace(1, 2, 40)])
    shown.place(column.unsqueeze(1))
    edges = shown.edges[0].unique()
    assert (edges > 0).sum() == BINS and (edges == 0).sum() == 1
    shown.place(torch.full((20, 1), 3.0))
    assert shown(torch.tensor([[3.0], [9.0]])).isfinite().all()


def test_periodic_numbers_are_waves() -> None:
    shown = Periodic(2)
    numbers = torch.randn(5, 2)
    moved = numbers.clone()
    moved[:, 0] += 3
    assert shown(numbers).shape == (5, 2, 16)
    assert torch.equal(shown(numbers)[:, 1], shown(moved)[:, 1])


@pytest.mark.parametrize("numbers", ["plain", "periodic", "piecewise"])
@pytest.mark.parametrize("net", [MLP, partial(TabM, members=4)], ids=["MLP", "TabM"])
def test_each_way_of_numbers_fits_each_network(net: type, numbers: str) -> None:
    network = net(table(), hidden=(8,), numbers=numbers)
    assert network.wants_a_look == (numbers == "piecewise")
    network.first_look(rows())
    assert network.eval()(rows()).shape == (50, 3)


def test_members_are_trained_each_by_itself_and_answer_together() -> None:
    network = TabM(table(), hidden=(8,), members=5, dropout=0.0)
    with torch.no_grad():
        apart = network.train()(rows()).reshape(50, 5, 3)
        together = network.eval()(rows())
    assert torch.allclose(together.exp(), apart.softmax(2).mean(1), atol=1e-6)
    assert float((apart[:, 0] - apart[:, 1]).abs().max()) > 1e-3, "they differ from the start"


@pytest.mark.parametrize(("target", "outputs"), [("class", 1), ("number", 1)])
def test_yes_and_no_and_numbers_are_averaged_too(target: str, outputs: int) -> None:
    network = TabM(table(target, outputs), hidden=(8,), members=5, dropout=0.0)
    apart = network.train()(rows()).reshape(50, 5, 1)
    together = network.eval()(rows())
    if target == "number":
        assert torch.allclose(together, apart.mean(1), atol=1e-6)
    else:
        assert torch.allclose(together.sigmoid(), apart.sigmoid().mean(1), atol=1e-6)


def test_a_member_has_the_gradient_of_its_own_loss() -> None:
    network = TabM(table("number", 1), hidden=(8,), members=3, dropout=0.0).train()
    answers, targets = network(rows()), torch.zeros(150, 1)
    torch.nn.functional.mse_loss(answers, targets).backward()
    by_member = answers.detach().reshape(50, 3, 1).mean(0).squeeze(1) * 2 / 3
    assert network.biases.grad is not None
    assert torch.allclose(network.biases.grad.squeeze(1), by_member, atol=1e-6)


@pytest.fixture
def written(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    lines = ["x,gaps,letter,y,n"]
    for i, a in enumerate(draw.normal(size=300)):
        gap = "" if i % 9 == 0 else i % 5
        lines.append(f"{a:.3f},{gap},{'abc'[i % 3]},{'yes' if a > 0 else 'no'},{3 * a + 1:.3f}")
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")


RUNS = {
    "classes": "--data.target y --data.drop [n]",
    "numbers": "--data.target n --data.drop [y] --model Regression --model.net.numbers periodic",
}


@pytest.mark.parametrize("name", RUNS)
def test_it_learns_continues_exactly_and_is_exported(
    name: str, written: None, project: Project
) -> None:
    words = (
        f"fit --data CSVTable --data.root . --data.file t.csv {RUNS[name]} --model.net TabM "
        "--model.net.hidden [32] --model.net.members 4 --model.optimizer.lr 0.02 "
        "--trainer.max_epochs 8 --data.batch_size 32 --run.threads 1 --run.tensorboard false "
        "--run.save_every 20"
    )
    code, _, err = project(words, "--run whole")
    assert (code, err) == (0, "")
    _, out, _ = project("test --ckpt_path whole")
    value = float(out.split("test/accuracy" if name == "classes" else "test/r2")[1].split()[0])
    assert value > 0.9
    newest = sorted(Path("whole/checkpoints").glob("step-*.ckpt"))[0]
    assert project(f"fit --ckpt_path {newest} --run again")[0] == 0
    # of the first half it has not seen the validations, among which the best may be
    assert {*differing(Path("whole"), Path("again"))} <= {"best.ckpt"}


MISTAKES = {
    "--data.size 8 --model.net TabM": "TabM is for tables, the data gives 1x8x8",
    "--data.size 8 --model.net MLP --model.net.numbers periodic": "the data has no columns of numb",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_what_is_no_table_is_one_line(words: str, project: Project) -> None:
    code, _, err = project("fit", words)
    assert (code, err.count("\n")) == (2, 1) and MISTAKES[words] in err
