"""run.json: what a run is made of, and with what command."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ..building.weights import describe
from ..errors import UserError, clip
from ..registry import marks
from ..runs.description import command_line, environment, git_state
from ..runs.files import read_json
from ..runs.folder import RunFolder
from ..runs.saved import Saved
from ..targets import TARGETS
from .arguments import DECIDES_THE_RESULT, MAY_CHANGE, config_text, leaves_with_class
from .classes import shorten
from .parser import ProjectCLI
from .settings import Settings
from .yamltext import ConfigLoader


def description(folder: RunFolder, cli: ProjectCLI, saved: Saved | None) -> dict[str, Any]:
    """What run.json says of a run that begins; of one that continues, only what is new."""
    settings = cli.settings
    now = {"state": "running", **marks(), **environment(), "git": git_state(Path(__file__).parent)}
    if saved and folder.description.is_file():
        known = read_json(folder.description)
        continued = {"step": saved.step, "command": command_line()}
        return now | {
            "continued": continued,
            "overrides": known.get("overrides", {}) | overrides(settings),
        }
    task, data = cli.model, cli.datamodule
    assert task.spec is not None
    return {
        "command": command_line(),
        "configs": settings.configs,
        "overrides": overrides(settings),
        "seed": cli.config_tree["seed_everything"],
        "task": type(task).__name__,
        "net": type(task.net).__name__,
        "report": task.report or TARGETS[task.spec.target].report,
        "layers": [dataclasses.asdict(layer) for layer in task.layers],
        "spec": task.spec.to_dict(),
        "monitor": task.monitor,
        "monitor_mode": task.mode,
        "data": data.summary(),
        "initialised": {} if saved else describe(task.net, task.initialised),
        **now,
    }


def refuse_other_data(now: Mapping[str, Any], folder: RunFolder) -> None:
    """Refuse to go on with data that are not those the run began with.

    Raises:
        UserError: names the split and both digests.
    """
    before = read_json(folder.description).get("data") or {}
    for split, part in now.items():
        known = before.get(split) or {}
        for what in ("samples", "digest"):
            if known.get(what) is not None and known[what] != part[what]:
                raise UserError(
                    f"the {split} data are not those that {folder} began with: {what} "
                    f"{clip(part[what], 16)}, they were {clip(known[what], 16)}; bring them back, "
                    f"or start from its weights: fit --weights {folder}"
                )


COMPARED = (
    "max_epochs",
    "max_steps",
    "precision",
    "accumulate_grad_batches",
    "gradient_clip_val",
    "limit_train_batches",
)


def parameters(tree: dict[str, Any]) -> dict[str, bool | int | float | str]:
    """The settings by which runs are compared, in plain values: all that decides a result, but not
    where the data lies.
    """
    chosen = {key: tree[key] for key in DECIDES_THE_RESULT}
    chosen["trainer"] = {key: value for key, value in tree["trainer"].items() if key in COMPARED}
    found = {
        path: value
        for path, value in leaves_with_class(shorten(chosen))
        if path not in MAY_CHANGE and value is not None
    }
    return {
        ".".join(path): value if isinstance(value, (bool, int, float, str)) else str(value)
        for path, value in found.items()
    }


def texts(tree: dict[str, Any]) -> dict[str, str]:
    """What stands beside the curves of a run, as Markdown."""
    return {"config": f"```yaml\n{config_text(tree)}\n```", "command": f"`{command_line()}`"}


def overrides(settings: Settings) -> dict[str, Any]:
    """What the command line set, with its values as YAML reads them; a class is a name."""
    return {key: value_of(text) for key, text in settings.assignments}


def value_of(text: str) -> Any:
    try:
        return yaml.load(text, Loader=ConfigLoader)
    except yaml.YAMLError:
        return text
