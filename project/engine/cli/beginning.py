"""Where a run begins: in a new folder, in one that is there, or at a checkpoint of another run."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import yaml

from ..errors import UserError, clip
from ..runs.checkpoints import locate, read, resumable
from ..runs.folder import RunFolder
from .arguments import Request
from .parser import ProjectCLI
from .settings import Settings, from_yaml

# tells the other processes of a run where it is; set only while a run goes on
CHILD = "ENGINE_RUN_FOLDER"


@dataclasses.dataclass
class Start:
    """Where a run begins: in which folder, from which checkpoint, with which saved config."""

    folder: RunFolder | None = None
    checkpoint: Path | None = None
    state: dict[str, Any] | None = None
    is_new: bool = False  # the folder was made by this command

    @property
    def config(self) -> dict[str, Any]:
        return yaml.safe_load(self.state["config"]) if self.state else {}


def find_start(request: Request, start: Start) -> None:
    """Fill in the folder and the checkpoint that --run or --ckpt_path mean; a new run has neither.

    Raises:
        UserError: the checkpoint cannot be continued.
    """
    run, given = request.path("--run"), request.path("--ckpt_path")
    if given is not None and given.is_dir():
        if run is not None:
            raise UserError("--ckpt_path with a folder means --run; give one of them")
        if not (given / "checkpoints").is_dir():
            raise UserError(f"--ckpt_path {given}: not a run folder")
        run, given = given, None
    if run is not None:
        if ":" in request.options.get("--run", ""):
            raise UserError(
                f"--run {request.options['--run']}: only local folders, without a colon"
            )
        start.folder = RunFolder(run) if is_child() else RunFolder(run).open()
        for path, state in resumable(start.folder):
            start.checkpoint, start.state = path, state
            saved = state["callbacks"]["ExactResume"]
            if saved["finished"] and not is_reported(start.folder, state["global_step"]):
                continue  # killed between its last checkpoint and its results: the end is run again
            if not (saved["mid_epoch_end"] and _asks_for_more_steps(request, state)):
                return
    if given is not None and start.state is None:
        start.checkpoint = locate(given)
        start.state = read(start.checkpoint)
        if "optimizer_states" not in start.state:
            raise UserError(
                f"--ckpt_path {given}: it holds weights only; --weights {given} starts a new run "
                "with them"
            )


def is_reported(folder: RunFolder, step: int) -> bool:
    """Whether the results of an end at this step are written, which comes last."""
    return folder.results.is_file() and json.loads(folder.results.read_text()).get("steps") == step


def _asks_for_more_steps(request: Request, state: dict[str, Any]) -> bool:
    """Whether max_steps is raised: where it has ended a run inside an epoch, that end is no place
    to go on from.
    """
    limits = [value for key, value in request.assignments if key == "trainer.max_steps"]
    return any(
        value == "-1" or (value.isdecimal() and int(value) > state["global_step"])
        for value in limits
    )


def is_finished(start: Start, trainer: dict[str, Any]) -> bool:
    """Whether the limits that now hold leave nothing to do."""
    assert start.state is not None
    saved = start.state["callbacks"]["ExactResume"]
    if not saved["finished"]:
        return False
    if saved["should_stop"]:
        return True
    epochs, steps = trainer.get("max_epochs"), trainer.get("max_steps", -1)
    done_epochs = start.state["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    more_epochs = epochs in (None, -1) or epochs > done_epochs
    more_steps = steps == -1 or steps > start.state["global_step"]
    return not (more_epochs and more_steps)


def is_child() -> bool:
    """Whether this process was started by Lightning as a further rank of a run."""
    return CHILD in os.environ and int(os.environ.get("LOCAL_RANK", 0)) > 0


def claim(tree: dict[str, Any]) -> RunFolder:
    """A new folder for this run, or the one that the first process of the run has claimed."""
    if is_child():
        return RunFolder(os.environ[CHILD])
    if "TORCHELASTIC_RUN_ID" in os.environ or "SLURM_PROCID" in os.environ:
        raise UserError(
            "several processes start this run: give them all the same folder with --run FOLDER"
        )
    name = str(tree["name"])
    if not name or name in (".", "..") or "/" in name or "\\" in name:
        raise UserError(
            f"--name {clip(name)!r}: it names a folder under --run.root, so it has no slash"
        )
    return RunFolder.claim(Path(tree["run"]["root"]), name)


def full_tree(config: dict[str, Any]) -> dict[str, Any]:
    """A saved config with every default and full class paths, so that it can be compared."""
    settings = Settings()
    settings.add(from_yaml(yaml.safe_dump(config), "the saved config"))
    return ProjectCLI(settings).config_tree
