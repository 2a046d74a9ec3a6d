"""LightningCLI, fed with settings that are already merged."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as L
import torch
from jsonargparse import Namespace, set_parsing_settings
from jsonargparse.typing import PositiveInt, register_type
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from ..bases.data import DataModule
from ..bases.task import Task
from ..errors import UserError, clip
from ..registry import DEFAULTS, TABLES, importable
from .arguments import config_text
from .classes import load_class
from .explain import explain
from .machine import check_trainer, settle_threads
from .settings import Settings

register_type(
    torch.Tensor,
    serializer=lambda t: t.tolist(),
    deserializer=lambda v: torch.tensor(v, dtype=torch.float32),
)


# default classes -> the parser that has them
PARSERS: dict[tuple[tuple[str, str], ...], LightningArgumentParser] = {}


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
        lean: Leave out of Lightning's loop what nobody asked for, with the same bits; false takes
            all of it.
        report: Write report.html into the run folder at the end.
    """

    root: str = "runs"
    save_every: PositiveInt = 500
    tensorboard: bool = True
    print_every: PositiveInt | None = None
    threads: PositiveInt | None = None
    compile: bool = False
    lean: bool = True
    report: bool = True


class ProjectCLI(LightningCLI):
    """Parses the merged settings once; task, data and Trainer are instantiated when asked for.

    `config_tree` is the whole effective config; `model` and `datamodule` are there after `build`.

    Args:
        settings: What was written.
        seeds: Seed the process as the config says; `load` leaves its caller's generators alone.
    """

    model: Task
    datamodule: DataModule

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

    def setup_parser(self, *arguments: Any) -> None:
        """Build the parser once in a process: trials of a sweep parse the same arguments."""
        key = tuple(default_classes().items())
        if key not in PARSERS:
            super().setup_parser(*arguments)
            PARSERS[key] = self.parser
        self.parser = PARSERS[key]

    def add_arguments_to_parser(self, parser: Any) -> None:
        parser.add_argument("--name", type=str, default="run", help="Name of the run's folder.")
        parser.add_class_arguments(RunOptions, "run")
        defaults = {key: {"class_path": path} for key, path in default_classes().items()}
        parser.set_defaults(defaults)

    def parse_arguments(self, parser: Any, args: Any) -> None:
        owners = {"trainer": L.Trainer, "run": RunOptions}
        self.settings.check_groups(owners)
        tree = self.settings.complete(default_classes())
        restrict_imports()
        try:
            self.config = parser.parse_object(copy.deepcopy(tree))  # it changes what it is given
        except Exception as error:
            raise UserError(explain(self.settings, parser, tree, owners, error)) from error
        seed = self.config.seed_everything
        if isinstance(seed, bool) or seed is None or not 0 <= seed < 2**32:
            where = self.settings.say(("seed_everything",))
            raise UserError(
                f"{where}: expected a number from 0 to 4294967295, so that the run can be repeated"
            )
        # not as YAML, in which 1e30 would no longer be a name
        text = parser.dump(self.config, format="json", skip_unset=False, skip_validation=True)
        self.config_tree: dict[str, Any] = json.loads(text)
        self.config_tree.pop("config", None)
        if not self.seeds:
            self.config.seed_everything = False

    def instantiate_classes(self) -> None:
        """Do nothing yet: `build` is called when the run's surroundings are settled."""

    def build(self) -> None:
        """Instantiate task and data.

        Raises:
            UserError: a constructor refuses what it is given.
        """
        try:
            # Not Lightning's own: that calls a method which jsonargparse has deprecated.
            self.config_init = self.parser.instantiate(self.config)
        except Exception as error:
            cause: BaseException = error
            while cause.__cause__ is not None:  # jsonargparse wraps what a constructor says
                cause = cause.__cause__
            if isinstance(cause, UserError):
                raise cause from None
            refuse_alone(self.config.trainer)
            raise UserError(f"the config cannot be built: {clip(cause, 200)}") from error
        self.model, self.datamodule = self.config_init.model, self.config_init.data
        self.datamodule.wanted_target = self.model.wanted_target

    @property
    def trainer_arguments(self) -> dict[str, Any]:
        """The arguments of the Trainer, its callbacks and loggers instantiated; to be changed."""
        return vars(self.config_init.trainer)

    def instantiate_trainer(self, **own: Any) -> Any:
        """The Trainer of the config with `own` arguments over it.

        Raises:
            UserError: Lightning refuses the arguments.
        """
        try:
            return super().instantiate_trainer(**own)
        except Exception as error:
            raise UserError(f"trainer: {clip(error, 200)}") from error


def refuse_alone(trainer: Namespace) -> None:
    """Build callbacks and loggers one by one: of several jsonargparse does not say which refuses.

    Raises:
        UserError: one does.
    """
    for key in ("logger", "callbacks"):
        given = trainer[key] if isinstance(trainer[key], list) else [trainer[key]]
        for chosen in given:
            if not isinstance(chosen, Namespace):
                continue
            arguments = vars(chosen.get("init_args") or Namespace())
            if any(isinstance(value, Namespace | list) for value in arguments.values()):
                continue
            try:
                load_class(chosen.class_path, f"--trainer.{key}")(**arguments)
            except Exception as error:
                name = chosen.class_path.rpartition(".")[2]
                raise UserError(f"--trainer.{key} {name}: {clip(error, 200)}") from error


def restrict_imports() -> None:
    """Let jsonargparse fetch nothing, and import from the packages alone that a config may name."""
    set_parsing_settings(
        config_read_mode_fsspec_enabled=False,  # LightningCLI switches it on
        config_read_mode_urls_enabled=False,
        instantiate_subclass_spec_in_any=False,  # an argument typed Any makes no class
        import_path_denylist=["*"],
        import_path_allowlist=list(importable()),
    )


def default_classes() -> dict[str, str]:
    """The import paths of the task and the data taken where a config names none."""
    tables = {"model": TABLES["tasks"], "data": TABLES["data"]}
    return {key: table[DEFAULTS[key]][0] for key, table in tables.items()}


def parse(settings: Settings, print_config: bool = False) -> ProjectCLI | None:
    """Parse settings, settle threads and check devices; None when they were only to be printed.

    Raises:
        UserError: a setting is wrong, or asks for devices that are not there.
    """
    cli = ProjectCLI(settings)
    settle_threads(cli.config_tree)
    if print_config:
        print(config_text(cli.config_tree), end="")
        return None
    check_trainer(cli.config_tree["trainer"])
    return cli
