"""Groups of runs that differ in nothing but the seed, and what can be claimed of the differences
between them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..cli.arguments import MAY_CHANGE
from ..cli.classes import slot_at
from ..cli.screen import show_table
from ..errors import UserError, suggest
from ..formats import setting
from ..registry import PROGRAM
from .run import Run
from .student import LEVEL, Difference, difference, holm, mean_of
from .table import NO_HYPERPARAMETERS, differing, short

WHERE = {
    ".".join(path) for path in MAY_CHANGE
}  # settings that change where and how data is read, not what
SEEDS = 3  # of each side, before a difference is claimed
ALL_PAIRS = 3  # groups of which each pair is compared; of more, all with the best
SHARES = ("accuracy", "neighbour", "pairs")  # metrics that count samples


@dataclass
class Group:
    """Runs of one config by their seeds."""

    label: str
    runs: dict[int, Run] = field(default_factory=dict)

    def values(self, metric: str) -> dict[int, float]:
        """A final metric by seed, of the runs that have it."""
        return {
            seed: value
            for seed, run in self.runs.items()
            if (value := run.metric(metric)) is not None
        }


# ---------------------------------------------------------------------- grouping


def group(paths: Iterable[Path]) -> list[Group]:
    """The runs of these folders, grouped by what decides their result; of equal ones the last
    counts.

    What cannot be read, or has not ended, is named and left out.

    Raises:
        UserError: nothing is left.
    """
    groups: dict[str, Group] = {}
    for path in paths:
        try:
            run = Run(path)
            if run.state not in ("finished", ""):
                raise UserError(f"{path}: {run.state}, not finished")
            key = what_decides(run)
            group = groups.setdefault(key, Group(""))
            if run.seed in group.runs:
                print(f"{group.runs[run.seed]}: left out, {run} is the same with the same seed")
            group.runs[int(run.seed or 0)] = run
        except UserError as error:
            print(f"left out: {error.on_command_line()}")
    if not groups:
        raise UserError("there is no finished run to compare")
    for found, label in zip(
        groups.values(),
        labels([next(iter(found.runs.values())) for found in groups.values()]),
        strict=True,
    ):
        found.label = label
    return list(groups.values())


def what_decides(run: Run) -> str:
    """All that decides the result of a run but its seed: settings, data, the weights it began
    with.
    """
    settings = sorted(
        (name, setting(value)) for name, value in run.settings.items() if decides(name)
    )
    data = {
        split: part.get("digest")
        for split, part in (run.description.get("data") or {}).items()
        if split in ("train", "val") and isinstance(part, dict)
    }
    return str((settings, sorted(data.items()), run.description.get("weights")))


def decides(name: str) -> bool:
    """Whether a setting may change what comes out."""
    return not name.startswith(NO_HYPERPARAMETERS) and name not in WHERE


def labels(runs: list[Run]) -> list[str]:
    """A name for each of these runs that tells it from the others: its own, or the fewest settings
    that do.
    """
    names = [run.name for run in runs]
    if len(set(names)) == len(names):
        return names
    every = [name for name in differing(runs) if decides(name)]
    chosen: list[str] = []
    while len(set(words := [_words(run, chosen) for run in runs])) < len(runs):
        rest = [key for key in every if key not in chosen]
        if not rest:
            return [str(run) for run in runs]
        chosen.append(
            max(rest, key=lambda key: len({_words(run, [*chosen, key]) for run in runs}))
        )  # the first of the best
    for size in range(len(chosen), 0, -1):  # where fewer words are enough for one, it has no more
        for i, run in enumerate(runs):
            fewer = _words(run, chosen[:size])
            if all(fewer != _words(other, chosen[:size]) for other in runs if other is not run):
                words[i] = fewer
    said_as = {
        key: "" if slot_at(tuple(key.split("."))) else f"{short(key, every)} " for key in chosen
    }  # a class speaks for itself
    return [", ".join(said_as[key] + value for key, value in pairs) for pairs in words]


def _words(run: Run, keys: list[str]) -> tuple[tuple[str, str], ...]:
    """The settings of a run under these keys, of those that it has."""
    return tuple((key, setting(run.settings[key])) for key in keys if key in run.settings)


# ---------------------------------------------------------------------- metrics


def print_comparison(groups: list[Group], metric: str | None) -> None:
    """A row for each group with its mean and interval, and a sentence for each difference that was
    asked for.

    Raises:
        UserError: no run has the metric.
    """
    runs = [run for found in groups for run in found.runs.values()]
    metric = metric or runs[0].monitor
    known = sorted({name for run in runs for name in run.metrics})
    if metric not in known:
        hint = f" ({PROGRAM} test --ckpt_path RUN)" if metric.startswith("test/") else ""
        raise UserError(
            f"--metric {metric}: no run has it{hint}; {suggest(metric, known, 'there are')}"
        )
    for run in runs:
        if run.metric(metric) is None:
            print(f"left out: {run}: it has no {metric}")
    there = [found for found in groups if found.values(metric)]
    falls = runs[0].mode(metric) == "min"
    there.sort(
        key=lambda found: mean_of(list(found.values(metric).values())).value * (1 if falls else -1)
    )
    rows = []
    for found in there:
        values = list(found.values(metric).values())
        mean = mean_of(values)
        interval = f"+- {said(mean.half)}" if math.isfinite(mean.half) else "one seed"
        ends = said(min(values)), said(max(values))
        rows.append([found.label, str(mean.count), said(mean.value), interval, *ends])
    beside = next((run.baselines for run in runs if run.baselines), [])
    fits = {one["name"]: one["metrics"][metric] for one in beside if metric in one["metrics"]}
    in_order = sorted(fits, key=lambda name: fits[name], reverse=not falls)
    rows += [[name, "", said(fits[name]), "baseline", "", ""] for name in in_order]
    heads = [metric, "seeds", "mean", f"{LEVEL:.0%} interval", "smallest", "largest"]
    show_table(heads, rows, width=80)
    for line in claims(there, metric, falls):
        print(line)


def claims(groups: list[Group], metric: str, falls: bool) -> list[str]:
    """What can be said of the best group, which comes first, against each other one, in plain
    words.
    """
    pairs = list(itertools.combinations(groups, 2))
    tests = [difference(first.values(metric), second.values(metric)) for first, second in pairs]
    done = [test for test in tests if test is not None]
    adjusted = iter(holm([test.p for test in done]))
    p_values = [next(adjusted) if test is not None else math.nan for test in tests]
    smallest = resolution(groups, metric)
    lines = [
        claim(first.label, second.label, test, p, metric, falls, smallest)
        for (first, second), test, p in zip(pairs, tests, p_values, strict=True)
        if first is groups[0] or len(groups) <= ALL_PAIRS
    ]
    if len(done) > 1:
        lines.append(
            f"p-values are raised for {len(done)} comparisons (Holm); intervals are those of "
            "single comparisons"
        )
    return lines


def resolution(groups: list[Group], metric: str) -> float:
    """The least difference that one sample makes to a share of right answers; 0 for others."""
    split, _, name = metric.partition("/")
    run = next(iter(groups[0].runs.values()))
    if not name.startswith(SHARES) or split not in run.splits():
        return 0.0
    return 1 / max(1, len(run.predictions(split).id))


def claim(
    first: str,
    second: str,
    test: Difference | None,
    p: float,
    metric: str,
    falls: bool,
    smallest: float,
) -> str:
    """One sentence on one difference, which may be smaller than what one sample makes."""
    if test is None or test.count < SEEDS:
        count = "one seed" if test is None else f"{test.count} seeds"
        return (
            f"{first} and {second}: no difference can be claimed with {count}, {SEEDS} are the "
            "least; run more with --seed_everything 1, 2, ..."
        )
    value, low, high = (
        (-test.value, -test.high, -test.low) if falls else (test.value, test.low, test.high)
    )
    how = (
        f"{test.count} seeds in pairs"
        if test.paired
        else f"not the same seeds, {test.count} or more each, Welch's test"
    )
    interval = f"{said(value)} [{said(low)}, {said(high)}]"
    chance = "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
    if abs(value) < smallest:
        return (
            f"no difference between {first} and {second} can be claimed: {said(value)} in {metric} "
            f"is less than one sample of {round(1 / smallest):,} ({how})"
        )
    if p < 1 - LEVEL:
        return f"{first} is better than {second} by {interval} in {metric} ({how}, {chance})"
    return (
        f"no difference between {first} and {second} can be claimed: {interval} in {metric} "
        f"({how}, {chance})"
    )


def said(value: float) -> str:
    return (
        f"{value:,.0f}"
        if abs(value) >= 1e4
        else f"{value:.4g}"
        if abs(value) >= 1
        else f"{value:.4f}"
    )


# ---------------------------------------------------------------------- curves


def draw(groups: list[Group], name: str, path: Path) -> Path:
    """The curves of all groups in one picture: the mean over the seeds, and from the lowest to the
    highest as a band.

    Raises:
        UserError: no run has such a curve, or the picture cannot be written.
    """
    from . import plots

    lines, bands = {}, {}
    for found in groups:
        curves = [curve for run in found.runs.values() if len((curve := run.curve(name))[0])]
        if not curves:
            continue
        places = max((curve[0] for curve in curves), key=len)
        values = np.stack([np.interp(places, *curve, right=np.nan) for curve in curves])
        lines[found.label] = places, np.nanmean(values, axis=0)
        if len(curves) > 1:
            bands[found.label] = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    if not lines:
        known = {
            column
            for found in groups
            for run in found.runs.values()
            for column in run.step_metrics
            if column not in ("step", "epoch")
        }
        raise UserError(f"--curve {name}: no run has it; {suggest(name, known, 'there are')}")
    if lonely := [found.label for found in groups if found.label not in lines]:
        print(f"without a curve {name}: {'; '.join(lonely)}")
    with plots.drawn():
        figure = plots.curves(lines, name, bands=bands, size=(6.4, 4.0), log="loss" in name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=120)
        except (OSError, ValueError) as error:
            raise UserError(
                f"--picture {path}: {getattr(error, 'strerror', None) or error}"
            ) from None
    return path
