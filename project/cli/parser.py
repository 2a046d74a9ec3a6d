"""LightningCLI, fed with settings that are already merged."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any

import torch
import yaml
from jsonargparse import set_parsing_settings
from jsonargparse.typing import PositiveInt, register_type
from lightning.pytorch.cli import LightningCLI

from project.cli.settings import IMPORTABLE, Path_, Settings, accepted, leaves, with_defaults
from project.data.base import DataModule
from project.errors import UserError, clip
from project.tasks.base import Task

register_type(torch.Tensor, serializer=lambda t: t.tolist(), deserializer=lambda v: torch.tensor(v, dtype=torch.float32))
set_parsing_settings(
    config_read_mode_fsspec_enabled=False,  # LightningCLI switches it on: a config would be fetched from an address
    config_read_mode_urls_enabled=False,
    import_path_denylist=["*"],
    import_path_allowlist=list(IMPORTABLE),
)

DEFAULT_MODEL = "project.tasks.classification.Classification"
DEFAULT_DATA = "project.data.digits.Digits"


@dataclass
class RunOptions:
    """What surrounds a run.

    Args:
        root: The folder of all runs; a run is written to root/name/number.
        save_every: Optimizer steps between two checkpoints from which the run can continue.
        tensorboard: Write TensorBoard events into the run folder.
        threads: CPU threads; null means all cores, divided among the processes of this machine.
        compile: Compile the network with torch.compile.
    """

    root: str = "runs"
    save_every: PositiveInt = 200
    tensorboard: bool = True
    threads: PositiveInt | None = None
    compile: bool = False


class ProjectCLI(LightningCLI):
    """Parses the merged settings once; `config_tree` is the whole effective config."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
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
        parser.add_argument("--name", type=str, default="run", help="Name of the run's folder; default: the config's.")
        parser.add_class_arguments(RunOptions, "run")
        parser.set_defaults({"model": {"class_path": DEFAULT_MODEL}, "data": {"class_path": DEFAULT_DATA}})

    def parse_arguments(self, parser: Any, args: Any) -> None:
        self.settings.check_keys(
            {"trainer": accepted("lightning.pytorch.Trainer", None), "run": {f.name for f in fields(RunOptions)}},
            {"model": DEFAULT_MODEL, "data": DEFAULT_DATA},
        )
        try:
            self.config = parser.parse_object(with_defaults(self.settings.tree))
        except Exception as error:
            raise UserError(self._explain(parser, error)) from error
        if isinstance(self.config.seed_everything, bool):
            raise UserError(f"{self.settings.say(('seed_everything',))}: expected a number, so that the run can be repeated")
        self.config_tree: dict[str, Any] = yaml.safe_load(parser.dump(self.config, skip_unset=False, skip_validation=True))
        self.config_tree.pop("config", None)

    def instantiate_classes(self) -> None:
        """Called by `build`, when the run's surroundings are settled."""

    def build(self) -> None:
        """Instantiate task and data.

        Raises:
            UserError: a constructor refuses what it is given.
        """
        try:
            made = self.parser.instantiate(self.config)
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"the config cannot be built: {clip(error, 200)}") from error
        self.model, self.datamodule, self.trainer_arguments = made.model, made.data, vars(made.trainer)

    # ------------------------------------------------------------------ errors

    def _explain(self, parser: Any, error: Exception) -> str:
        """The one written value that does not parse, and what was expected there."""
        tree = self.settings.tree
        for path, value in leaves(tree):
            try:
                parser.parse_object(_only(tree, path))
            except Exception as reason:
                return f"{self.settings.say(path)}: {_expectation(str(reason))}, got {clip(value)!r}"
        return clip(str(error).splitlines()[-1] if str(error) else error, 200)


def _only(tree: Any, path: Path_) -> Any:
    """The tree with nothing in it but its classes and the value at one path."""
    result: dict[str, Any] = {}
    for key, value in tree.items():
        if key == "class_path":
            result[key] = value
        elif key == "init_args":
            result[key] = _only(value, path)
        elif isinstance(value, dict) and value:
            result[key] = _only(value, path[1:] if path[:1] == (key,) else ())
        elif path == (key,):
            result[key] = value
    return {key: value for key, value in result.items() if value != {}}


def _expectation(text: str) -> str:
    """What jsonargparse would have taken, from the depth of its message."""
    words = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text", "NoneType": "null"}
    found: list[str] = []
    for name in re.findall(r"Expected a <class '([\w.]+)'>|Expected an? (\w+)\b(?! <)", text):
        word = name[0] or name[1]
        found.append(words.get(word.rpartition(".")[2], word.rpartition(".")[2]))
    found += ["one of " + literal.replace("'", "") for literal in re.findall(r"Literal\[([^\]]+)\]", text)]
    for kind, rule in re.findall(r"Not of type (\w+): \S+ does not conform to restriction (.+?)(?:\n|$|\.)", text):
        found.append(f"{words.get('int') if 'Int' in kind else 'a number'} with {rule.strip()}")
    if "Dataset" in found and len(found) > 1:
        found.remove("Dataset")
    unique = [word for i, word in enumerate(found) if word not in found[:i] and not word[:1].isupper()]
    if not unique:
        lines = [line.strip(" -") for line in text.splitlines() if line.strip()]
        return clip(lines[-1] if lines else text, 120)
    return "expected " + " or ".join(unique[:4])
