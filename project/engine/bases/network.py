"""The base of every network, and the question they all ask of the data."""

from __future__ import annotations

from torch import Tensor, nn

from ..errors import UserError
from ..spec import DataSpec


class Network(nn.Module):
    """A plain torch module built from a DataSpec; every other argument is configuration with a
    default.
    """

    def __init__(self, spec: DataSpec) -> None:
        super().__init__()
        self.spec = spec

    def load_pretrained(self) -> dict[str, list[str]]:
        """Take weights made elsewhere, where a network offers that; called when a new run begins,
        not when one continues.

        Returns where they came from -> the names of the parameters.
        """
        return {}

    members = 1  # of an ensemble in one network; in training it answers for each, sample by sample

    @property
    def wants_a_look(self) -> bool:
        """Whether `first_look` is called."""
        return type(self).first_look is not Network.first_look

    def first_look(self, inputs: Tensor) -> None:
        """Set what depends on the data from training inputs (N, ...) as the network gets them.

        Called when a new run begins, not when one continues, by those that override it.
        """


LOOKED_AT = 5000  # training samples


def image_shape(spec: DataSpec, name: str, at_least: int = 1) -> tuple[int, int, int]:
    """Channels, height and width of the data.

    Raises:
        UserError: the data are not images, or smaller than the network needs.
    """
    if len(spec.inputs) != 1 or len(spec.inputs[0]) != 3:
        hint = (
            "ImageAndNumbers takes both"
            if [len(shape) for shape in spec.inputs] == [3, 1]
            else "MLP takes any shape"
        )
        raise UserError(
            f"{name} needs images of channels x height x width, the data gives {spec.shape()}; "
            f"{hint}"
        )
    channels, height, width = spec.inputs[0]
    if min(height, width) < at_least:
        raise UserError(
            f"{name} needs images of at least {at_least}x{at_least}, the data gives "
            f"{spec.shape()}; "
            f"`data.size` {at_least} makes them larger"
        )
    return channels, height, width
