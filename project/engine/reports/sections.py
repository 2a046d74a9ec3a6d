"""What a page says of any run: what was asked for, the data, the network, how training went, and
from what it was made.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ..cli.arguments import leaves_with_class
from ..cli.yamltext import write_yaml
from ..formats import metric, setting
from . import plots
from .cases import even_ones
from .parts import Code, Drawing, Facts, Part, Picture, Pictures, Section, Table
from .pictures import beside, data_uri, overlay, pixels
from .predictions import prediction_parts
from .run import Run

SPLITS = {"val": "validation", "test": "test", "train": "training"}
MOST_PICTURES = 32
MOST_CLASSES = 60
# What of run.json has its own place on the page; the rest stands at its end.
TOLD = set(
    "git command configs overrides spec data seed state task net monitor monitor_mode layers "
    "initialised".split()
)
WORDS = 60  # characters of a value in a table


def all_sections(run: Run) -> Iterator[Section]:
    """The sections of a run's page, in their order."""
    for title, make in SECTIONS.items():
        if parts := list(make(run)):
            yield Section(title, parts)
    for split in run.splits():
        if parts := prediction_parts(run, split):
            yield Section(f"Predictions on the {SPLITS[split]} split", parts)
    yield Section("What it was made from", list(origin(run)))


def summary(run: Run) -> dict[str, Any]:
    """What stands at the top: names and values."""
    facts: dict[str, Any] = {
        "state": run.state,
        "data": run.settings.get("data"),
        "network": run.settings.get("model.net"),
        "task": run.task,
        "seed": run.seed,
        "parameters": run.results.get("parameters"),
        "steps": run.results.get("steps"),
        "epochs": run.results.get("epochs"),
        "seconds": run.results.get("seconds"),
    }
    return {name: value for name, value in facts.items() if value not in (None, "")}


def headline(run: Run) -> dict[str, float]:
    """The metrics of validation and test, the monitored one first."""
    metrics = {name: run.metric(name) for name in run.metrics if name.startswith(("val/", "test/"))}
    order = sorted(
        metrics, key=lambda name: (name != run.monitor, not name.startswith("val/"), name)
    )
    return {name: value for name in order if (value := metrics[name]) is not None}


# ---------------------------------------------------------------------- what was asked for


def settings(run: Run) -> Iterator[Part]:
    """The config, and what of it was given on the command line."""
    files = run.description.get("configs")
    given = run.description.get("overrides")
    yield Code(str(run.description.get("command", "")), title="Command")
    if files is not None and given is not None:
        base = ", ".join(map(str, files)) or "the defaults"
        rows = [[key, setting(value)] for key, value in given.items()]
        if rows:
            yield Table(
                ["key", "value"],
                rows,
                title="What differs from the base",
                note=f"The base is {base}.",
            )
        else:
            yield Facts({"base": base, "what differs from it": "nothing"})
    yield Code(write_yaml(run.config), title="The whole config")


def data(run: Run) -> Iterator[Part]:
    """The description of the data, class counts, and the first samples."""
    spec = run.spec
    if spec is None:
        return
    from ..targets import TARGETS

    kind = TARGETS[spec.target]
    splits = run.description.get("data") or {}
    facts: dict[str, Any] = {"inputs": spec.shape(), "target": spec.target}
    if spec.columns:
        facts["columns"] = ", ".join(spec.columns)
    if spec.scale and len(spec.scale) == len(spec.names):
        facts |= {
            f"{name}": f"mean {mean:.5g}, deviation {std:.5g}"
            for name, (mean, std) in zip(spec.names, spec.scale, strict=True)
        }
    yield Facts(facts)
    if splits:
        rows = [
            [SPLITS.get(name, name), part.get("samples"), (part.get("digest") or "")[:16]]
            for name, part in splits.items()
        ]
        yield Table(["split", "samples", "SHA-256 (its beginning)"], rows, title="Splits")
    if spec.counts and len(spec.counts) == len(spec.names):
        across = f"training {kind.counted}"
        if len(spec.names) <= MOST_CLASSES:
            yield Drawing(plots.bars(spec.names, spec.counts, "Classes", across))
        else:
            yield Table(
                ["class", across],
                sorted(zip(spec.names, spec.counts, strict=True), key=lambda row: row[1]),
                title="Classes",
            )
    samples = run.samples("val")
    if samples is None or pixels(samples["input"][0]) is None:
        return
    pictures = []
    height, width = samples["input"].shape[2:]
    chosen = even_ones(samples)
    most = MOST_PICTURES * height // max(height, width)
    for i in chosen[:: -(-len(chosen) // most)]:
        image = pixels(samples["input"][i])
        assert image is not None
        target, lines = samples["target"][i], [f"#{samples['id'][i]}"]
        if kind.is_overlay:
            image = beside(image, overlay(image, target))
        else:
            lines.append(kind.text(spec.names, target))
        pictures.append(Picture(data_uri(image), lines))
    yield Pictures(pictures, title="Samples of the validation split")


def baselines(run: Run) -> Iterator[Part]:
    """The run beside what scikit-learn reaches on the same data."""
    if not run.baselines:
        return
    names = [name for name in run.baselines[0]["metrics"] if run.metric(name) is not None]
    rows = [
        [row["name"], *(metric(row["metrics"].get(name)) for name in names), row["samples"]]
        for row in run.baselines
    ]
    own = [run.name, *(metric(run.metric(name)) for name in names), ""]
    yield Table(["", *names, "training samples"], [own, *rows])


def network(run: Run) -> Iterator[Part]:
    """The layers with their outputs and parameters, and the first weights with the rules that set
    them.
    """
    start = "model.net."
    options = {
        name.removeprefix(start): setting(value)
        for name, value in run.settings.items()
        if name.startswith(start)
    }
    if options:
        yield Facts(options, title=str(run.settings.get("model.net")))
    if layers := run.description.get("layers"):
        rows = [
            [layer["name"], layer["kind"], _shape(layer["output"]), layer["parameters"]]
            for layer in layers
        ]
        note = f"{sum(row[-1] for row in rows):,} parameters."
        yield Table(
            ["layer", "kind", "output", "parameters"], rows, title="Layers", note=note, most=1000
        )
    first = run.description.get("initialised") or {}
    weights = [
        [
            name,
            _shape(at["shape"]),
            math.prod(at["shape"]),
            at["mean"],
            at["std"],
            at["min"],
            at["max"],
        ]
        for name, at in (first.get("layers") or {}).items()
    ]
    if weights:
        head = ["parameter", "shape", "values", "mean", "deviation", "smallest", "largest"]
        yield Table(head, weights, title="First weights", most=1000, folded=True)
    if rules := first.get("rules"):
        yield Facts(
            {rule: ", ".join(names) for rule, names in rules.items()},
            title="Rules of the first weights",
        )


def _shape(sides: list[int] | None) -> str:
    return "" if sides is None else "x".join(map(str, sides)) or "one"


# ---------------------------------------------------------------------- how it went


def training(run: Run) -> Iterator[Part]:
    """Curves of every metric, of the learning rate, and the time of each epoch."""
    columns = dict.fromkeys([*run.step_metrics, *run.epochs])
    for name in dict.fromkeys(
        name.partition("/")[2] for name in columns if name.startswith(("train/", "val/"))
    ):
        lines = {
            split: line
            for split in ("train", "val")
            if len((line := run.curve(f"{split}/{name}"))[0])
        }
        tested = run.metric(f"test/{name}")
        levels = {"test": tested} if tested is not None else None
        yield Drawing(plots.curves(lines, name, levels=levels, log="loss" in name))
    rates = {
        name: line
        for name in columns
        if name.split("/")[0] == "lr" and len((line := run.curve(name))[0])
    }
    if rates:
        yield Drawing(plots.curves(rates, "learning rate"))
    seconds = run.epochs.get("epoch_seconds")
    if seconds is not None and len(seconds):
        yield Drawing(
            plots.columns(
                seconds.tolist(),
                f"Time per epoch, {seconds.sum():.1f} s together",
                "epoch",
                "seconds",
            )
        )


# ---------------------------------------------------------------------- from what


def origin(run: Run) -> Iterator[Part]:
    """Versions, the code with what was changed in it, and anything else the run wrote of itself."""
    about = run.description
    git = about.get("git") or {}
    versions = {
        key: value
        for key, value in about.items()
        if key not in TOLD and isinstance(value, (str, int, float))
    }
    diff = str(git.get("diff") or "")
    code = {
        "commit": git.get("commit") or "no git repository",
        "uncommitted changes": "below" if diff else "none",
    }
    yield Facts({**versions, **code, "folder": str(run.path.absolute())})
    for name, value in about.items():
        if name not in TOLD and isinstance(value, (dict, list)) and value:
            rows = [
                [".".join(map(str, path)), setting(item)]
                for path, item in leaves_with_class({name: value})
            ]
            yield Table(["key", "value"], rows, title=name)
    if diff:
        yield Code(diff, title="Uncommitted changes")


SECTIONS = {
    "Training": training,
    "Beside one line of scikit-learn": baselines,
    "Settings": settings,
    "Data": data,
    "Network": network,
}
