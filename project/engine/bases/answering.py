"""What a task does with data outside of training: a first look at them, and answers to new ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import UserError
from ..spec import Batch, DataSpec, Inputs, as_tuple
from ..targets import unknown
from .network import LOOKED_AT

ANSWERED = 256  # inputs at a time


class Answering:
    """The part of a task that `load(RUN).predict` and `predict --input` use, and a new run once."""

    reader: Any = None  # the data whose preparation new inputs get, set by `load`
    spec: DataSpec | None

    if TYPE_CHECKING:
        device: torch.device
        net: Any

        def step(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]: ...

        def to_columns(self, predictions: Tensor) -> dict[str, list[Any]]: ...

    def look_at(self, data: Any) -> None:
        """Let the network see some of the training data, prepared and not augmented, if it asks."""
        if not self.net.wants_a_look:
            return
        part = data.loaded("train")
        rows = part.rows[torch.linspace(0, len(part) - 1, min(len(part), LOOKED_AT)).long()]
        inputs, targets = part.fetch(rows)
        batch = data.prepared(Batch(inputs, targets, rows, (0, 0)))
        with torch.no_grad():
            self.net.first_look(*as_tuple(batch.inputs))

    @torch.no_grad()
    def answer(self, inputs: Inputs) -> Tensor:
        """Predictions (N, ...) of inputs that `reader.accept` gave, in batches."""
        data = self.reader
        if data is None:
            raise UserError("only a task of `load` knows how its inputs are prepared")
        spec, found = data.spec, []
        for rows in torch.arange(len(as_tuple(inputs)[0])).split(ANSWERED):
            parts = [part[rows] for part in as_tuple(inputs)]
            batch = Batch(
                parts[0] if len(parts) == 1 else tuple(parts),
                unknown(spec, len(rows)),
                rows,
                (0, 0),
            )
            batch = data.transfer_batch_to_device(batch, self.device, 0)
            found.append(self.step(data.prepared(batch))[1].float().cpu())
        return torch.cat(found)

    def predict(self, inputs: Any, top: int = 1) -> Any:
        """Answer for new inputs as a person has them: names, probabilities, numbers.

        Args:
            inputs: A path, an image of PIL, an array or a tensor of pixels; a dictionary of a
                row's values, a DataFrame; or a list of these.
            top: How many classes are named, with the probability of each.

        Returns:
            A dictionary by column, or a list of them for several inputs.

        Raises:
            UserError: the inputs are not of the kind that was trained on.
        """
        if self.reader is None:
            raise UserError("only a task of `load` knows how its inputs are prepared")
        raw, is_single = self.reader.accept(inputs)
        columns = self.answer_columns(self.answer(raw), top)
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return rows[0] if is_single else rows

    def answer_columns(self, predictions: Tensor, top: int = 1) -> dict[str, list[Any]]:
        """The columns of `to_columns`, and the next likely classes where several are asked for."""
        columns = self.to_columns(predictions)
        if top > 1 and (chances := self.chances(predictions)) is not None:
            assert self.spec is not None
            best = chances.topk(min(top, chances.shape[1]), 1)
            for place in range(1, best.values.shape[1]):
                names = [self.spec.names[i] for i in best.indices[:, place].tolist()]
                columns[f"prediction {place + 1}"] = names
                columns[f"probability {place + 1}"] = best.values[:, place].tolist()
        return columns

    def chances(self, predictions: Tensor) -> Tensor | None:
        """Probabilities (N, K) of predictions (N, ...); None where no class is chosen."""
        return None

    def in_units(self, outputs: Tensor) -> Tensor:
        """Outputs of the network (B, ...) in the target's units, where it answers in others."""
        return outputs
