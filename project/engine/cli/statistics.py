"""`stats`: the statistics of a training split, as fit takes them and as others publish them."""

from __future__ import annotations

from ..bases.images import SAMPLED
from ..loading.arrays import ItemDataset
from ..spec import DataSpec
from .arguments import CommandLine, config_text, merge
from .machine import settle_threads
from .parser import ProjectCLI
from .screen import show


def statistics(request: CommandLine) -> int:
    """Print what the inputs of the asked data are normalised by; returns the exit code."""
    cli = ProjectCLI(merge(request))
    settle_threads(cli.config_tree)
    if request.print_config:
        print(config_text(cli.config_tree), end="")
        return 0
    cli.build()
    data = cli.datamodule
    data.prepare_data()
    trained, whole = data.part("train"), data.full_split("train")
    spec, preprocessing = data.spec, {"fit": data.preprocessing}
    print(f"{type(data).__name__}: inputs of {spec.shape()}, {target(spec)}")
    if len(trained) == len(whole):
        print(
            f"fit trains on the whole training split, {len(whole):,} samples, and uses its "
            "statistics"
        )
    else:
        has_test = "test" in data.splits
        preprocessing["published" if has_test else "whole"] = data.fit_preprocessing(whole)
        print(
            f"fit trains on {len(trained):,} samples and uses their statistics; the other "
            f"{len(whole) - len(trained):,} of the"
        )
        print(
            f"{'published training split' if has_test else 'data'}, {len(whole):,}, are held out "
            "for "
            f"{'validation' if has_test else 'validation and test'}"
        )
    if isinstance(whole, ItemDataset):
        print(
            f"estimated from {min(SAMPLED, len(trained)):,} of the samples, since each has to be "
            "decoded"
        )
    found = {name: data.statistics(values) for name, values in preprocessing.items()}
    if not found["fit"]:
        print("the inputs are not normalised")
        return 0
    print()
    heads = [f"{name} {what}" for name in found for what in ("mean", "deviation")]
    rows = [
        [key, *(number(value) for part in found.values() for value in part.get(key, ()))]
        for key in found["fit"]
    ]
    show(["", *heads], rows)
    return 0


def target(spec: DataSpec) -> str:
    """What is to be predicted, in a few words."""
    if spec.target == "number":
        scales = (
            f"{name} (mean {mean:.5g}, deviation {std:.5g})"
            for name, (mean, std) in zip(spec.names, spec.scale, strict=True)
        )
        return "to predict " + ", ".join(scales)
    kind = {
        "class": "classes",
        "labels": "labels",
        "mask": "classes of pixels",
        "sequence": "characters",
    }[spec.target]
    return f"{len(spec.names)} {kind}"


def number(value: float) -> str:
    """Four decimals, or six figures where those say more."""
    return f"{value:.4f}" if 0.001 <= abs(value) < 1000 or value == 0 else f"{value:,.6g}"
