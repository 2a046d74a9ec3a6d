"""A config and a checkpoint make classes in slots alone, of the slot's base, and run nothing else."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import itertools
import json
import os
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from project.__main__ import main
from project.engine.cli.classes import SLOTS, slot_at
from project.engine.cli.parser import ProjectCLI
from project.engine.cli.settings import Settings, from_tree
from project.engine.cli.signatures import annotation, takes_code
from project.engine.errors import UserError
from project.engine.registry import ENGINE
from tests.conftest import Project, the_rest_slow
from tests.engine.cli.hostile import TEXTS, TREES

TINY = (
    "--data.size 8 --model.net MLP --model.net.hidden [4] --trainer.max_epochs 1 --run.threads 1 "
    "--run.tensorboard false --run.report false"
)
MAKES_A_FILE = f"{ENGINE}.sweeps.storage.JournalFile"


def loss(**arguments: Any) -> dict[str, Any]:
    """A loss with an argument typed Any, in which a class is named."""
    arguments = {"d_model": 8, "nhead": 1, **arguments}
    return {"model": {"loss": {"class_path": "torch.nn.Transformer", "init_args": arguments}}}


def within(module: str, **arguments: Any) -> dict[str, Any]:
    return {"class_path": module, "init_args": arguments}


HOSTILE: dict[str, dict[str, Any]] = {
    "import anything": loss(
        custom_encoder=within(
            "lightning.fabric.plugins.precision.utils._ClassReplacementContextManager",
            mapping={"evilmod.X": "torch.nn.Linear"},
        )
    ),
    "write anywhere": loss(custom_encoder=within(MAKES_A_FILE, path="elsewhere/j.log")),
    "a class in a list": loss(activation=[within(MAKES_A_FILE, path="elsewhere/j.log")]),
    "a class in a dictionary": loss(
        custom_decoder={"deep": within(MAKES_A_FILE, path="elsewhere/j.log")}
    ),
    "a class of the engine as a loss": {"model": {"loss": within(MAKES_A_FILE, path="x/j.log")}},
    "a class of the engine as a callback": {
        "trainer": {"callbacks": [within(MAKES_A_FILE, path="elsewhere/j.log")]}
    },
    "as a plugin": {"trainer": {"plugins": [within(MAKES_A_FILE, path="elsewhere/j.log")]}},
    "as a profiler": {"trainer": {"profiler": within(MAKES_A_FILE, path="elsewhere/j.log")}},
    "as data": {"data": within(MAKES_A_FILE, path="elsewhere/j.log")},
    "as an augmentation": {
        "data": within("Digits", augment=[within(MAKES_A_FILE, path="elsewhere/j.log")])
    },
    "as a network": {"model": {"net": within(MAKES_A_FILE, path="elsewhere/j.log")}},
    "as a schedule": {"model": {"schedule": within(MAKES_A_FILE, path="elsewhere/j.log")}},
    "a function by its path": {
        "model": {
            "loss": within(
                "torch.nn.TripletMarginWithDistanceLoss",
                distance_function="lightning.fabric.utilities.cloud_io._load",
            )
        }
    },
    "a function of the system": {
        "model": {
            "loss": within("torch.nn.TripletMarginWithDistanceLoss", distance_function="os.system")
        }
    },
    "a factory of data set items": {
        "data": within("torchvision.datasets.ImageFolder", root="elsewhere")
    },
    "a class in an option of the run": {"run": {"root": within(MAKES_A_FILE, path="x/j.log")}},
    "a private class": {"model": {"loss": "torch.nn.modules.loss._Loss"}},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    run = tmp_path_factory.mktemp("whole") / "base"
    assert main([*f"fit {TINY} --run".split(), str(run)]) == 0
    return run


@pytest.fixture
def base(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "base")


@pytest.fixture(autouse=True)
def evil_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evilmod.py").write_text("open('imported', 'w')\nclass X: pass\n")
    monkeypatch.syspath_prepend(tmp_path)


class Watch:
    """What a process does that a config must not make it do: the audit events of Python."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.allowed: tuple[str, ...] | None = None  # where files may be written, while it watches
        sys.addaudithook(self)  # for the life of the process: Python has no way to take it back

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.allowed is None:
            return
        if event in ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "pty.spawn"):
            # jsonargparse looks for the stubs of types; a run notes its commit
            if not any(own in str(arguments) for own in ("json.dumps(sys.path)", "'git'")):
                self.seen.append(f"{event} {arguments}")
        elif event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "urllib.Request"):
            self.seen.append(f"{event} {arguments[1:]}")
        elif event == "import" and arguments[0] == "evilmod":
            self.seen.append("import evilmod")
        elif event == "open" and isinstance(arguments[0], str):
            path, mode, flags = arguments
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) or set(mode or "") & set("wax+")
            if writes and not str(Path(path).resolve()).startswith(self.allowed):
                self.seen.append(f"writes {path}")

    @contextlib.contextmanager
    def over(self, *allowed: str) -> Iterator[list[str]]:
        self.seen, self.allowed = [], (*allowed, "/dev/null")
        try:
            yield self.seen
        finally:
            self.allowed = None


@pytest.fixture(scope="module")
def watch() -> Watch:
    return Watch()


def nothing_happened(folder: Path) -> bool:
    made = [name for name in ("elsewhere", "x", "imported", "runs") if (folder / name).exists()]
    return not made and "evilmod" not in sys.modules


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_config_is_one_line_and_nothing_happens(
    name: str, project: Project, tmp_path: Path
) -> None:
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(HOSTILE[name]))
    for command in ("fit", "show"):
        code, _, err = project(command, "--config c.yaml")
        assert code == 2 and err.count("\n") == 1 and len(err) < 600, err
        assert nothing_happened(tmp_path)


OURS = {name: yaml.safe_dump(tree, sort_keys=False) for name, tree in TREES.items()} | TEXTS


@pytest.mark.parametrize("name", OURS)
def test_no_config_runs_imports_connects_or_writes_outside_its_run(
    name: str, project: Project, tmp_path: Path, watch: Watch
) -> None:
    (tmp_path / "c.yaml").write_text(OURS[name])
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Evil()))
    for command in ("show", "fit"):
        with watch.over(str(tmp_path / "runs"), str(tmp_path / "show.png")) as seen:
            code, _, err = project(command, "--config c.yaml", TINY if command == "fit" else "")
        assert not seen and "evilmod" not in sys.modules
        assert code in (0, 2) and "Traceback" not in err and len(err) < 1000, err
        known = {"c.yaml", "evil.pt", "evilmod.py", "runs", "show.png"}
        assert {path.name for path in tmp_path.iterdir()} <= known


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch elsewhere",)


@pytest.mark.parametrize("name", the_rest_slow(HOSTILE, "import anything", "as a plugin"))
def test_the_same_in_a_checkpoint_is_one_line_too(
    name: str, base: Path, project: Project, tmp_path: Path
) -> None:
    for path in (tmp_path / "base/checkpoints").glob("*.ckpt"):
        content = torch.load(path, weights_only=True)
        tree = yaml.safe_load(content["config"])
        for group, value in HOSTILE[name].items():
            node = tree[group]["init_args"] if "init_args" in tree[group] else tree[group]
            if "class_path" in value:
                tree[group] = value
            else:
                node.update(value)
        content["config"] = yaml.safe_dump(tree)
        torch.save(content, path)
    for words in ("test --ckpt_path base", "predict --ckpt_path base", "fit --run base"):
        code, _, err = project(words)
        assert code == 2 and err.count("\n") == 1, (words, err)
        assert nothing_happened(tmp_path)


@pytest.mark.parametrize("path", ["run.root", "data.root", "model.monitor", "trainer.max_epochs"])
def test_a_plain_setting_is_no_slot(path: str) -> None:
    assert slot_at(tuple(path.split("."))) is None


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "another shape": lambda state: [
        kept.update(exp_avg=torch.zeros(3), exp_avg_sq=torch.zeros(3))
        for kept in state["state"].values()
    ],
    "one parameter more": lambda state: state["param_groups"][0]["params"].append(99),
    "no groups": lambda state: state.update(param_groups=[]),
    "groups of another kind": lambda state: state.update(param_groups=[3]),
    "a state that is no dictionary": lambda state: state.update(state=[1]),
    "a parameter that is not there": lambda state: state["state"].update(
        {77: {"exp_avg": torch.zeros(2)}}
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_optimizer_states_that_do_not_fit_are_refused_before_they_are_taken(
    name: str, base: Path, project: Project, tmp_path: Path
) -> None:
    newest = max((tmp_path / "base/checkpoints").glob("step-*.ckpt"))
    content = torch.load(newest, weights_only=True)
    CHANGES[name](content["optimizer_states"][0])
    torch.save(content, newest)
    code, _, err = project("fit --run base --trainer.max_epochs 2")
    assert code == 2 and "the optimizer's state in the checkpoint does not fit" in err


def test_a_name_that_looks_like_a_date_is_a_name(project: Project, tmp_path: Path) -> None:
    code, _, err = project("fit", TINY, "--name 2024-04-12")
    assert (code, err) == (0, "")
    described = json.loads((tmp_path / "runs/2024-04-12/000/run.json").read_text())
    assert described["overrides"]["name"] == "2024-04-12"


# ---------------------------------------------------------------------- the kind, not the input


def classes_of_slots() -> Iterator[tuple[str, type]]:
    """Every class that a slot takes by a short name or from its modules, and those of the tables."""
    for _, slot in SLOTS:
        base = load(slot.base)
        found = [load(path) for path, _ in slot.table.values()]
        for module in map(importlib.import_module, slot.modules):
            found += [value for name, value in vars(module).items() if name[0].isupper()]
        for owner in found:
            if isinstance(owner, type) and issubclass(owner, base):
                yield slot.kind, owner


def load(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def open_arguments() -> list[tuple[str, str, str]]:
    """(kind, class, argument) of every argument that could be anything, a function or a class."""
    rows = []
    for kind, owner in classes_of_slots():
        for name, parameter in inspect.signature(owner).parameters.items():
            hint = annotation(owner, name)
            anything = hint in (Any, object, inspect.Parameter.empty)
            if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                continue
            if anything or takes_code(hint) or "Any" in str(hint):
                rows.append((kind, f"{owner.__module__}.{owner.__qualname__}", name))
    return sorted(set(rows))


CODE = {  # what such an argument is given: a class that writes a file, a function of the system
    "a class": {"class_path": MAKES_A_FILE, "init_args": {"path": "elsewhere/j.log"}},
    "a function": "os.system",
}
KEY_OF = {
    "loss": ("model", "loss"),
    "optimizer": ("model", "optimizer"),
    "schedule": ("model", "schedule"),
    "network": ("model", "net"),
    "augmentation": ("data", "augment"),
    "callback": ("trainer", "callbacks"),
    "logger": ("trainer", "logger"),
    "class": ("trainer", "profiler"),
}


@pytest.mark.slow
def test_no_open_argument_of_any_class_makes_or_calls_anything(tmp_path: Path) -> None:
    rows = [row for row in open_arguments() if row[0] in KEY_OF]
    assert len(rows) > 30, "there are such arguments"
    made = []
    for (kind, path, name), code in itertools.product(rows, CODE):
        value: Any = {"class_path": path, "init_args": {name: CODE[code]}}
        group, key = KEY_OF[kind]
        tree = {group: {key: [value] if key in ("callbacks", "logger", "augment") else value}}
        settings = Settings()
        try:
            settings.add(from_tree(tree, "c.yaml"))
            cli = ProjectCLI(settings, seeds=False)
            if kind in ("callback", "logger", "class", "loss", "augmentation"):
                cli.build()
        except UserError:
            continue
        finally:
            assert nothing_happened(tmp_path), (path, name, code)
        made.append((path, name, code))
    taken = {code for _, _, code in made}
    assert taken <= {"a function"}, made  # as plain texts, which nobody calls
