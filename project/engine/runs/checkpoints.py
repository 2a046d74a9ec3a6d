"""Checkpoint files: written whole, verified before they are believed, loaded without running
code.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, WeightAveraging
from lightning.pytorch.plugins.io import CheckpointIO
from lightning.pytorch.utilities import rank_zero_only

from ..errors import UserError, clip
from .files import write_atomic
from .folder import RunFolder
from .saved import Damaged, Saved, checked

KEEP = 2


class SafeIO(CheckpointIO):
    """Atomic, durable saves; loads of tensors and plain values only, whatever the caller asks for.

    Args:
        loaded: A checkpoint that has been verified and read already, and is handed out once.
    """

    def __init__(self, loaded: Saved | None = None) -> None:
        self.loaded = loaded

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(target, lambda file: torch.save(checkpoint, file))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        loaded, self.loaded = self.loaded, None
        known = loaded is not None and loaded.path == Path(path)
        return (loaded if known and loaded else read(Path(path))).content

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


class BestCheckpoint(ModelCheckpoint):
    """best.ckpt: the weights of the best validation.

    It is written inside a validation, where no run can continue.
    """

    def __init__(self, folder: Path, monitor: str, mode: str) -> None:
        super().__init__(
            folder,
            "best",
            monitor=monitor,
            mode=mode,
            save_weights_only=True,
            enable_version_counter=False,
            save_on_train_epoch_end=monitor.startswith("train/"),  # else at each validation
        )

    state_key = "BestCheckpoint"  # ModelCheckpoint writes its own again at each of six hooks a step

    def on_train_batch_end(self, *_: Any) -> None:
        """Only validations count."""

    def on_validation_end(self, trainer: Any, pl_module: L.LightningModule) -> None:
        self._save_averaged(trainer, pl_module, super().on_validation_end)

    def on_train_epoch_end(self, trainer: Any, pl_module: L.LightningModule) -> None:
        self._save_averaged(trainer, pl_module, super().on_train_epoch_end)

    def _save_averaged(self, trainer: Any, pl_module: L.LightningModule, save: Any) -> None:
        """Save what was validated: weights that are averaged take the place of the trained ones
        once more.

        Lightning asks no callback what belongs into a checkpoint of weights alone.
        """
        averaging = [
            callback for callback in trainer.callbacks if isinstance(callback, WeightAveraging)
        ]
        for callback in averaging:
            callback.on_validation_epoch_start(trainer, pl_module)
        try:
            save(trainer, pl_module)
        finally:
            for callback in averaging:
                callback.on_validation_epoch_end(trainer, pl_module)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the scores and no path: a run folder may have moved, and a path in a file is not to
        be believed.
        """
        self.current_score = state_dict["current_score"]
        score = state_dict["best_model_score"]
        if score is not None:
            path = self.format_checkpoint_name({})
            self.best_model_score = self.kth_value = score
            self.best_model_path = self.kth_best_model_path = path
            self.best_k_models = {path: score}


def step_file(folder: RunFolder, step: int) -> Path:
    return folder.checkpoints / f"step-{step:09d}.ckpt"


def step_files(folder: RunFolder) -> list[Path]:
    """The resumable checkpoints, the newest first."""
    return sorted(folder.checkpoints.glob("step-*.ckpt"), reverse=True)


@rank_zero_only
def forget_old(folder: RunFolder) -> None:
    """Keep the newest resumable checkpoints."""
    for path in step_files(folder)[KEEP:]:
        path.unlink()


def fault(path: Path) -> str | None:
    """Why a file is not a whole checkpoint; None when it is. torch.load itself checks no
    checksum.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if any(record.compress_type for record in archive.infolist()):
                return "it holds compressed records, which torch never writes"
            bad = archive.testzip()
            return f"its record {bad} is damaged" if bad else None
    except OSError as error:
        return error.strerror or str(error)
    except Exception:  # zipfile raises whatever the damage leads it to
        return "it is not a checkpoint, or it is damaged"


def read(path: Path) -> Saved:
    """Verify and load a checkpoint; no class in it is ever imported.

    Raises:
        Damaged: it is not there, damaged, or not a checkpoint of ours.
        UserError: a later version has written it.
    """
    if reason := fault(path):
        raise Damaged(f"checkpoint {path}: {reason}")
    return checked(_load(path), path)


def read_weights(path: Path) -> dict[str, Any]:
    """The weights in a checkpoint, or in a file of a plain `state_dict` as torch.save writes it.

    Those of a network alone are named as a task names them: `net.features.0.weight`.

    Raises:
        UserError: there are none.
    """
    if reason := fault(path):
        raise Damaged(f"checkpoint {path}: {reason}")
    content = _load(path)
    if isinstance(content, dict) and content and all(map(torch.is_tensor, content.values())):
        inside = all(str(name).startswith("net.") for name in content)
        return content if inside else {f"net.{name}": value for name, value in content.items()}
    return checked(content, path).weights


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise Damaged(
            f"checkpoint {path}: it holds more than tensors and plain values ({clip(error, 80)})"
        ) from None


def resumable(folder: RunFolder) -> Iterator[Saved]:
    """The checkpoints a run can continue from, the newest first.

    Those that are damaged are named and passed over.

    Raises:
        UserError: there are some, and none can be read: a run is never silently started again.
    """
    found = step_files(folder)
    whole = 0
    for path in found:
        try:
            saved = read(path)
        except Damaged as error:
            reason = str(error).removeprefix("checkpoint ")
            rank_zero_only(print)(f"{reason}; taking the one before", flush=True)
            continue
        whole += 1
        yield saved
    if found and not whole:
        raise UserError(
            f"{folder}: none of its {len(found)} checkpoints can be read; start another run with "
            "--run FOLDER"
        )


def locate(path: Path) -> Path:
    """The file meant by a checkpoint or a run folder: of a folder, best.ckpt, or the newest where
    no validation ran.

    Raises:
        UserError: nothing is there.
    """
    if "://" in str(path):
        raise UserError(f"checkpoint {path}: only local files are loaded")
    if path.is_file():
        return path
    if path.is_dir():
        folder = RunFolder(path)
        for candidate in (folder.best, *step_files(folder)):
            if candidate.is_file():
                return candidate
        raise UserError(f"{path}: no checkpoint in {folder.checkpoints.name}/; is it a run folder?")
    raise UserError(f"checkpoint {path}: no such file or run folder")
