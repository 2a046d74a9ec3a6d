"""A sampler or a pruner of Optuna's, by a short name or its own."""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass
from typing import Any

from ..errors import UserError, clip, suggest
from .space import Space

SAMPLERS = {
    # every combination, in order; ours, because Optuna's may run one twice when several workers ask
    "grid": "",
    "random": "RandomSampler",
    "tpe": "TPESampler",
    "cmaes": "CmaEsSampler",
    "gp": "GPSampler",
    "qmc": "QMCSampler",
    "nsga2": "NSGAIISampler",
}
PRUNERS = {
    "none": "NopPruner",
    "median": "MedianPruner",
    "percentile": "PercentilePruner",
    "threshold": "ThresholdPruner",
    "asha": "SuccessiveHalvingPruner",
    "hyperband": "HyperbandPruner",
}


@dataclass(frozen=True)
class Choice:
    """A sampler or a pruner of Optuna's, by our short name or its own, with arguments."""

    kind: str
    name: str
    arguments: dict[str, Any]
    where: str

    def make(self, **defaults: Any) -> Any:
        """The object; `defaults` are taken where its class has such an argument and nobody has
        given it.

        Raises:
            UserError: there is no such class, it refuses its arguments, or a package that it needs
                is not there.
        """
        found = self._class()
        known = [name for name in inspect.signature(found.__init__).parameters if name != "self"]
        for name in self.arguments:
            if name not in known:
                raise UserError(
                    f"{self.where}.{name}: {found.__name__} has no such argument; "
                    f"{suggest(name, known, 'it has')}"
                )
        arguments = {
            name: value for name, value in defaults.items() if name in known
        } | self.arguments
        try:
            with (
                warnings.catch_warnings()
            ):  # Optuna's word for most of its classes is "experimental"
                warnings.simplefilter("ignore")
                return found(**arguments)
        except Exception as error:
            raise UserError(f"{self.where}: {clip(error, 160)}") from error

    def _class(self) -> Any:
        import optuna

        table, module = (
            (SAMPLERS, optuna.samplers) if self.kind == "sampler" else (PRUNERS, optuna.pruners)
        )
        found = getattr(module, table.get(self.name, self.name), None)
        if (
            not isinstance(found, type)
            or not found.__name__.endswith(self.kind.title())
            or inspect.isabstract(found)
        ):
            names = [
                *table,
                *(
                    name
                    for name in dir(module)
                    if name.endswith(self.kind.title()) and name[:4] != "Base"
                ),
            ]
            raise UserError(
                f"{self.where}: unknown {self.kind} {clip(self.name)!r}; "
                f"{suggest(self.name, names, 'there are')}"
            )
        return found


def read_choice(kind: str, value: Any, default: str, where: str) -> Choice:
    """A sampler or pruner given as a name, as {class_path, init_args}, or by arguments of the
    default alone.

    Raises:
        UserError: it is neither, or there is none of this name.
    """
    tree = {"class_path": value or default} if isinstance(value, str | None) else value
    if isinstance(tree, dict) and set(tree) == {"init_args"}:
        tree = {"class_path": default, **tree}
    if (
        not isinstance(tree, dict)
        or not isinstance(tree.get("class_path"), str)
        or set(tree) - {"class_path", "init_args"}
    ):
        table = SAMPLERS if kind == "sampler" else PRUNERS
        raise UserError(
            f"{where}: expected a name ({', '.join(table)}) or {{class_path: name, init_args: "
            f"...}}, got {clip(value)!r}"
        )
    choice = Choice(kind, tree["class_path"], tree.get("init_args") or {}, where)
    if choice.name != "grid" or kind == "pruner":
        choice.make()
    elif choice.arguments:
        raise UserError(f"{where}: a grid has no arguments")
    return choice


def rehearse(sampler: Choice, space: Space) -> None:
    """Let a sampler draw a few times, for nothing: some find out only then that a package is
    missing or a space unfit.

    Raises:
        UserError: it cannot.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=sampler.make(seed=0))
    try:
        for number in range(12):
            study.tell(study.ask(space.distributions()), float(number))
    except Exception as error:
        raise UserError(
            f"{sampler.where}: {sampler.name} cannot draw from this space: {clip(error, 160)}"
        ) from error
