"""What a checkpoint holds: one record, and who saves each part of it.

Lightning gathers the parts in `Trainer.save_checkpoint`; they are read in one place, `read`, which
believes nothing before its type is checked. All of it is tensors and plain values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from ..errors import UserError
from ..registry import FORMAT, VERSION

# Key -> its type. Those of every checkpoint, best.ckpt too:
OF_ALL: dict[str, type] = {
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
    "pending": (list, dict),  # Task: batches whose metrics are not reduced, of each rank
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
            raise Damaged(f"checkpoint {path}: damaged; its {key} is of another kind")
    return saved


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


def refuse_other_states(optimizers: Sequence[Any], states: Sequence[dict[str, Any]]) -> None:
    """Refuse optimizer states that are not of these parameters: torch would crash on them.

    Raises:
        UserError: their number, a shape or a type does not fit.
    """
    inner = [part for one in optimizers for part in getattr(one, "optimizers", [one])]
    saved = [part for one in states for part in one.get("optimizers", [one])]
    groups = [[len(group["params"]) for group in one.param_groups] for one in inner]
    try:
        known = [[len(group["params"]) for group in one["param_groups"]] for one in saved]
        fits = groups == known and all(map(_fits, inner, (one["state"] for one in saved)))
    except (KeyError, TypeError, AttributeError):
        fits = False
    if not fits:
        raise UserError(
            "the optimizer's state in the checkpoint does not fit this network's parameters; "
            "--weights starts a new run from the weights"
        )


def _fits(optimizer: Any, state: dict[int, Any]) -> bool:
    """Whether the tensors of a state are scalars, or as large as their parameter or a part of
    it.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if type(optimizer).__name__ == "LBFGS":  # one state for all parameters, in flat tensors
        total = sum(parameter.numel() for parameter in parameters)
        tensors = [value for part in state.values() for value in part.values()]
        return all(not isinstance(t, Tensor) or t.numel() in (1, total) for t in tensors)
    for number, kept in state.items():
        shape = parameters[number].shape if 0 <= int(number) < len(parameters) else None
        for value in kept.values():
            if isinstance(value, Tensor) and value.ndim and not _is_part(value.shape, shape):
                return False
    return True


def _is_part(shape: Any, whole: Any) -> bool:
    """Whether a shape is another one, but for sides of length 1, as factored moments have them."""
    if whole is None or len(shape) != len(whole):
        return tuple(shape) == (1,)
    return all(side in (1, full) for side, full in zip(shape, whole, strict=True))
