"""LightningCLI, fed with settings that are already merged."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import torch
import yaml
from jsonargparse import set_parsing_settings
from jsonargparse.typing import PositiveInt, register_type
from lightning.pytorch.cli import LightningCLI

from ..bases.data import DataModule
from ..bases.task import Task
from ..errors import UserError, clip
from ..registry import DEFAULTS, TABLES
from .classes import IMPORTABLE, KeyPath, Tree, accepted, class_parser, rule_at, slot_at
from .settings import Settings

register_type(
    torch.Tensor,
    serializer=lambda t: t.tolist(),
    deserializer=lambda v: torch.tensor(v, dtype=torch.float32),
)
set_parsing_settings(
    # LightningCLI switches it on: a config would be fetched from an address
    config_read_mode_fsspec_enabled=False,
    config_read_mode_urls_enabled=False,
    import_path_denylist=["*"],
    import_path_allowlist=list(IMPORTABLE),
)


@dataclass
class RunOptions:
    """What surrounds a run.

    Args:
        root: The folder of all runs; a run is written to root/name/number.
        save_every: Optimizer steps between two checkpoints from which the run can continue.
        tensorboard: Write TensorBoard events into the run folder.
        print_every: Optimizer steps between two lines on the screen; null means a line for each
            epoch alone.
        threads: CPU threads; null means all cores, divided among the processes of this machine.
        compile: Compile the network with torch.compile.
        report: Write report.html into the run folder at the end.
    """

    root: str = "runs"
    save_every: PositiveInt = 500
    tensorboard: bool = True
    print_every: PositiveInt | None = None
    threads: PositiveInt | None = None
    compile: bool = False
    report: bool = True


class ProjectCLI(LightningCLI):
    """Parses the merged settings once; `config_tree` is the whole effective config.

    Args:
        settings: What was written.
        seeds: Seed the process as the config says; `load` leaves the generators of its caller
            alone.
    """

    def __init__(self, settings: Settings, seeds: bool = True) -> None:
        self.settings, self.seeds = settings, seeds
        super().__init__(
            Task,
            DataModule,
            args={},
            run=False,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=None,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            seed_everything_default=0,
            trainer_defaults={
                "max_epochs": 10,
                "num_sanity_val_steps": 0,
                "use_distributed_sampler": False,
                "enable_model_summary": False,
            },
            parser_kwargs={"exit_on_error": False, "allow_abbrev": False},
        )

    def add_arguments_to_parser(self, parser: Any) -> None:
        parser.add_argument(
            "--name",
            type=str,
            default="run",
            help="Name of the run's folder; default: the config's.",
        )
        parser.add_class_arguments(RunOptions, "run")
        parser.set_defaults({key: {"class_path": path} for key, path in default_classes().items()})

    def parse_arguments(self, parser: Any, args: Any) -> None:
        self.settings.check_groups(
            {
                "trainer": accepted("lightning.pytorch.Trainer"),
                "run": {option.name for option in fields(RunOptions)},
            }
        )
        tree = self.settings.complete(default_classes())
        try:
            self.config = parser.parse_object(copy.deepcopy(tree))  # it changes what it is given
        except Exception as error:
            raise UserError(self._explain(parser, tree, error)) from error
        if isinstance(self.config.seed_everything, bool):
            raise UserError(
                f"{self.settings.say(('seed_everything',))}: expected a number, so that the run "
                "can be repeated"
            )
        self.config_tree: dict[str, Any] = yaml.safe_load(
            parser.dump(self.config, skip_unset=False, skip_validation=True)
        )
        self.config_tree.pop("config", None)
        if not self.seeds:
            self.config.seed_everything = False

    def instantiate_classes(self) -> None:
        """Called by `build`, when the run's surroundings are settled."""

    def build(self) -> None:
        """Instantiate task and data.

        Raises:
            UserError: a constructor refuses what it is given.
        """
        try:
            made = self.parser.instantiate(self.config)
        except Exception as error:
            cause: BaseException = error
            while cause.__cause__ is not None:  # jsonargparse wraps what a constructor says
                cause = cause.__cause__
            if isinstance(cause, UserError):
                raise cause from None
            raise UserError(f"the config cannot be built: {clip(cause, 200)}") from error
        self.model, self.datamodule, self.trainer_arguments = (
            made.model,
            made.data,
            vars(made.trainer),
        )
        self.datamodule.wanted_target = self.model.wanted_target

    # ------------------------------------------------------------------ errors

    def _explain(self, parser: Any, tree: Tree, error: Exception) -> str:
        """The one written value that does not parse, and what was expected there."""
        for path, class_path, arguments in _classes(tree):
            slot = slot_at(path)
            skip = slot.skip if slot else 0
            whole, names = class_parser(class_path, skip)
            for key, value in arguments.items():
                alone, _ = class_parser(class_path, skip, without=set(names) - {key})
                try:
                    alone.parse_object({key: value})
                except Exception as reason:
                    return (
                        f"{self.settings.say((*path, key))}: {_expectation(str(reason))}, got "
                        f"{clip(value)!r}"
                    )
            try:
                whole.parse_object(arguments)
            except Exception as reason:
                if missing := re.search(
                    r"arguments? (?:is|are) required: ([\w., ]+)|Key \"([\w.]+)\" is required",
                    str(reason),
                ):
                    name = class_path.rpartition(".")[2]
                    needed = (missing[1] or missing[2]).strip()
                    return (
                        f"{self.settings.say(path)}: {name} needs {needed}; "
                        f"--{'.'.join(path)}.{needed} VALUE"
                    )
        for group, value in tree.items():
            for key, item in _written(group, value):
                try:
                    parser.parse_object({group: {key: item} if key else item})
                except Exception as reason:
                    where = (group, key) if key else (group,)
                    return (
                        f"{self.settings.say(where)}: {_expectation(str(reason))}, got "
                        f"{clip(item)!r}"
                    )
        return clip(str(error).splitlines()[-1] if str(error) else error, 200)


def default_classes() -> dict[str, str]:
    """The import paths of the task and the data taken where a config names none."""
    return {
        "model": TABLES["tasks"][DEFAULTS["model"]][0],
        "data": TABLES["data"][DEFAULTS["data"]][0],
    }


def _written(group: str, value: Any) -> list[tuple[str, Any]]:
    """The keys of a group; of anything else the whole value, without a key."""
    return list(value.items()) if group in ("trainer", "run") else [("", value)]


def _classes(tree: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, str, Tree]]:
    """Every class of a tree with its arguments, the innermost first: the cause of an error is
    deepest.
    """
    if isinstance(tree, list):
        for item in tree:
            yield from _classes(item, path)
    elif isinstance(tree, dict):
        arguments = tree.get("init_args", {}) if "class_path" in tree else tree
        for key, value in arguments.items():
            yield from _classes(value, (*path, key))
        if class_path := tree.get("class_path") or rule_at(path):
            yield path, class_path, arguments


TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "PositiveInt": "a whole number above 0",
    "NonNegativeInt": "a whole number, 0 or above",
    "PositiveFloat": "a number above 0",
    "NonNegativeFloat": "a number, 0 or above",
    "ClosedUnitInterval": "a number from 0 to 1",
    "Sequence": "a list, as in [1,2]",
    "Iterable": "a list, as in [1,2]",
    "list": "a list, as in [1,2]",
    "NoneType": "null",
}


def _expectation(text: str) -> str:
    """What jsonargparse would have taken, from the depth of its message."""
    choices = [
        word.strip(" '")
        for words in re.findall(r"Literal\[([^\]]+)\]", text)
        for word in words.split(",")
    ]
    found = [f"one of {', '.join(dict.fromkeys(choices))}"] if choices else []
    names = re.findall(r"Expected an? (?:<class ')?(?:[\w.]*\.)?(\w+)|Not of type (\w+):", text)
    found += [TYPES[name] for name in map("".join, names) if name in TYPES]
    unique = sorted(dict.fromkeys(found), key=lambda word: word == "null")
    if unique and unique != ["null"]:
        return "expected " + " or ".join(unique)
    lines = [
        line.strip(" -") for line in text.splitlines() if line.strip() and "Given value" not in line
    ]
    return clip(lines[-1] if lines else "not accepted", 120)
