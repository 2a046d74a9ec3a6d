"""Where a run begins: in a new folder, in one that is there, or at a checkpoint of another run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError, clip
from ..runs.checkpoints import locate, read, resumable
from ..runs.files import read_json
from ..runs.folder import RunFolder
from ..runs.saved import Saved, refuse_other_format
from .classes import Tree
from .parser import ProjectCLI
from .settings import Settings, from_tree

CHILD = "ENGINE_RUN_FOLDER"  # tells a run's other processes where it is; set only while it goes on


@dataclass(frozen=True)
class Start:
    """Where a run begins: in which folder, and from which checkpoint. A new run has neither."""

    folder: RunFolder | None = None
    saved: Saved | None = None
    is_new: bool = False  # the folder was made by this command


def find_start(run: Path | None, checkpoint: Path | None, settings: Settings) -> Start:
    """The folder and the checkpoint that --run or --ckpt_path mean; the folder is locked.

    Raises:
        UserError: the checkpoint cannot be continued.
    """
    if checkpoint is not None and checkpoint.is_dir():
        if run is not None:
            raise UserError("--ckpt_path with a folder means --run; give one of them")
        if not (checkpoint / "checkpoints").is_dir():
            raise UserError(f"--ckpt_path {checkpoint}: not a run folder")
        run, checkpoint = checkpoint, None
    folder, saved = None, None
    is_new = run is not None and not run.exists()
    if run is not None:
        if ":" in str(run):
            raise UserError(f"--run {run}: only local folders, without a colon")
        folder = RunFolder(run) if is_child() else RunFolder(run).open()
        try:
            saved = newest(folder, settings)
        except UserError:
            folder.close()
            raise
    if checkpoint is not None and saved is None:
        saved = read(locate(checkpoint))
        if not saved.is_resumable:
            raise UserError(
                f"--ckpt_path {checkpoint}: it holds weights only; --weights {checkpoint} starts a "
                "new run with them"
            )
        refuse_other_format(saved)
    return Start(folder, saved, is_new)


def newest(folder: RunFolder, settings: Settings) -> Saved | None:
    """The newest checkpoint that the run can continue from.

    That of an end is passed over where its results were not written, so that the end is run again,
    and where max_steps is raised that ended a run inside an epoch.
    """
    first: Saved | None = None
    for saved in resumable(folder):
        refuse_other_format(saved)
        first = first or saved
        end = saved.end
        if end.finished and not is_reported(folder, saved.step):
            continue
        if not (end.mid_epoch_end and _asks_for_more_steps(settings, saved.step)):
            return saved
    return first


def refuse_writing_elsewhere(given: Tree, saved: Tree, folder: Path) -> None:
    """Refuse callbacks, loggers and profilers of a checkpoint's config that write outside of the
    run, unless the command says the same: the run may be a stranger's.

    Raises:
        UserError: names the argument and the way out.
    """
    own = given.get("trainer")
    for key, value in (saved.get("trainer") or {}).items():
        if isinstance(own, dict) and (key in own or f"{key}+" in own):
            continue
        for name, text in _texts(value, key):
            if not name.endswith(WRITTEN):
                continue
            base = folder if name.endswith("filename") else Path()
            place = Path(os.path.abspath(base / Path(text).expanduser()))  # noqa: PTH100 - no links
            if "://" in text or not place.is_relative_to(os.path.abspath(folder)):  # noqa: PTH100
                raise UserError(
                    f"{folder}: `trainer.{key}` of its config writes to {clip(text)} ({name}), "
                    f"outside of the run; say --trainer.{key} here too, or the --config it is "
                    "from, if that is meant"
                )


WRITTEN = ("dir", "path", "uri", "filename")  # ends of the names of arguments that are written to


def _texts(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """The texts in a value, each with the name of its argument."""
    if isinstance(value, dict):
        for key, part in value.items():
            if key != "class_path":
                yield from _texts(part, str(key))
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part, name)
    elif isinstance(value, str):
        yield name, value


def is_reported(folder: RunFolder, step: int) -> bool:
    """Whether the results of an end at this step are written, which comes last."""
    if not folder.results.is_file():
        return False
    return read_json(folder.results).get("steps") == step


def _asks_for_more_steps(settings: Settings, step: int) -> bool:
    trainer = settings.tree.get("trainer")
    value = str(trainer.get("max_steps") if isinstance(trainer, dict) else None)
    return value == "-1" or (value.isdecimal() and int(value) > step)


def is_finished(saved: Saved, trainer: dict[str, Any]) -> bool:
    """Whether the limits that now hold leave nothing to train."""
    if not saved.end.finished or saved.end.should_stop:
        return saved.end.finished
    epochs, steps = trainer.get("max_epochs"), trainer.get("max_steps", -1)
    more_epochs = epochs in (None, -1) or epochs > saved.epochs_done
    more_steps = steps == -1 or steps > saved.step
    return not (more_epochs and more_steps)


def is_child() -> bool:
    """Whether this is a further process of a run, started by Lightning, torchrun or Slurm."""
    if CHILD in os.environ:
        return int(os.environ.get("LOCAL_RANK", 0)) > 0
    return (launched_rank() or 0) > 0


def launched_rank() -> int | None:
    """The rank that torchrun, or srun with several tasks, gave this process; None without them."""
    known = os.environ
    if "TORCHELASTIC_RUN_ID" in known:
        return int(known.get("RANK", 0))
    is_interactive = known.get("SLURM_JOB_NAME") in ("bash", "interactive")  # as Lightning decides
    if int(known.get("SLURM_NTASKS", 1)) > 1 and not is_interactive:
        return int(known.get("SLURM_PROCID", 0))
    return None


def claim(tree: dict[str, Any]) -> RunFolder:
    """A new folder for this run, or the one that the first process of the run has claimed."""
    if CHILD in os.environ and is_child():
        return RunFolder(os.environ[CHILD])
    if launched_rank() is not None:
        raise UserError(
            "several processes start this run: give them all the same folder with --run FOLDER"
        )
    name = str(tree["name"])
    if not name or name in (".", "..") or "/" in name or "\\" in name:
        raise UserError(
            f"--name {clip(name)!r}: it names a folder under --run.root, so it has no slash"
        )
    root = tree["run"]["root"]
    if "://" in root:
        raise UserError(f"--run.root {clip(root)}: only local folders")
    return RunFolder.claim(Path(root).expanduser(), name)


def full_tree(config: dict[str, Any]) -> dict[str, Any]:
    """A saved config with every default and full class paths, so that it can be compared."""
    settings = Settings()
    settings.add(from_tree(config, "the saved config"))
    return ProjectCLI(settings).config_tree
