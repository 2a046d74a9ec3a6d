"""What `fit` says at its start and at its end: plain text of at most 80 columns, the same in a
terminal, a pipe and a file.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as L
import torch

from ..building.layers import LayerInfo
from ..formats import duration, metric, setting, shape
from ..registry import PROGRAM
from ..runs.folder import RunFolder
from ..runs.progress import WIDTH
from ..spec import DataSpec
from ..targets import TARGETS
from .classes import shorten
from .machine import emulates_bf16
from .parser import ProjectCLI
from .screen import show_table

ROWS = 20  # of the table of layers


FEW = 200  # samples, below which accuracy takes few values


def opening(
    folder: RunFolder, cli: ProjectCLI, trainer: L.Trainer, description: Mapping[str, Any]
) -> None:
    """Where the run is, the network's layers, then a line each of data, training and machine."""
    task, parameters = cli.model, list(cli.model.net.parameters())
    print(f"run       {folder}\ncontinue  {PROGRAM} fit --run {folder}\n")
    rows = layer_rows(task.layers)
    rows.append(("total", type(task.net).__name__, "", f"{sum(p.numel() for p in parameters):,}"))
    if fixed := sum(p.numel() for p in parameters if not p.requires_grad):
        rows.append(("", "", "not trained", f"{fixed:,}"))
    show_table(("layer", "kind", "output", "parameters"), rows, left=2)
    print()
    lines = {
        "data": data_line(type(cli.datamodule).__name__, description["data"], cli.datamodule.spec),
        "training": training_line(cli, trainer),
        "machine": machine_line(trainer),
    }
    for name, line in lines.items():
        print(textwrap.fill(line, WIDTH, initial_indent=f"{name:<10}", subsequent_indent=" " * 10))
    samples = description["data"].get("val", {}).get("samples", FEW)
    if samples < FEW and task.monitor == "val/accuracy":
        print(
            f"note      {samples} samples validate: accuracy tells few checkpoints apart,\n"
            "          --model.monitor val/loss tells more"
        )
    if "bf16" in str(trainer.precision) and task.device.type == "cpu" and emulates_bf16():
        print(
            "note      this CPU emulates bfloat16, many times slower than float32:\n"
            "          --trainer.precision 32-true"
        )
    print(flush=True)


def show_weights(initialised: Mapping[str, Any]) -> None:
    """The parameters of a network, what set them, and what they are like."""
    by_what = {name: how for how, names in initialised["rules"].items() for name in names}
    metrics = ("mean", "std", "min", "max")
    rows = [
        (
            name,
            by_what.get(name, "its layer's default"),
            shape(layer["shape"]),
            *(f"{layer[key]:.4g}" for key in metrics),
        )
        for name, layer in initialised["layers"].items()
    ]
    show_table(("parameter", "set by", "shape", *metrics), rows, left=2)


def layer_rows(layers: list[LayerInfo]) -> list[tuple[str, str, str, str]]:
    shown = layers if len(layers) <= ROWS else layers[: ROWS - 1]
    rows = [
        (
            layer.name,
            layer.kind,
            shape(layer.output),
            f"{layer.parameters:,}" if layer.parameters else "",
        )
        for layer in shown
    ]
    if rest := layers[len(shown) :]:
        rows.append(
            (
                f"and {len(rest)} more",
                "",
                shape(rest[-1].output),
                f"{sum(layer.parameters for layer in rest):,}",
            )
        )
    return rows


def data_line(name: str, splits: Mapping[str, Any], spec: DataSpec) -> str:
    """`Digits: 1,258 train, 179 val, each 1x28x28; 10 classes`."""
    parts = ", ".join(f"{part['samples']:,} {split}" for split, part in splits.items())
    kind = TARGETS[spec.target].describe(spec)
    return f"{name}: {parts}, each {spec.shape()}; {kind}"


def training_line(cli: ProjectCLI, trainer: Any) -> str:
    """`Classification by CrossEntropy; AdamW, lr 0.001, Cosine; 10 epochs, batches of 64`."""
    model = shorten(cli.config_tree)["model"]
    given = model.get("init_args", {})

    def name(key: str) -> str:
        node = given.get(key)
        return (
            node["class_path"].rpartition(".")[2]
            if isinstance(node, dict) and "class_path" in node
            else ""
        )

    rate = ((given.get("optimizer") or {}).get("init_args") or {}).get("lr")
    how = ", ".join(
        word
        for word in (
            name("optimizer"),
            f"lr {setting(rate)}" if rate is not None else "",
            name("schedule"),
        )
        if word
    )
    loss = name("loss").removesuffix("Loss")
    epochs, most = trainer.max_epochs or -1, trainer.max_steps
    length = [f"{epochs} epochs" if epochs != 1 else "1 epoch"] if epochs > 0 else []
    length += [f"{most:,} steps at most"] if most > 0 else []
    length.append(f"batches of {cli.datamodule.batch_size}")
    return f"{type(cli.model).__name__} by {loss}; {how}; {', '.join(length)}"


def machine_line(trainer: Any) -> str:
    """`cpu, 32-true, 2 threads`."""
    device = str(trainer.strategy.root_device.type)
    devices = f"{trainer.world_size} x {device}" if trainer.world_size > 1 else device
    threads = torch.get_num_threads()
    return f"{devices}, {trainer.precision}, {threads} thread{'s' if threads > 1 else ''}"


def closing(
    folder: RunFolder, results: Mapping[str, Any], seconds: float, prolong: str | None
) -> None:
    """Print the metrics of the last and the best validation, and what can be done next.

    Args:
        folder: Of the run.
        results: What results.json holds.
        seconds: How long it has trained.
        prolong: The limit whose doubling prolongs it; None where a callback has ended it.
    """
    print(
        f"\nfinished {folder} in {duration(seconds)}: epoch {results['epochs']}, step "
        f"{results['steps']:,}"
    )
    best, test = results.get("best", {}), results.get("test", {})
    columns = {"last": results["last"]}
    # "figures" until 0.1
    if found := best.get("metrics", best.get("figures")):
        columns[f"best, step {best['step']:,}"] = found
    if test and test.get("step") == best.get("step"):
        columns["test"] = {name: value for name, value in test.items() if isinstance(value, float)}
    rows = []
    for name in dict.fromkeys(plain(name) for column in columns.values() for name in column):
        cells = [
            next((metric(value) for key, value in column.items() if plain(key) == name), "")
            for column in columns.values()
        ]
        rows.append((name + (" (monitored)" if name == best.get("monitor") else ""), *cells))
    print()
    show_table(("", *columns), rows)
    print()
    following = {"test": f"test --ckpt_path {folder}"}
    if prolong is not None:
        limit = 2 * max(1, results[prolong.removeprefix("max_")])
        following["prolong"] = f"fit --run {folder} --trainer.{prolong} {limit}"
    for name, words in following.items():
        print(f"{name:<9} {PROGRAM} {words}")
    print(f"{'watch':<9} tensorboard --logdir {folder}", flush=True)


def plain(name: str) -> str:
    """A metric of the test split stands in the row of its validation."""
    return name.replace("test/", "val/", 1)
