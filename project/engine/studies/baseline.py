"""`baseline`: what one line of scikit-learn reaches on the same splits, by the same metrics."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..bases.data import DataModule
from ..bases.metrics import MetricAccumulator
from ..bases.task import Task
from ..cli.arguments import CommandLine, config_text, merge
from ..cli.parser import parse
from ..cli.screen import show_table
from ..errors import UserError, needed
from ..formats import metric as figure
from ..runs.files import write_json
from ..spec import DataSpec

MOST = 10_000  # images to train on, of what takes long with more
WIDEST = 4096  # values of an image that neighbours are looked for among
CERTAIN = 1e-6  # the least a probability is taken for


@dataclass(frozen=True)
class Baseline:
    """A model of scikit-learn, and what it is for.

    make: scikit-learn's modules, whether classes are answered, and the description of the data, to
        the model.
    of: "all", "table" or "image".
    most: Images to train on at most.
    """

    make: Callable[[Any, bool, DataSpec], Any]
    of: str = "all"
    most: int | None = None


def _dummy(sk: Any, classes: bool, spec: DataSpec) -> Any:
    return sk.dummy.DummyClassifier() if classes else sk.dummy.DummyRegressor()


def _linear(sk: Any, classes: bool, spec: DataSpec) -> Any:
    """Numbers as they are, categories one-hot."""
    first = len(spec.columns) - len(spec.cardinalities)
    codes = sk.preprocessing.OneHotEncoder(handle_unknown="ignore")
    kinds = [("codes", codes, slice(first, None))] if spec.cardinalities else []
    columns = sk.compose.ColumnTransformer(kinds, remainder="passthrough")
    model = sk.linear_model.LogisticRegression(max_iter=300) if classes else sk.linear_model.Ridge()
    return sk.pipeline.make_pipeline(columns, model)


def _boosting(sk: Any, classes: bool, spec: DataSpec) -> Any:
    first = len(spec.columns) - len(spec.cardinalities)
    codes = [first + i for i, size in enumerate(spec.cardinalities) if size <= 255]
    kind = "HistGradientBoosting" + ("Classifier" if classes else "Regressor")
    return getattr(sk.ensemble, kind)(categorical_features=codes or None, random_state=0)


def _nearest(sk: Any, classes: bool, spec: DataSpec) -> Any:
    kind = "KNeighbors" + ("Classifier" if classes else "Regressor")
    return getattr(sk.neighbors, kind)(n_neighbors=3)


BASELINES = {
    "the most frequent, or the mean": Baseline(_dummy),
    "linear": Baseline(_linear, most=MOST),
    "gradient boosting": Baseline(_boosting, of="table"),
    "nearest three": Baseline(_nearest, of="image", most=MOST),
}


def baseline(request: CommandLine) -> int:
    """Fit every baseline that suits the data, print and keep their metrics; returns the exit code.

    Raises:
        UserError: scikit-learn is not there, or none suits the data.
    """
    cli = parse(merge(request), request.print_config)
    if cli is None:
        return 0
    sk = scikit_learn()
    cli.build()
    task, data = cli.model, cli.datamodule
    data.prepare_data()
    data.setup("fit")
    digests = data.summary()
    data.setup("test")
    task.build(data.spec, data.preprocessing)
    refuse_unsuited(task, data)
    place = Path(cli.config_tree["run"]["root"]) / str(cli.config_tree["name"]) / "baseline.json"
    output = request.path("--output") or place
    splits = ("val", "test") if data.has_validation else ("test",)
    rows = []
    for name, kind in BASELINES.items():
        if kind.of in ("all", "table" if len(data.spec.inputs[0]) == 1 else "image"):
            rows.append(one(sk, name, kind, task, data, splits))
            print(f"{name}: {rows[-1]['seconds']:.1f} s", flush=True)
    names = list(rows[0]["metrics"])
    show_table(
        ["", *names, "training samples", "seconds"],
        [
            [
                row["name"],
                *(figure(row["metrics"][name]) for name in names),
                f"{row['samples']:,}",
                f"{row['seconds']:.1f}",
            ]
            for row in rows
        ],
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    write_json(output, {"data": digests, "config": config_text(cli.config_tree), "rows": rows})
    print(f"kept in {output}; a report of a run on the same data shows it")
    return 0


def scikit_learn() -> Any:
    """scikit-learn with its parts."""
    parts = "compose dummy ensemble linear_model neighbors pipeline preprocessing".split()
    for part in parts:
        needed(f"sklearn.{part}", "baseline", "scikit-learn")
    return needed("sklearn", "baseline", "scikit-learn")


def refuse_unsuited(task: Task, data: DataModule) -> None:
    """Refuse what scikit-learn's models do not answer.

    Raises:
        UserError: several inputs, or targets that are neither classes nor numbers.
    """
    spec = data.spec
    known = spec.target in ("class", "number", "count") and task.answers_targets
    if not known or len(spec.inputs) > 1:
        raise UserError(
            f"baseline is for classes and numbers from one input, not for {type(task).__name__} of "
            f"{type(data).__name__}"
        )
    if len(spec.inputs[0]) != 1 and np.prod(spec.inputs[0]) > WIDEST:
        raise UserError(
            f"baseline is for small images, these have {np.prod(spec.inputs[0]):,} values: a "
            "smaller `data.size`"
        )


def one(
    sk: Any, name: str, kind: Baseline, task: Task, data: DataModule, splits: tuple[str, ...]
) -> dict[str, Any]:
    """Fit a baseline; its metrics on the splits, samples and seconds."""
    assert task.spec is not None
    is_image = len(data.spec.inputs[0]) == 3
    inputs, targets = whole(task, data, "train", kind.most if is_image else None)
    begin, classes = time.perf_counter(), data.spec.target == "class"
    model = kind.make(sk, classes, data.spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit that has not converged is still a baseline
        model.fit(inputs, targets)
        metrics: dict[str, float] = {}
        for split in splits:
            found, truth = whole(task, data, split, None)
            answer = answers(model, found, task.spec, classes)
            metrics |= {f"{split}/{key}": v for key, v in judged(task, answer, truth).items()}
    seconds = round(time.perf_counter() - begin, 2)
    return {"name": name, "metrics": metrics, "samples": len(inputs), "seconds": seconds}


def whole(task: Task, data: DataModule, split: str, most: int | None) -> tuple[Any, Any]:
    """A split as two arrays, (N, values) and (N,) or (N, K) targets as the task's metrics see them;
    evenly spaced samples where it has more than `most`.
    """
    part = data.loaded(split)
    rows = part.rows
    if most is not None and len(rows) > most:
        rows = rows[torch.linspace(0, len(rows) - 1, most).long()]
    inputs, targets = [], []
    for ids in rows.split(4096):
        values, truth = part.fetch(ids)
        assert isinstance(values, Tensor)
        flat = values.flatten(1).float()
        inputs.append(flat / 255 if values.dtype == torch.uint8 else flat)
        targets.append(truth)
    target = torch.cat(targets)
    positive = getattr(task, "is_positive", None)
    target = positive[target].long() if positive is not None else target
    return torch.cat(inputs).numpy(), (target.squeeze(1) if target.ndim == 2 else target).numpy()


def answers(model: Any, inputs: np.ndarray, spec: DataSpec, classes: bool) -> Tensor:
    """Predictions as the task's metrics want them: logits (N, K) or (N,), numbers (N, 1)."""
    if not classes:
        return torch.from_numpy(np.asarray(model.predict(inputs), np.float64)).reshape(-1, 1)
    chances = np.full((len(inputs), len(spec.names)), CERTAIN)
    chances[:, model.classes_.astype(int)] = np.clip(model.predict_proba(inputs), CERTAIN, 1)
    logits = torch.from_numpy(np.log(chances)).float()
    return logits[:, 1] - logits[:, 0] if spec.outputs == 1 else logits


def judged(task: Task, answer: Tensor, truth: np.ndarray) -> dict[str, float]:
    """The task's own metrics of predictions."""
    targets = torch.from_numpy(truth)
    targets = targets.reshape(len(answer), -1) if answer.shape[1:] == (1,) else targets
    accumulator = MetricAccumulator(task.all_metrics())
    accumulator.add(torch.tensor(float("nan")), answer, targets)
    return {name: float(value) for name, value in accumulator.compute().items() if name != "loss"}
