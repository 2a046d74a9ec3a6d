"""Metrics by name: torchmetrics' own, built when the data is known."""

from __future__ import annotations

import dataclasses
import inspect
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torchmetrics.classification as classification
import torchmetrics.regression as regression
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.wrappers import LambdaInputTransformer

from ..errors import UserError
from ..spec import IGNORED, DataSpec

Average = Literal["micro", "macro", "weighted"]
# What predictions and targets are -> the beginning of torchmetrics' names for it.
CLASSES = {"binary": "Binary", "class": "Multiclass", "labels": "Multilabel", "mask": "Multiclass"}


def kind_of(spec: DataSpec) -> str:
    """What metrics compare: `binary`, `class`, `labels`, `mask` or `number`."""
    if spec.target == "class" and spec.outputs == 1:
        return "binary"
    return "number" if spec.target == "count" else spec.target


@dataclass
class MetricChoice(ABC):
    """A metric that a config names.

    Args:
        name: What it is called in tables and curves; null means its class's in small letters.
    """

    name: str | None = None

    @property
    def key(self) -> str:
        return self.name or type(self).__name__.lower()

    @abstractmethod
    def build(self, kind: str, spec: DataSpec, standardised: Callable[[Tensor], Tensor]) -> Metric:
        """A fresh metric of torchmetrics.

        Args:
            kind: As `kind_of` says.
            spec: The data.
            standardised: Numbers (B, K) to mean 0 and deviation 1.

        Raises:
            UserError: it is not for this kind.
        """

    def _options(self, owner: type[Metric]) -> dict[str, Any]:
        """The arguments of the config that a class takes."""
        known = inspect.signature(owner).parameters
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {key: value for key, value in values.items() if key in known and key != "name"}

    def _refuse(self, kind: str, known: Sequence[str]) -> UserError:
        names = {"class": "several classes", "binary": "yes and no", "mask": "masks"}
        words = ", ".join(names.get(name, f"{name.rstrip('s')}s") for name in known)
        return UserError(f"`model.metrics` {type(self).__name__}: it is for {words}, not {kind}")


@dataclass
class OfClasses(MetricChoice):
    """A metric of classes, yes and no, labels or masks; it sees probabilities."""

    called: ClassVar[str]  # what torchmetrics calls it, without Binary, Multiclass, Multilabel
    kinds: ClassVar[tuple[str, ...]] = ("class", "binary", "labels", "mask")

    def build(self, kind: str, spec: DataSpec, standardised: Callable[[Tensor], Tensor]) -> Metric:
        if kind not in self.kinds:
            raise self._refuse(kind, self.kinds)
        owner = getattr(classification, CLASSES[kind] + self.called)
        count = len(spec.names)
        sizes = {"class": {"num_classes": count}, "labels": {"num_labels": count}, "binary": {}}
        sizes["mask"] = {"num_classes": count, "ignore_index": IGNORED}
        metric: Metric = owner(**sizes[kind], **self._options(owner), validate_args=False)
        return metric if kind == "mask" else LambdaInputTransformer(metric, CHANCES[kind])


CHANCES: dict[str, Callable[[Tensor], Tensor]] = {  # torchmetrics takes logits in 0..1 for chances
    "class": lambda logits: logits.softmax(1),
    "binary": torch.sigmoid,
    "labels": torch.sigmoid,
}


@dataclass
class Averaged(OfClasses):
    """A metric of classes that is averaged over them.

    Args:
        average: Over classes: each the same (macro), by their samples (weighted), or all samples
            together (micro).
    """

    average: Average = "macro"


@dataclass
class F1(Averaged):
    """The harmonic mean of precision and recall."""

    called = "F1Score"


@dataclass
class FBeta(Averaged):
    """The mean of precision and recall that counts recall beta times as much.

    Args:
        beta: How much recall counts.
    """

    called = "FBetaScore"
    beta: float = 2.0


@dataclass
class Precision(Averaged):
    """The share of what is answered that is right."""

    called = "Precision"


@dataclass
class Recall(Averaged):
    """The share of what is true that is found; macro, it is the balanced accuracy."""

    called = "Recall"


@dataclass
class Specificity(Averaged):
    """The share of what is not true that is not answered."""

    called = "Specificity"


@dataclass
class Jaccard(Averaged):
    """The overlap of answer and truth over their union."""

    called = "JaccardIndex"


@dataclass
class AUROC(Averaged):
    """The area below the curve of true over false positives: how well scores sort the classes."""

    called = "AUROC"
    kinds = ("class", "binary", "labels")


@dataclass
class AveragePrecision(Averaged):
    """The area below the curve of precision over recall."""

    called = "AveragePrecision"
    kinds = ("class", "binary", "labels")


@dataclass
class TopK(OfClasses):
    """The share of samples whose class is among the k most likely.

    Args:
        top_k: So many.
        average: All samples together, or each class the same.
    """

    called = "Accuracy"
    kinds = ("class",)
    top_k: int = 5
    average: Average = "micro"

    @property
    def key(self) -> str:
        return self.name or f"top{self.top_k}"

    def build(self, kind: str, spec: DataSpec, standardised: Callable[[Tensor], Tensor]) -> Metric:
        if not 0 < self.top_k <= len(spec.names):
            raise UserError(f"`model.metrics` TopK: top_k is from 1 to {len(spec.names)} classes")
        return super().build(kind, spec, standardised)


@dataclass
class MCC(OfClasses):
    """Matthews' correlation of answer and truth."""

    called = "MatthewsCorrCoef"


@dataclass
class Kappa(OfClasses):
    """Cohen's agreement beyond chance.

    Args:
        weights: For classes in an order: linear or quadratic distance.
    """

    called = "CohenKappa"
    kinds = ("class", "binary", "mask")
    weights: Literal["linear", "quadratic"] | None = None


@dataclass
class ECE(OfClasses):
    """How far confidence and accuracy lie apart, over bins of confidence.

    Args:
        n_bins: So many bins.
    """

    called = "CalibrationError"
    kinds = ("class", "binary")
    n_bins: int = 15


@dataclass
class Hamming(OfClasses):
    """The share of labels that are wrong."""

    called = "HammingDistance"
    kinds = ("labels",)


class MeanOfOutputs(LambdaInputTransformer):
    """One number of a metric that has one for each target."""

    def compute(self) -> Any:
        return super().compute().mean()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return super().forward(*args, **kwargs).mean()


@dataclass
class OfNumbers(MetricChoice):
    """A metric of numbers, averaged over the targets."""

    called: ClassVar[str]
    in_units: ClassVar[bool] = True  # else of standardised numbers, where units do not count

    def build(self, kind: str, spec: DataSpec, standardised: Callable[[Tensor], Tensor]) -> Metric:
        if kind != "number":
            raise self._refuse(kind, ("number",))
        owner = getattr(regression, self.called)
        width = len(spec.names)
        takes = inspect.signature(owner).parameters
        sizes: dict[str, Any] = {"num_outputs": width} if "num_outputs" in takes else {}
        if "multioutput" in takes:
            sizes = {"multioutput": "uniform_average"}

        def means(predictions: Tensor) -> Tensor:  # deviations may stand behind them
            values = predictions[:, :width]
            values = values if self.in_units else standardised(values)
            return values.squeeze(1) if width == 1 and "num_outputs" in takes else values

        with warnings.catch_warnings():  # that it keeps all predictions, which a report does too
            warnings.simplefilter("ignore")
            return MeanOfOutputs(owner(**sizes, **self._options(owner)), means, means)


@dataclass
class MSE(OfNumbers):
    """The mean squared error."""

    called = "MeanSquaredError"


@dataclass
class MAPE(OfNumbers):
    """The mean error as a share of the truth."""

    called = "MeanAbsolutePercentageError"


@dataclass
class SMAPE(OfNumbers):
    """The mean error as a share of the mean of truth and answer."""

    called = "SymmetricMeanAbsolutePercentageError"


@dataclass
class MSLE(OfNumbers):
    """The mean squared difference of logarithms, of numbers above -1."""

    called = "MeanSquaredLogError"


@dataclass
class ExplainedVariance(OfNumbers):
    """The share of the variance that is answered, a constant offset not counting."""

    called, in_units = "ExplainedVariance", False


@dataclass
class Pearson(OfNumbers):
    """The linear correlation of answer and truth."""

    called, in_units = "PearsonCorrCoef", False


@dataclass
class Spearman(OfNumbers):
    """The correlation of the ranks of answer and truth."""

    called, in_units = "SpearmanCorrCoef", False


def built(
    choices: Sequence[MetricChoice],
    own: Sequence[str],
    spec: DataSpec,
    standardised: Callable[[Tensor], Tensor],
) -> dict[str, Metric]:
    """The metrics of a config by name.

    Args:
        choices: What the config names.
        own: The names of the task's own metrics, and of the loss.
        spec: What the network was built from.
        standardised: Numbers (B, K) to mean 0 and deviation 1.

    Raises:
        UserError: one is not for this target, or two have the same name.
    """
    found: dict[str, Metric] = {}
    for choice in choices:
        if choice.key in found or choice.key in own:
            raise UserError(
                f"`model.metrics`: two are called {choice.key}; {type(choice).__name__} takes "
                "another `name`"
            )
        found[choice.key] = choice.build(kind_of(spec), spec, standardised)
    return found
