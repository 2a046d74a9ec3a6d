"""A sweep as Optuna remembers it: which trial comes next, what it reported, how it ended."""

from __future__ import annotations

import hashlib
import json
import math
import shlex
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from ..cli.arguments import as_text
from ..cli.classes import Tree
from ..cli.yamltext import read_yaml
from ..errors import UserError, clip
from ..registry import PROGRAM
from .plan import Plan
from .repeats import OF, SEED, Setting, due, planned, settings_of
from .space import Scalar, folder_name
from .storage import Storage

MOST_DEATHS = 5  # of the process under a trial without a new checkpoint; then the trial has failed
STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


@dataclass(frozen=True)
class TrialSpec:
    """A trial to run, from its beginning or from where it was interrupted."""

    number: int
    parameters: dict[str, Scalar]
    base: Path  # the config of all trials
    folder: Path
    assignments: list[tuple[str, str]]  # --key value over the base
    monitor: str
    direction: str
    description: Tree  # for run.json

    @property
    def command(self) -> str:
        """The same as a command of its own."""
        words = [word for key, text in self.assignments for word in (f"--{key}", text)]
        return shlex.join([*PROGRAM.split(), "fit", "--config", str(self.base), *words])


@dataclass(frozen=True)
class Epoch:
    """The end of an epoch: how many there were, how many are planned, and the monitored value."""

    number: int
    planned: int | None
    value: float | None


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: complete, pruned, failed or interrupted; `value` is the best it had."""

    state: str
    value: float | None = None
    epochs: int = 0
    seconds: float = 0.0
    reason: str = ""
    signal: int = 0  # the number of the one that interrupted it


class Study:
    """The trials of a sweep.

    Every change is made while the storage is held exclusively, so that each trial is run by one
    process, none is run twice, and the parameters of trial k are what they would have been had
    nobody been killed.
    """

    def __init__(self, plan: Plan, storage: Storage, monitor: str, direction: str) -> None:
        self.plan, self.storage = plan, storage
        self.monitor, self.direction = monitor, direction
        self.names = plan.space.short_names()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        pruner = plan.pruner.make(min_resource=1)
        with storage.exclusive():
            if plan.name in optuna.get_all_study_names(storage.optuna):
                self.study = optuna.load_study(
                    study_name=plan.name, storage=storage.optuna, pruner=pruner
                )
            else:
                way = optuna.study.StudyDirection[direction.upper()]
                self.study = optuna.create_study(
                    study_name=plan.name, storage=storage.optuna, pruner=pruner, direction=way
                )
            self.identity = storage.optuna.get_study_id_from_name(plan.name)
            self._remember()

    def _remember(self) -> None:
        """Note what the sweep is, or compare with what it was.

        Raises:
            UserError: it was another sweep.
        """
        plan = self.plan
        now = {
            "space": {
                p.key: optuna.distributions.distribution_to_json(p.distribution())
                for p in plan.space.parameters
            },
            "sampler": {plan.sampler.name: plan.sampler.arguments, "seed": plan.sampler_seed},
            "monitor": self.monitor,
            "direction": self.direction,
            "settings": plan.base(),
        }
        before = self.study.user_attrs.get("sweep")
        if before is None:
            self.study.set_user_attr("sweep", now)
            return
        if not isinstance(before, dict) or {n: type(v) for n, v in before.items()} != {
            n: type(v) for n, v in now.items()
        }:
            raise UserError(
                f"the record of the sweep {plan.name} is damaged: --name begins another"
            )
        for name, value in now.items():
            if name == "settings":
                refuse_other_settings(plan.base(), before[name], plan.name)
            elif before[name] != value:
                raise UserError(
                    f"the sweep {plan.name} began with the {name} "
                    f"{clip(json.dumps(before[name]), 120)}, "
                    f"now it is {clip(json.dumps(value), 120)}; a sweep continues as it began: "
                    "--name begins another"
                )

    # ------------------------------------------------------------------ trials

    def trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def claim(self) -> TrialSpec | None:
        """The next trial for this process: one whose process died, or a new one; None when there is
        none (now).
        """
        with self.storage.exclusive():
            trials = self.trials()
            for trial in trials:
                owner = trial.user_attrs.get("owner", "")
                if trial.state != TrialState.RUNNING or self.storage.is_alive(owner):
                    continue
                if not (owner and self._has_died_too_often(trial)):
                    return self._take(trial)
            if not any(trial.state == TrialState.WAITING for trial in trials):
                settings = settings_of(trials)
                if len(settings) < self.plan.trials:
                    if self.plan.is_grid:
                        combination = self.plan.space.combination(len(settings))
                        self.study.enqueue_trial(combination)
                elif again := due(settings, self.plan.seeds, self.direction == "maximize"):
                    first, seed = again[0].first, again[1]
                    attributes = {OF: first.number, SEED: seed}
                    self.study.enqueue_trial(first.params, user_attrs=attributes)
                else:
                    return None
            return self._take(self._new(len(trials)))

    def _new(self, number: int) -> FrozenTrial:
        """Ask for the trial that waits, or for what the sampler proposes."""
        if not self.plan.is_grid:
            # a function of the sampler's seed, the number of the trial and the trials before it
            self.study.sampler = self.plan.sampler.make(
                seed=seed_of(self.plan.sampler_seed, number)
            )
        asked = self.study.ask(self.plan.space.distributions())
        return self.study.get_trials(deepcopy=False)[asked.number]

    def _take(self, trial: FrozenTrial) -> TrialSpec:
        """Put this process's name on a trial."""
        handle = self._handle(trial)
        for name, distribution in self.plan.space.distributions().items():
            # Known ones stay; one may be missing where a database was cut off. In public there is
            # one method for each kind.
            handle._suggest(name, distribution)
        handle.set_user_attr("owner", self.storage.owner)
        parameters = {p.key: handle.params[p.key] for p in self.plan.space.parameters}
        threads = trial.user_attrs.get("threads", self.plan.threads)
        name = folder_name(trial.number, parameters, self.names)
        if SEED in trial.user_attrs:
            name += f"-seed{trial.user_attrs[SEED]}"
        folder = self.plan.folder / name
        if "threads" not in trial.user_attrs:
            handle.set_user_attr("threads", threads)
        handle.set_user_attr("folder", str(folder))
        assignments = [(key, as_text(value)) for key, value in parameters.items()]
        if "run.threads" not in parameters:
            assignments.append(("run.threads", str(threads)))
        if seed := trial.user_attrs.get(SEED, 0):
            assignments.append(("seed_everything", str(self.plan.seed + seed)))
        return TrialSpec(
            number=trial.number,
            parameters=parameters,
            base=self.plan.folder / "base.yaml",
            folder=folder,
            assignments=assignments,
            monitor=self.monitor,
            direction=self.direction,
            description={
                "name": self.plan.name,
                "trial": trial.number,
                "parameters": parameters,
            },
        )

    def _handle(self, trial: FrozenTrial) -> optuna.Trial:
        """Optuna's Trial for a trial that another process may have begun."""
        self.study.sampler = optuna.samplers.RandomSampler(seed=trial.number)
        number = self.storage.optuna.get_trial_id_from_study_id_trial_number(
            self.identity, trial.number
        )
        return optuna.Trial(self.study, number)

    def is_pruned(self, spec: TrialSpec, epoch: Epoch) -> bool:
        """Note an epoch; whether to give the trial up, the same when it is resumed."""
        if epoch.value is None:
            return False
        with self.storage.exclusive():
            trial = self.trials()[spec.number]
            if epoch.number in trial.intermediate_values:
                return trial.user_attrs.get("pruned_at") == epoch.number
            handle = self._handle(trial)
            if "planned" not in trial.user_attrs:
                handle.set_user_attr("planned", epoch.planned)
            handle.report(epoch.value, epoch.number)
            repeats = OF in trial.user_attrs  # a mean wants all its seeds
            if repeats or epoch.number == epoch.planned or not handle.should_prune():
                return False
            handle.set_user_attr("pruned_at", epoch.number)
            return True

    def ended(self, spec: TrialSpec, outcome: Outcome) -> None:
        """Note how a trial ended; one that was interrupted is free for whoever comes next."""
        with self.storage.exclusive():
            trial = self.trials()[spec.number]
            if trial.state.is_finished():
                return
            handle = self._handle(trial)
            if outcome.state not in STATES:
                handle.set_user_attr("owner", "")
                return
            for name in ("epochs", "seconds", "reason"):
                handle.set_user_attr(name, getattr(outcome, name))
            if outcome.value is not None:
                handle.set_user_attr("best", outcome.value)
            self.study.tell(
                handle,
                outcome.value if outcome.state == "complete" else None,
                STATES[outcome.state],
            )

    def _has_died_too_often(self, trial: FrozenTrial) -> bool:
        """Count the deaths of a trial's process between two checkpoints; too many of them end
        it.
        """
        handle = self._handle(trial)
        folder = Path(trial.user_attrs.get("folder", ""))
        newest = max((path.name for path in folder.glob("checkpoints/step-*.ckpt")), default="")
        place, deaths = trial.user_attrs.get("deaths", ("", 0))
        deaths = deaths + 1 if place == newest else 1
        handle.set_user_attr("deaths", (newest, deaths))
        if deaths < MOST_DEATHS:
            return False
        handle.set_user_attr("reason", f"its process died {deaths} times at the same place")
        self.study.tell(handle, state=TrialState.FAIL)
        return True

    def is_over(self) -> bool:
        """Whether every planned trial has ended."""
        trials = self.trials()
        settings = settings_of(trials)
        return (
            len(settings) >= self.plan.trials
            and all(trial.state.is_finished() for trial in trials)
            and due(settings, self.plan.seeds, self.direction == "maximize") is None
        )

    def planned(self) -> int:
        """How many trials there are in all, as far as that is known."""
        return planned(settings_of(self.trials()), self.plan.trials, self.plan.seeds)

    def ranked(self) -> list[Setting]:
        """All settings, the best of those with most seeds first; then those that were given up,
        then those without a value.
        """
        sign = -1 if self.direction == "maximize" else 1

        def place(setting: Setting) -> tuple[int, int, float, int]:
            order = (
                TrialState.COMPLETE,
                TrialState.PRUNED,
                TrialState.RUNNING,
                TrialState.WAITING,
                TrialState.FAIL,
            )
            trial, values = setting.first, setting.values()
            value = sign * setting.mean() if values else math.inf
            return order.index(trial.state), -len(values), value, trial.number

        return sorted(settings_of(self.trials()), key=place)


def seed_of(seed: int, number: int) -> int:
    """The sampler's seed for a trial."""
    return int.from_bytes(
        hashlib.blake2b(f"{seed} {number}".encode(), digest_size=4).digest(), "little"
    )


def refuse_other_settings(now: str, before: str, name: str) -> None:
    """Refuse what makes the trials of a sweep unlike each other.

    Raises:
        UserError: names the key.
    """
    from ..cli.arguments import MAY_CHANGE, differences

    trees = (read_yaml(now, "the settings"), read_yaml(before, f"the settings of the sweep {name}"))
    for path, (new, old) in differences(*trees).items():
        if path[0] != "run" and path not in MAY_CHANGE and path[:2] != ("trainer", "accelerator"):
            raise UserError(
                f"--{'.'.join(path)}: the sweep {name} began with {clip(old)!r}, now it is "
                f"{clip(new)!r}; "
                "a sweep continues as it began: --name begins another"
            )
