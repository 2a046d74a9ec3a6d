"""Which settings of a sweep get a further seed, and when."""

from __future__ import annotations

import math

import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from project.engine.sweeps.repeats import OF, SEED, due, planned, settings_of, size

Begun = tuple[float | None, int, int]  # value (None: it failed, nan: it runs), setting, seed


def trials(*begun: Begun) -> list[FrozenTrial]:
    made = []
    for number, (value, setting, seed) in enumerate(begun):
        state = TrialState.COMPLETE
        if value is None or math.isnan(value):
            state, value = TrialState.FAIL if value is None else TrialState.RUNNING, None
        about = {OF: setting, SEED: seed} if seed else {}
        one = create_trial(state=state, value=value, user_attrs=about)
        one.number = number
        made.append(one)
    return made


FIVE: list[Begun] = [(value, i, 0) for i, value in enumerate([0.1, 0.9, 0.5, 0.8, 0.2])]
# what has been begun, and the setting and seed that come next
CASES: dict[str, tuple[list[Begun], int, tuple[int, int] | None]] = {
    "one seed is all that was asked": (FIVE, 1, None),
    "the best is first": (FIVE, 3, (1, 1)),
    "then the next": ([*FIVE, (0.7, 1, 1)], 3, (3, 1)),
    "a round waits for the one before": ([*FIVE[:4], (math.nan, 4, 0)], 3, None),
    "half of five are three": ([*FIVE, (0.7, 1, 1), (0.9, 3, 1)], 3, (2, 1)),
    "a fourth is none": ([*FIVE, (0.7, 1, 1), (0.9, 3, 1), (math.nan, 2, 1)], 2, None),
    "the mean leads": ([*FIVE, (0.2, 1, 1), (0.9, 3, 1), (0.7, 2, 1)], 3, (3, 2)),
    "not the last seed": (
        [*FIVE, (0.2, 1, 1), (0.9, 3, 1), (0.7, 2, 1), (0.1, 3, 2)],
        3,
        (2, 2),
    ),
    "what failed is left": ([*FIVE, (None, 1, 1), (0.9, 3, 1), (0.7, 2, 1)], 3, (3, 2)),
    "of two there are always two": ([(1.0, 0, 0), (0.5, 1, 0), (1.0, 0, 1)], 2, (1, 1)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_better_half_of_each_round_gets_the_next_seed(name: str) -> None:
    begun, seeds, wanted = CASES[name]
    found = due(settings_of(trials(*begun)), seeds, maximize=True)
    assert (found and (found[0].first.number, found[1])) == wanted


def test_a_value_is_the_mean_over_the_seeds_that_have_ended() -> None:
    one, *_ = settings_of(trials((1.0, 0, 0), (2.0, 0, 1), (math.nan, 0, 2)))
    assert one.values() == [1.0, 2.0] and one.mean() == 1.5 and one.mean(1) == 1.0


@pytest.mark.parametrize(("settings", "sizes"), [(1, (1, 1)), (4, (2, 2)), (20, (10, 5))])
def test_the_sizes_of_the_rounds(settings: int, sizes: tuple[int, int]) -> None:
    assert (size(settings, 1), size(settings, 2)) == sizes
    assert planned([], settings, 3) == settings + sum(sizes)
