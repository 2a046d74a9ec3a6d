"""`profile`: where the time of a training step goes, and what to change.

The steps are those of `fit` with everything on. Their parts are timed by Lightning's profiler, the
kernels by torch's; what is left of an unwatched step is the framework's.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.profilers import SimpleProfiler

from ..bases.images import ImageData
from ..cli.arguments import CommandLine
from ..cli.machine import output_in
from ..cli.parser import ProjectCLI
from ..cli.screen import show_table
from ..cli.trainer import make_trainer
from ..loading.arrays import ItemDataset
from ..loading.augmenting import Augment, Mixing
from ..runs.folder import RunFolder
from .batch import wait_for
from .short import OWN_PACE, number_above, picture_path, prepared

WARM_UP = 10  # steps before anything is counted
OPERATIONS = 5  # of torch, that are named
LARGE = 0.15  # share of a step from which a part is worth a change

PARTS = {
    "read": "fetch a batch from memory, the cache or the files",
    "prepare": "to the device, augment, normalise",
    "forward": "the network and the loss",
    "backward": "the gradients",
    "optimizer": "the update of the weights",
    "records": "metrics, rows, TensorBoard, checkpoints, callbacks",
    "framework": "what Lightning and Python take around them",
}


class StepClock(Callback):
    """Seconds of each step, from the end of one to the end of the next."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.before = 0.0

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, i: int
    ) -> None:
        wait_for(module.device)
        now = time.perf_counter()
        if self.before:
            self.seconds.append(now - self.before)
        self.before = now


class Kernels(Callback):
    """Torch's profiler over a few steps."""

    def __init__(self) -> None:
        kinds = [torch.profiler.ProfilerActivity.CPU]
        if torch.cuda.is_available():
            kinds.append(torch.profiler.ProfilerActivity.CUDA)
        self.profile = torch.profiler.profile(activities=kinds)

    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Any, i: int
    ) -> None:
        if trainer.global_step == WARM_UP:
            self.profile.start()

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.profile.stop()

    def longest(self) -> list[tuple[str, float]]:
        """The operations that take longest, with their share of all."""
        times: dict[str, float] = {}
        for event in self.profile.key_averages():
            if "::" in event.key or event.key.islower():
                on_device = getattr(event, "self_device_time_total", 0.0)
                times[event.key] = float(event.self_cpu_time_total + on_device)
        whole = sum(times.values()) or 1.0
        return sorted(
            ((name, value / whole) for name, value in times.items()), key=lambda row: -row[1]
        )[:OPERATIONS]


def profile(request: CommandLine) -> int:
    """Train some steps, print where their time goes, and draw it; returns the exit code."""
    steps = int(number_above(request, "--steps", 100, 20))
    path = picture_path(request, "profile.png")
    cli = prepared(request)
    if cli is None:
        return 0
    clock = StepClock()
    steps_of(cli, steps + WARM_UP, clock)
    whole = statistics.mean(clock.seconds[WARM_UP - 1 :])
    profiler = SimpleProfiler()
    steps_of(cli, steps + WARM_UP, profiler=profiler)
    parts = parts_of(profiler.recorded_durations, type(cli.model).__name__)
    parts["framework"] = max(0.0, whole - sum(parts.values()))
    kernels = Kernels()
    steps_of(cli, WARM_UP + 5, kernels)
    total = sum(parts.values())
    rows = [
        [name, f"{1000 * parts[name]:.2f}", f"{100 * parts[name] / total:.0f} %", text]
        for name, text in PARTS.items()
    ]
    show_table(["part", "ms a step", "share", ""], rows)
    samples = cli.datamodule.batch_size / whole
    print(f"\nwhole     {1000 * whole:.2f} ms a step, {samples:,.0f} samples/s")
    found = kernels.longest()
    print("torch     " + ", ".join(f"{name} {share:.0%}" for name, share in found))
    for line in advice({name: value / total for name, value in parts.items()}, cli):
        print(f"change    {line}")
    draw(parts, path)
    print(f"picture   {path}")
    return 0


def steps_of(cli: ProjectCLI, steps: int, *callbacks: Callback, profiler: Any = None) -> None:
    """Train so many steps as fit does, into a folder that is thrown away."""
    own = {key: value for key, value in OWN_PACE.items() if key != "logger"}
    own |= {"max_steps": steps, "profiler": profiler}
    del own["enable_checkpointing"]
    arguments = cli.trainer_arguments
    given = dict(arguments)
    arguments.update(own)
    try:
        # What the steps print, and the profilers, goes where it is thrown away.
        place = tempfile.TemporaryDirectory(prefix="profile-")
        with place, output_in(Path(place.name) / "output.txt"):
            folder = RunFolder(Path(place.name) / "run").open()
            trainer = make_trainer(cli, folder, callbacks=callbacks)
            cli.model.train()
            trainer.fit(cli.model, datamodule=cli.datamodule)
            folder.close()
    finally:
        arguments.clear()
        arguments.update(given)


def parts_of(durations: Mapping[str, list[float]], task: str) -> dict[str, float]:
    """Seconds a step of each part, from what Lightning's profiler has recorded of its actions."""

    def of(*ends: str) -> float:
        """The mean seconds a step of all actions with one of these ends."""
        found = [
            values[WARM_UP:] for name, values in durations.items() if name.endswith(ends) and values
        ]
        return sum(statistics.mean(values) for values in found if values)

    strategy = "[Strategy]SingleDeviceStrategy"
    nested = of(
        ".on_before_zero_grad",
        ".on_before_backward",
        ".on_after_backward",
        ".on_before_optimizer_step",
    )
    forward = of(f"{strategy}.training_step")
    backward = of(f"{strategy}.backward") - of(".on_before_backward", ".on_after_backward")
    step = of(f"[LightningModule]{task}.optimizer_step")
    return {
        "read": of("].train_dataloader_next"),
        "prepare": of(f"{strategy}.batch_to_device"),
        "forward": forward,
        "backward": backward,
        "optimizer": max(0.0, step - forward - backward - nested),
        "records": nested + of(".on_train_batch_start", ".on_train_batch_end"),
    }


def advice(shares: Mapping[str, float], cli: ProjectCLI) -> list[str]:
    """What to change, the largest gain first."""
    data, lines = cli.datamodule, list[str]()
    if shares["read"] > LARGE:
        if isinstance(data.loaded("train"), ItemDataset):
            lines.append("--data.num_workers 2: samples are read one by one in this process")
        else:
            lines.append("the batches come from memory; a larger --data.batch_size reads faster")
    slow = [
        type(step).__name__
        for step in (data.augment if isinstance(data, ImageData) else ())
        if not isinstance(step, (Augment, Mixing))
    ]
    if shares["prepare"] > LARGE:
        what = f"{', '.join(slow)} changes image by image" if slow else "augmentation"
        lines.append(
            f"{what}: leave out what does not help; `list augmentations` names batched ones"
        )
    if shares["optimizer"] > LARGE:
        lines.append("a larger --data.batch_size, or an optimizer that torch fuses, as AdamW")
    if shares["records"] > LARGE:
        lines.append("--trainer.log_every_n_steps and --run.save_every larger")
    if shares["framework"] > LARGE:
        lines.append("a larger --data.batch_size: small steps pay most for what surrounds them")
    if not lines:
        share = shares["forward"] + shares["backward"]
        lines.append(f"nothing around it: {share:.0%} of the step is the network itself")
    return lines


def draw(parts: Mapping[str, float], path: Path) -> None:
    """A bar for each part as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.8), layout="constrained")
    axes = figure.add_subplot(xlabel="milliseconds of a step")
    values = [1000 * parts[name] for name in PARTS]
    bars = axes.barh(list(PARTS), values, color="tab:blue")
    axes.bar_label(bars, [f"{value:.2f}" for value in values], padding=3)
    axes.margins(x=0.12)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
