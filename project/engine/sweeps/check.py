"""Before the first trial: every value of the space is parsed, and one trial is built, as `fit`
would.
"""

from __future__ import annotations

import copy
from typing import Any

from ..cli.arguments import as_text
from ..cli.classes import KeyPath
from ..cli.fitting import assemble
from ..cli.machine import as_found, check_trainer, quiet, settle_threads
from ..cli.parser import ProjectCLI
from ..cli.settings import Settings, from_assignments, on_the_command_line
from ..errors import UserError, clip, suggest
from .plan import CLOCKS, Plan
from .space import Scalar


def check(plan: Plan, debug: bool = False) -> tuple[str, str]:
    """The monitored value and its direction, when all of the plan can be run.

    Raises:
        UserError: what `fit` would say, with the key of the space in the place of the command
            line's.
    """
    with as_found(), quiet(debug):
        first, *others = plan.space.to_check()
        for parameters in others:
            parse(plan, parameters)
        cli = parse(plan, first)
        settle_threads(cli.config_tree)
        check_trainer(cli.config_tree["trainer"])
        assemble(cli)  # the data is there and fits the network; caches are built once, here
        task = cli.model
        monitor = plan.monitor or task.monitor
        known = {name for name in task.metric_names() if not name.startswith("test/")}
        if monitor not in known and monitor not in CLOCKS:
            where = plan.origins.get("monitor", "--model.monitor")
            raise UserError(
                f"{where}: nothing reports {clip(monitor)!r}; "
                f"{suggest(monitor, {*known, *CLOCKS}, 'there are')}"
            )
        own = {"min": "minimize", "max": "maximize"}[task.mode]
        known_ways = {**CLOCKS, "train/loss": "minimize", "val/loss": "minimize", task.monitor: own}
        direction = plan.direction or known_ways.get(monitor)
        if direction is None:
            raise UserError(
                f"the direction of {monitor} is not known: --direction minimize or maximize"
            )
        return monitor, direction


def parse(plan: Plan, parameters: dict[str, Scalar]) -> ProjectCLI:
    """The settings of a trial; seeds the process as they say."""
    where = {tuple(p.key.split(".")): p.where for p in plan.space.parameters}

    def say(path: KeyPath) -> str:
        for end in range(len(path), 0, -1):
            if path[:end] in where:
                return where[path[:end]] + "".join(f".{part}" for part in path[end:])
        return on_the_command_line(path)

    settings = Settings(copy.deepcopy(plan.settings.tree), dict(plan.settings.origins))
    settings.add(
        from_assignments([(key, as_text(value)) for key, value in parameters.items()], say)
    )
    cli = ProjectCLI(settings)
    refuse_several_devices(cli.config_tree["trainer"])
    return cli


def refuse_several_devices(trainer: dict[str, Any]) -> None:
    """A trial takes one device: Lightning would start the whole sweep once more for each further
    one.

    Raises:
        UserError: several are asked for.
    """
    devices = trainer.get("devices")
    text = str(devices).strip()
    several = len(devices) > 1 if isinstance(devices, list) else text not in ("auto", "1", "None")
    if several or trainer.get("num_nodes", 1) != 1:
        raise UserError(
            f"--trainer.devices {text}: a trial takes one device; --workers runs several trials "
            "at a time"
        )
