"""Optimizers train, each by its name, are fused where torch can, and continue from their saved
state bit for bit.
"""

from __future__ import annotations

import csv
import functools
import io
from pathlib import Path

import pytest
import torch
from torch import nn

import project as package
from project.engine.building.groups import GroupRule
from project.engine.building.optimizers import build_optimizer
from project.engine.errors import UserError
from project.engine.randomness import generator
from project.engine.runs.checkpoints import read, step_files
from project.engine.runs.folder import RunFolder
from project.engine.torch_names import OPTIMIZERS
from tests.conftest import Project, the_rest_slow

TINY = (
    "--run.threads 1 --run.tensorboard false --trainer.max_epochs 1 --trainer.log_every_n_steps "
    "1 --run run"
)
DIGITS = f"{TINY} --data.size 12 --data.batch_size 32 --model.net MLP --model.net.hidden [32]"
MUON = '--model.groups [{"match":"Linear.weight","optimizer":{"class_path":"Muon","init_args":{"lr":0.02}}}]'
SPARSE = '--model.groups [{"match":"Embedding.weight","optimizer":{"class_path":"SparseAdam","init_args":{"lr":0.05}}}]'
TABLE = (
    f"{TINY} --data CSVTable --data.root . --data.file table.csv --data.target answer "
    "--data.batch_size 32 --model.net MLP"
)
EMBEDDED = f"{TABLE} --model.net.hidden [16] --model.net.sparse true"

# how each is called; its rate, where torch's default is not for this task
NAMED = {
    "SGD": "--model.optimizer.lr 0.1",
    "Adam": "",
    "AdamW": "",
    "NAdam": "",
    "RAdam": "--model.optimizer.lr 0.01",
    "Adamax": "",
    "RMSprop": "--model.optimizer.lr 0.001",
    "Adagrad": "",
    "Adadelta": "",
    "ASGD": "--model.optimizer.lr 0.1",
    "Adafactor": "--model.optimizer.lr 0.02",
    "LBFGS": "--model.optimizer.lr 0.1 --data.batch_size 256",
    "Rprop": "--data.batch_size 256",
    "Muon": MUON,
    "SparseAdam": SPARSE,
}


def write_table(folder: Path) -> None:
    """Forty codes of one column and a number; the answer depends on whether the code is even."""
    rows = [f"c{i % 40},{i % 7},{'yes' if i % 40 % 2 else 'no'}" for i in range(1500)]
    (folder / "table.csv").write_text("code,number,answer\n" + "\n".join(rows) + "\n")


@pytest.mark.parametrize("name", the_rest_slow(OPTIMIZERS, "SGD", "AdamW", "Muon"))
def test_each_optimizer_cuts_the_training_loss_of_the_first_epoch(
    name: str, project: Project, tmp_path: Path
) -> None:
    write_table(tmp_path)
    own = name if name not in ("Muon", "SparseAdam") else "AdamW"
    words = EMBEDDED if name == "SparseAdam" else DIGITS
    words = words.replace("--data.batch_size 32", "") if "batch_size" in NAMED[name] else words
    code, _, err = project("fit", words, f"--model.optimizer {own}", NAMED[name])
    assert code == 0, err
    with open(tmp_path / "run/metrics.csv", newline="") as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]
    last = losses[-5:] if len(losses) > 10 else losses[-2:]
    assert sum(last) / len(last) < 0.9 * losses[0]


# ---------------------------------------------------------------------- state


class Bag(nn.Module):
    """An embedding with sparse gradients, so that SparseAdam has something to do."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(8, 3, sparse=True)

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        return self.embedding(numbers[:, 0].mul(7).long())


def made(name: str) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A network of its own kind for each optimizer, with two groups where it takes groups."""
    torch.manual_seed(0)
    net: nn.Module = Bag() if name == "SparseAdam" else nn.Linear(4, 3, bias=name != "Muon")
    factory = getattr(torch.optim, name)
    factory = (
        functools.partial(factory, lr=0.1, momentum=0.9) if name in ("SGD", "RMSprop") else factory
    )
    rules = [GroupRule("bias", lr=0.02)] if name not in ("LBFGS", "Muon", "SparseAdam") else []
    return net, build_optimizer(factory, net, rules)


def steps(net: nn.Module, optimizer: torch.optim.Optimizer, places: range) -> None:
    for place in places:
        inputs = torch.rand(6, 4, generator=generator(place))

        def closure(inputs: torch.Tensor = inputs) -> torch.Tensor:
            optimizer.zero_grad()
            loss = net(inputs).sub(1).square().mean()
            loss.backward()
            return loss

        optimizer.step(closure)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_continues_from_its_saved_state_bit_for_bit(name: str) -> None:
    net, optimizer = made(name)
    steps(net, optimizer, range(3))
    file = io.BytesIO()
    torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, file)
    steps(net, optimizer, range(3, 6))
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    other, restored = made(name)
    other.load_state_dict(saved["net"])
    restored.load_state_dict(saved["optimizer"])
    steps(other, restored, range(3, 6))
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("groups", ["", MUON], ids=["one", "several optimizers"])
def test_the_state_of_an_optimizer_is_saved_alone_and_loaded_again(
    groups: str, project: Project, tmp_path: Path
) -> None:
    code, _, err = project("fit --trainer.limit_train_batches 5", DIGITS, groups)
    assert code == 0, err
    task = package.load("run")
    torch.save(package.load_optimizer("run", task).state_dict(), "optimizer.pt")
    state = torch.load("optimizer.pt", weights_only=True)
    fresh = package.load("run").build_optimizer()
    fresh.load_state_dict(state)
    saved = read(step_files(RunFolder("run"))[0]).content["optimizer_states"][0]
    first, again = (
        found["optimizers"][0] if groups else found for found in (saved, fresh.state_dict())
    )
    assert first["state"][0]["step"] == 5
    for number, values in first["state"].items():
        assert all(torch.equal(value, again["state"][number][key]) for key, value in values.items())


def test_a_file_of_weights_alone_has_no_optimizer_and_says_where_one_is(project: Project) -> None:
    project("fit --trainer.limit_train_batches 5", DIGITS)
    with pytest.raises(UserError, match="holds no optimizer; the step"):
        package.load_optimizer("run/checkpoints/best.ckpt", package.load("run"))


# ---------------------------------------------------------------------- how they are built


@pytest.mark.parametrize(
    ("factory", "fused"),
    [(torch.optim.Adam, True), (torch.optim.SGD, True), (torch.optim.RMSprop, None)],
)
def test_an_optimizer_is_fused_where_torch_has_the_kernel(
    factory: type[torch.optim.Optimizer], fused: bool | None
) -> None:
    optimizer = build_optimizer(functools.partial(factory, lr=0.1), nn.Linear(2, 1))
    assert optimizer.param_groups[0].get("fused") is fused
    assert (
        not build_optimizer(factory, nn.Linear(2, 1), fused_allowed=False)
        .param_groups[0]
        .get("fused")
    )


def test_frozen_parameters_are_left_out() -> None:
    net = nn.Linear(2, 1)
    net.bias.requires_grad_(False)
    assert len(build_optimizer(torch.optim.Adam, net).param_groups[0]["params"]) == 1


def test_an_optimizer_that_refuses_its_arguments_is_named() -> None:
    with pytest.raises(UserError, match=r"optimizer: Invalid learning rate"):
        build_optimizer(functools.partial(torch.optim.Adam, lr=-1), nn.Linear(2, 1))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "AdamW: it does not suit the sparse gradient of inputs.embeddings.0.weight"),
        (
            "--model.optimizer SparseAdam",
            "SparseAdam: it does not suit the dense gradient of layers.0.weight",
        ),
        (f"{SPARSE} --model.optimizer LBFGS", "LBFGS stands beside no other optimizer"),
        (
            f"{SPARSE} --trainer.gradient_clip_val 1 --trainer.gradient_clip_algorithm value",
            "sparse gradients; norm it can",
        ),
        (
            f"{SPARSE} --model.net.embed_above 99",
            "--model.net.sparse: no column is embedded; --model.net.embed_above 40",
        ),
    ],
)
def test_optimizers_and_gradients_that_do_not_suit_are_one_line(
    words: str, says: str, project: Project, tmp_path: Path
) -> None:
    write_table(tmp_path)
    code, _, err = project("fit", EMBEDDED, words)
    assert (code, err.count("\n")) == (2, 1)
    assert says in err


def test_lbfgs_trains_convolutions(project: Project) -> None:
    """Their weights and gradients lie with the channels last, which it cannot flatten."""
    words = (
        "--data.size 12 --data.batch_size 512 --model.net CNN --model.net.channels [4] "
        "--model.net.hidden []"
    )
    limits = "--trainer.max_epochs 1 --run.threads 1 --run.tensorboard false"
    code, _, err = project("fit", words, limits, "--model.optimizer LBFGS")
    assert code == 0, err
