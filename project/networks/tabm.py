"""Many multilayer perceptrons in one, for tables."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from project.engine import DataSpec, Network, UserError

from .columns import Columns, Ways


class Shared(nn.Module):
    """A linear layer of many members: one matrix, and for each member scales of what goes in and
    comes out, and a bias: (B, members, before) to (B, members, after).
    """

    def __init__(self, before: int, after: int, members: int, signs: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(before, after, bias=False)
        scales = torch.ones(members, before)
        if signs:  # what makes the members differ from the start
            scales = torch.randint(0, 2, (members, before)) * 2.0 - 1
        self.before, self.after = nn.Parameter(scales), nn.Parameter(torch.ones(members, after))
        bound = before**-0.5
        self.bias = nn.Parameter(torch.empty(members, after).uniform_(-bound, bound))

    def forward(self, values: Tensor) -> Tensor:
        return self.linear(values * self.before) * self.after + self.bias


class TabM(Network):
    """Members that share all matrices but the last and are trained each by itself; they answer
    together: (B, columns) to (B, outputs), in training (B x members, outputs).

    Source: Gorishniy et al., TabM: Advancing Tabular Deep Learning with Parameter-Efficient
    Ensembling, 2024 (arXiv:2410.24210).

    Args:
        hidden: Width of each hidden layer.
        members: How many.
        dropout: Share of the hidden units dropped in training.
        numbers: Numbers as they are (plain), through waves of learnt lengths (periodic), or
            through the quantiles they lie between (piecewise).
        embed_above: Categories with more codes than this are embedded, the others one-hot.
    """

    def __init__(
        self,
        spec: DataSpec,
        hidden: Sequence[int] = (256, 256, 256),
        members: int = 16,
        dropout: float = 0.1,
        numbers: Ways = "piecewise",
        embed_above: int = 16,
    ) -> None:
        super().__init__(spec)
        if len(spec.inputs) > 1 or len(spec.inputs[0]) != 1 or not spec.columns:
            raise UserError(f"TabM is for tables, the data gives {spec.shape()}")
        self.members = members
        self.inputs = Columns(spec, embed_above, numbers=numbers)
        widths = (self.inputs.width, *hidden)
        self.layers = nn.ModuleList(
            Shared(before, after, members, signs=i == 0)
            for i, (before, after) in enumerate(itertools.pairwise(widths))
        )
        self.dropout = nn.Dropout(dropout)
        bound = widths[-1] ** -0.5
        shape = (members, widths[-1], spec.outputs)
        self.heads = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        self.biases = nn.Parameter(torch.empty(members, spec.outputs).uniform_(-bound, bound))

    @property
    def wants_a_look(self) -> bool:
        return self.inputs.wants_a_look

    def first_look(self, inputs: Tensor) -> None:
        self.inputs.first_look(inputs)

    def forward(self, columns: Tensor) -> Tensor:
        values = self.inputs(columns).unsqueeze(1)
        for layer in self.layers:
            values = self.dropout(layer(values).relu())
        answers = torch.einsum("bmw,mwo->bmo", values, self.heads) + self.biases
        return answers.flatten(0, 1) if self.training else self.together(answers)

    def together(self, answers: Tensor) -> Tensor:
        """The answer of all members: (B, members, outputs) to (B, outputs); of classes the mean of
        their probabilities, as logits again.
        """
        if self.spec.target not in ("class", "labels"):
            return answers.mean(1)
        if self.spec.target == "class" and self.spec.outputs > 1:
            return answers.log_softmax(2).logsumexp(1) - math.log(self.members)
        yes, no = F.logsigmoid(answers).logsumexp(1), F.logsigmoid(-answers).logsumexp(1)
        return yes - no
