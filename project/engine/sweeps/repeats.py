"""Further seeds for the leaders of a sweep: a setting's value is the mean over its seeds.

Every setting is tried with the first seed; of those that end, the better half gets the second, the
better half of these the third, and so on, at least LEAST of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from optuna.trial import FrozenTrial, TrialState

LEAST = 2  # settings of a round, so that the first is compared with a second
OF, SEED = "repeats", "seed"  # of a repeat: the number of its setting's first trial, which seed


@dataclass
class Setting:
    """The trials of one setting: with the first seed, and with further ones in their order."""

    first: FrozenTrial
    repeats: list[FrozenTrial] = field(default_factory=list)

    def values(self) -> list[float]:
        """Of the seeds that have ended, up to the first that has not."""
        found: list[float] = []
        for place, trial in enumerate([self.first, *self.repeats]):
            ended = trial.state == TrialState.COMPLETE and trial.user_attrs.get(SEED, 0) == place
            if not ended or trial.value is None:
                break
            found.append(trial.value)
        return found

    def mean(self, seeds: int | None = None) -> float:
        """Over the seeds that have ended, or the first of them."""
        values = self.values()[:seeds]
        return math.fsum(values) / len(values) if values else math.nan


def settings_of(trials: Iterable[FrozenTrial]) -> list[Setting]:
    """The trials of a sweep by their settings, in the order in which these were begun."""
    found: dict[int, Setting] = {}
    for trial in sorted(trials, key=lambda trial: (trial.user_attrs.get(SEED, 0), trial.number)):
        if OF in trial.user_attrs:
            found[trial.user_attrs[OF]].repeats.append(trial)
        else:
            found[trial.number] = Setting(trial)
    return list(found.values())


def size(settings: int, seed: int) -> int:
    """How many of so many settings get this seed."""
    return min(settings, max(LEAST, math.ceil(settings / 2**seed)))


def planned(settings: Iterable[Setting], trials: int, seeds: int) -> int:
    """How many trials a sweep has in all, as far as that is known."""
    found = list(settings)
    able = trials
    if len(found) >= trials and all(one.first.state.is_finished() for one in found):
        able = sum(bool(one.values()) for one in found)
    return trials + sum(min(able, size(trials, seed)) for seed in range(1, seeds))


def due(settings: Iterable[Setting], seeds: int, maximize: bool) -> tuple[Setting, int] | None:
    """The setting that is to be tried with a further seed, and which; None when there is none, or
    the round before has not ended.
    """
    found = list(settings)
    for seed in range(1, seeds):
        before = [
            trial
            for one in found
            for trial in (one.first, *one.repeats)
            if trial.user_attrs.get(SEED, 0) < seed
        ]
        if not all(trial.state.is_finished() for trial in before):
            return None
        able = [one for one in found if len(one.values()) >= seed]
        able.sort(key=lambda one: (one.mean(seed) * (-1 if maximize else 1), one.first.number))
        for one in able[: size(len(found), seed)]:
            if not any(trial.user_attrs.get(SEED) == seed for trial in one.repeats):
                return one, seed
    return None
