"""What a sweep leaves behind: a ranked table, results.csv, results.json and best.yaml."""

from __future__ import annotations

import json
import shlex
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from ..cli.arguments import as_text, config_text
from ..cli.settings import Layer, Settings, from_assignments, from_yaml
from ..registry import PROGRAM
from ..runs.files import csv_line, write_atomic, write_json, write_text
from .repeats import SEED
from .study import Study

STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
# of a trial, in results.json
FIELDS = ("trial", "state", "value", "seeds", "parameters", "epochs", "seconds", "folder", "reason")
TRIALS_PER_PARAMETER = 5  # complete ones, from which importances are computed
SEEDS = 5  # in the command that retrains the best


@dataclass(frozen=True)
class Findings:
    """What there is to say of a sweep, for its page."""

    name: str
    folder: Path
    monitor: str
    direction: str
    names: dict[str, str]  # key of each parameter -> its short name
    log: list[str]  # the keys of those on a log scale
    rows: list[dict[str, Any]]  # the trials, the best first
    importances: dict[str, float]  # key -> share, the largest first
    retrain: str

    def counts(self) -> dict[str, int]:
        """How many trials ended in each way, where some did."""
        states = [row["state"] for row in self.rows]
        return {
            state: states.count(state)
            for state in ("complete", "pruned", "failed")
            if state in states
        }


def rows(study: Study) -> list[dict[str, Any]]:
    """All settings as plain values, the best first: their first trials, with the means over their
    seeds.
    """
    found = []
    for setting in study.ranked():
        values, about = setting.values(), row(setting.first)
        again = [row(trial) for trial in setting.repeats]
        about["seeds"] = len(values)
        if values:
            about["value"] = setting.mean()
        about["seconds"] += sum(one["seconds"] for one in again)
        failed = next((one for one in again if one["reason"]), None)
        if failed:
            about["reason"] = f"with a further seed (trial {failed['trial']}): {failed['reason']}"
        found.append(about)
    return found


def trial_rows(study: Study) -> list[dict[str, Any]]:
    """All trials as plain values, by their numbers."""
    return [row(trial) for trial in study.trials()]


def row(trial: FrozenTrial) -> dict[str, Any]:
    about = trial.user_attrs
    return {
        "trial": trial.number,
        "seed": about.get(SEED, 0),
        "state": STATES[trial.state],
        "value": trial.value,
        "parameters": trial.params,
        "best": about.get("best", trial.last_step and trial.intermediate_values[trial.last_step]),
        "epochs": about.get("epochs", trial.last_step or 0),
        "planned": about.get("planned"),
        "owner": about.get("owner", ""),
        "seconds": about.get("seconds", 0.0),
        "folder": about.get("folder", ""),
        "reason": about.get("reason", ""),
    }


def write_results(study: Study) -> None:
    """results.csv, results.json and best.yaml in the sweep's folder."""
    plan, found = study.plan, rows(study)
    keys = [parameter.key for parameter in plan.space.parameters]
    last = ["epochs", "seconds", "folder", "reason"]
    head = ["rank", "trial", "state", study.monitor, "seeds", *keys, *last]
    lines = [csv_line(head)]
    for rank, one in enumerate(found, 1):
        parameters = [one["parameters"].get(key, "") for key in keys]
        value = "" if one["value"] is None else one["value"]
        lines.append(
            csv_line(
                [
                    rank,
                    one["trial"],
                    one["state"],
                    value,
                    one["seeds"],
                    *parameters,
                    *(one[name] for name in last),
                ]
            )
        )
    write_atomic(plan.folder / "results.csv", lambda file: file.write(b"".join(lines)))
    summary = {
        "name": plan.name,
        "monitor": study.monitor,
        "direction": study.direction,
        "trials": [{key: one[key] for key in FIELDS} for one in found],
    }
    write_json(plan.folder / "results.json", summary)
    if found and found[0]["state"] == "complete":
        write_text(plan.folder / "best.yaml", best_config(study, found[0]))


def best_config(study: Study, best: dict[str, Any]) -> str:
    """The settings of the best trial as a config of its own, with how it came about at its top."""
    settings = Settings()
    settings.add(from_yaml(study.plan.base(), "base.yaml"))
    chosen = best["parameters"].items()
    settings.add(
        from_assignments([(key, value) for key, value in chosen if isinstance(value, str)])
    )  # classes first
    numbers = from_assignments(
        [(key, as_text(value)) for key, value in chosen if not isinstance(value, str)]
    )
    settings.add(Layer(typed(numbers.tree), numbers.say))
    tree = {"name": f"{study.plan.name}-best", **settings.tree}
    said = (
        f"# The best of {study.plan.trials} trials of the sweep {study.plan.name}: trial "
        f"{best['trial']}, "
    )
    of = f" (the mean of {best['seeds']} seeds)" if best["seeds"] > 1 else ""
    said += (
        f"{study.monitor} {best['value']:.6g}{of}\n#   {PROGRAM} fit --config "
        f"{study.plan.folder / 'best.yaml'}\n"
    )
    return said + config_text(tree)


def typed(tree: Any) -> Any:
    """A tree whose every value was written as JSON, with the values."""
    return (
        {key: typed(value) for key, value in tree.items()}
        if isinstance(tree, dict)
        else json.loads(tree)
    )


def findings(study: Study) -> Findings:
    """All of it for the page."""
    plan = study.plan
    log = [parameter.key for parameter in plan.space.parameters if parameter.log]
    return Findings(
        name=plan.name,
        folder=plan.folder,
        monitor=study.monitor,
        direction=study.direction,
        names=study.names,
        log=log,
        rows=rows(study),
        importances=importances(study),
        retrain=retrain_command(study),
    )


def importances(study: Study) -> dict[str, float]:
    """How much each parameter matters: Watanabe, Bansal, Hutter: PED-ANOVA, 2023. Empty where the
    trials cannot tell.
    """
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    whole = [trial for trial in study.trials() if trial.state == TrialState.COMPLETE]
    varied = [key for key in study.names if len({trial.params.get(key) for trial in whole}) > 1]
    if len(whole) < TRIALS_PER_PARAMETER * len(varied) or not varied:
        return {}
    with warnings.catch_warnings():  # Optuna's word for it is "experimental"
        warnings.simplefilter("ignore")
        return get_param_importances(
            study.study, evaluator=PedAnovaImportanceEvaluator(), params=varied
        )


def retrain_command(study: Study) -> str:
    """One line of shell: the best config with several seeds."""
    config = shlex.quote(str(study.plan.folder / "best.yaml"))
    seeds = " ".join(map(str, range(SEEDS)))
    return f"for seed in {seeds}; do {PROGRAM} fit --config {config} --seed_everything $seed; done"
