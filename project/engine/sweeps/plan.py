"""What a sweep is to do: read from its files and its command line. A sweep's file is a config with
a few keys more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..cli.arguments import CommandLine, config_text, read_config
from ..cli.settings import Settings, from_assignments, from_tree
from ..cli.yamltext import read_yaml
from ..errors import UserError, clip
from ..runs.files import available_cores
from .choices import Choice, read_choice, rehearse
from .space import Space, read_space

KEYS = (
    "config",
    "space",
    "sampler",
    "trials",
    "seeds",
    "workers",
    "pruner",
    "monitor",
    "direction",
    "storage",
)
DIRECTIONS = ("minimize", "maximize")
# Columns of epochs.csv that no task reports but a sweep may look at.
CLOCKS = {"epoch_seconds": "minimize", "run_seconds": "minimize", "samples_per_second": "maximize"}


@dataclass
class Plan:
    """A sweep as it was asked for."""

    name: str
    settings: Settings  # what every trial has in common
    space: Space
    sampler: Choice
    pruner: Choice
    trials: int
    seeds: int = 1
    workers: int = 1
    monitor: str | None = None
    direction: str | None = None
    storage: str | None = None
    sampler_seed: int = 0
    origins: dict[str, str] = field(default_factory=dict)

    @property
    def is_grid(self) -> bool:
        return self.sampler.name == "grid"

    @property
    def folder(self) -> Path:
        run = self.settings.tree.get("run")
        return Path(str((run if isinstance(run, dict) else {}).get("root", "runs"))) / self.name

    @property
    def seed(self) -> int:
        """The first of the seeds, as `fit` would take it."""
        return int(self.settings.tree.get("seed_everything", 0))

    @property
    def threads(self) -> int:
        """CPU threads of a trial: as asked for, or the cores divided among the workers."""
        run = self.settings.tree.get("run") or {}
        return int(run.get("threads") or max(1, available_cores() // self.workers))

    def base(self) -> str:
        """The settings of every trial as a config file."""
        return config_text(self.settings.tree)


def read_plan(request: CommandLine) -> Plan:
    """The plan of a command line: the command line over the files, a file over those that its
    `config` names.

    Raises:
        UserError: a key or a value that no sweep has.
    """
    own, origins, settings = read_layers(request)

    def say(key: str) -> str:
        return origins.get(key, f"--{key}")

    space = read_space(own.get("space"), lambda key: say(f"space.{key}") if key else say("space"))
    size = space.size()
    sampler = read_choice("sampler", own.get("sampler"), "grid" if size else "tpe", say("sampler"))
    if sampler.name == "grid" and size is None:
        free = next(p for p in space.parameters if not p.every())
        raise UserError(
            f"{free.where}: a grid needs values or a step; --sampler tpe or random draws from "
            "ranges"
        )
    trials = (
        read_number(own.get("trials"), say("trials")) if own.get("trials") is not None else None
    )
    if sampler.name == "grid" and trials is not None and size is not None and trials > size:
        raise UserError(
            f"{say('trials')}: {trials} trials of a grid of {size}; leave it out for all of them"
        )
    if trials is None and sampler.name != "grid":
        raise UserError(
            f"{say('trials')}: the {sampler.name} sampler has no end of its own; --trials 30 "
            "tries 30"
        )
    sampler_seed = sampler.arguments.pop("seed", 0)
    if sampler.name not in ("grid", "random", "tpe"):
        rehearse(sampler, space)
    if own.get("direction") is not None and own["direction"] not in DIRECTIONS:
        raise UserError(
            f"{say('direction')}: expected one of {', '.join(DIRECTIONS)}, got "
            f"{clip(own['direction'])!r}"
        )
    seeds = read_number(own.get("seeds", 1), say("seeds"))
    if seeds > 1 and any(parameter.key == "seed_everything" for parameter in space.parameters):
        raise UserError(f"{say('seeds')}: the space varies seed_everything; keep one of the two")
    for key in ("monitor", "storage"):
        if not isinstance(own.get(key), str | None):
            raise UserError(f"{say(key)}: expected text, got {clip(own[key])!r}")
    trainer = settings.tree.setdefault("trainer", {})
    if isinstance(trainer, dict):
        trainer.setdefault(
            "devices", 1
        )  # all of them would be one trial that starts the whole sweep on each
    name = str(settings.tree.pop("name"))
    if name in (".", "..") or "/" in name or "\\" in name or ":" in name:
        raise UserError(
            f"--name {clip(name)!r}: it names a folder under --run.root, so it has no slash"
        )
    return Plan(
        name=name,
        settings=settings,
        space=space,
        sampler=sampler,
        pruner=read_choice("pruner", own.get("pruner"), "none", say("pruner")),
        trials=trials or size or 0,
        seeds=seeds,
        workers=read_number(own.get("workers", 1), say("workers")),
        monitor=own.get("monitor"),
        direction=own.get("direction"),
        storage=own.get("storage"),
        sampler_seed=sampler_seed,
        origins=origins,
    )


def read_layers(request: CommandLine) -> tuple[dict[str, Any], dict[str, str], Settings]:
    """A sweep's own keys, where each was written, and the settings of fit."""
    own: dict[str, Any] = {}
    origins: dict[str, str] = {}
    settings = Settings()
    stem = ""
    for path in request.configs:
        tree = read_yaml(read_config(path), str(path))
        found = {key: tree.pop(key) for key in KEYS if key in tree}
        stem = stem or (
            path.stem if found else f"{path.stem}-sweep"
        )  # runs/lenet belongs to the runs of lenet.yaml
        bases = found.pop("config", None) or []
        for base in [bases] if isinstance(bases, str) else bases:
            beside = path.parent / str(base)
            layer = from_tree(read_yaml(read_config(beside), str(beside)), str(beside))
            layer.tree.pop("name", None)
            settings.add(layer)
        settings.add(from_tree(tree, str(path)))
        for key, value in found.items():
            _lay(own, origins, key, value, str(path))
    given: dict[str, Any] = {}
    rest = []
    for key, text in request.assignments:
        top, _, below = key.partition(".")
        if top not in KEYS:
            rest.append((key, text))
        elif top == "space":
            given.setdefault("space", {})[below] = _value(text, key)
        elif top in ("sampler", "pruner"):
            choice = given.setdefault(top, {"init_args": {}})
            if below:
                choice["init_args"][below] = _value(text, key)
            else:
                choice["class_path"] = text
        else:
            given[top] = text if top in ("monitor", "storage") else _value(text, key)
    for key, value in given.items():
        _lay(own, origins, key, value, None)
    settings.add(from_assignments(rest))
    settings.tree.setdefault("name", stem or "sweep")
    return own, origins, settings


def _lay(
    own: dict[str, Any], origins: dict[str, str], key: str, value: Any, source: str | None
) -> None:
    """Put a key of a later place over the earlier ones, and note where it was written."""

    def note(name: str) -> None:
        origins[name] = f"{source}: {name}" if source else f"--{name}"

    note(key)
    if key == "space" and isinstance(value, dict):
        for name in value:
            note(f"space.{name}")
        own[key] = (own.get(key) or {}) | value
    elif (
        isinstance(value, dict)
        and "class_path" not in value
        and isinstance(own.get(key), str | dict)
    ):
        before = own[key] if isinstance(own[key], dict) else {"class_path": own[key]}
        own[key] = before | {
            "init_args": (before.get("init_args") or {}) | (value.get("init_args") or {})
        }
    else:
        own[key] = value


def _value(text: str, key: str) -> Any:
    return read_yaml(f"value: {text}", f"--{key}").get("value")


def read_number(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"{where}: expected a whole number above 0, got {clip(value)!r}")
    return value
