"""What a checkpoint holds: one record, and who saves each part of it.

Lightning gathers the parts in `Trainer.save_checkpoint`; they are read in one place, `read`, which
believes nothing before its type is checked. All of it is tensors and plain values.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..errors import UserError
from ..registry import FORMAT, VERSION

# Key -> its type. Those of every checkpoint, best.ckpt too:
OF_ALL: dict[str, type | tuple[type, ...]] = {
    "state_dict": dict,  # Lightning: the weights, averaged ones where there are such
    "global_step": int,  # Lightning: optimizer steps done
    "spec": dict,  # Task: the description of the data that its network was built from
    "preprocessing": dict,  # Task, from the data: what the training split taught
    "config": str,  # Task: the whole effective config
}
# Those from which a run continues, step-*.ckpt:
OF_A_RUN: dict[str, type | tuple[type, ...]] = {
    "optimizer_states": list,  # Lightning
    "lr_schedulers": list,  # Lightning
    "loops": dict,  # Lightning: progress in epochs and batches; runs/internals.py corrects it
    "callbacks": dict,  # Lightning: states of callbacks by name, the user's own among them
    "pending": list,  # Task: batches whose metrics are not yet reduced
    "run": dict,  # ExactResume: the fields of `End`, and what Lightning forgets in mid-epoch
}
# The DataModule's position, {epoch, batch}, lies under its class's name, as Lightning wants it.


@dataclass(frozen=True)
class End:
    """How a run stood when its checkpoint was written, as ExactResume saves it.

    finished: its limits were reached.
    mid_epoch_end: max_steps ended it inside an epoch.
    should_stop: a callback had asked it to stop.
    """

    finished: bool = False
    mid_epoch_end: bool = False
    should_stop: bool = False


@dataclass(frozen=True)
class Saved:
    """A checkpoint that was verified and loaded, once.

    path: Its file.
    content: Everything in it, as Lightning restores it.
    """

    path: Path
    content: dict[str, Any] = field(repr=False)

    @property
    def weights(self) -> dict[str, Any]:
        return self.content["state_dict"]

    @property
    def step(self) -> int:
        return self.content["global_step"]

    @property
    def config(self) -> str:
        """The whole effective config, as YAML."""
        return self.content["config"]

    @property
    def tree(self) -> dict[str, Any]:
        return yaml.safe_load(self.config)

    @property
    def spec(self) -> dict[str, Any]:
        return self.content["spec"]

    @property
    def preprocessing(self) -> dict[str, Any]:
        return self.content["preprocessing"]

    @property
    def format(self) -> int:
        return self.content.get("format", 1)

    @property
    def version(self) -> str:
        return self.content.get("version", "0.1.0")

    @property
    def is_resumable(self) -> bool:
        """Whether it holds more than weights."""
        return "optimizer_states" in self.content

    @property
    def end(self) -> End:
        run = self.content["run"]
        return End(**{part.name: run[part.name] for part in dataclasses.fields(End)})

    @property
    def epochs_done(self) -> int:
        return self.content["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]


class Damaged(UserError):
    """A checkpoint that cannot be believed: the one before may still serve."""


def checked(content: Any, path: Path) -> Saved:
    """What was loaded from a file as a record.

    Raises:
        Damaged: a part is missing or of another type.
        UserError: a later version has written it.
    """
    if isinstance(content, dict) and "fitted" in content:  # its name in version 0.1.0
        content["preprocessing"] = content.pop("fitted")
    if not isinstance(content, dict) or not set(OF_ALL) <= set(content):
        raise Damaged(
            f"checkpoint {path}: not written by a run of ours "
            "(no data description and config in it)"
        )
    saved = Saved(path, content)
    if not isinstance(saved.format, int) or saved.format > FORMAT:
        raise UserError(
            f"checkpoint {path}: written by a later version ({saved.version}); this is {VERSION[0]}"
        )
    parts = OF_ALL | (OF_A_RUN if saved.is_resumable and saved.format == FORMAT else {})
    for key, kind in parts.items():
        if not isinstance(content.get(key), kind):
            raise Damaged(f"checkpoint {path}: damaged; its {key} is no {_name(kind)}")
    return saved


def _name(kind: type | tuple[type, ...]) -> str:
    return kind.__name__ if isinstance(kind, type) else " or ".join(k.__name__ for k in kind)


def refuse_other_format(saved: Saved) -> None:
    """Refuse to continue what this version cannot continue exactly.

    Raises:
        UserError: the checkpoint is of an earlier format.
    """
    if saved.format != FORMAT:
        raise UserError(
            f"checkpoint {saved.path}: version {saved.version} wrote it, and this one cannot "
            f"continue it exactly; start a new run from its weights with --weights {saved.path}"
        )
