"""`sweep`: many runs of one config with some of its settings varied."""

from __future__ import annotations

from collections.abc import Sequence

from ..cli.arguments import read_arguments
from ..cli.settings import GROUPS

HELP = """usage: PROGRAM sweep [--config FILE]... [--space.KEY VALUES]... [--KEY VALUE]...

  --config FILE       a sweep (configs/sweeps/) or any config of fit; the keys below may be in it
  --space.KEY VALUES  a setting that varies: --space.model.optimizer.lr '[0.1, 0.01]', or a range:
                      '{low: 1e-5, high: 1, log: true}' or '{low: 0, high: 1, step: 0.1}'
  --trials N          how many; a grid ends by itself
  --seeds N           the better half of the settings get a second seed, the better half of these
                      a third, ...; a setting's value is the mean over its seeds; default: 1
  --workers N         trials at a time; the cores (and GPUs) are divided among them; default: 1
  --sampler NAME      grid, random, tpe, cmaes, gp, qmc, nsga2 or a class of optuna.samplers;
                      default: grid, or tpe for ranges; --sampler.seed 1 and its other arguments
  --pruner NAME       none, median, percentile, threshold, asha, hyperband or a class of
                      optuna.pruners, with arguments
  --monitor NAME      what makes a trial good; default: the task's own; also epoch_seconds,
                      samples_per_second
  --direction WAY     minimize or maximize; default: the task's own
  --storage WHERE     a journal file on a shared folder, or postgresql://user@host/database for
                      many machines; default: journal.log in the sweep's folder
  --name NAME         of the sweep's folder under --run.root; default: the config's

Any other option of fit holds for all trials. The same command continues a sweep that was stopped
or killed."""


def main(command: str, arguments: Sequence[str], debug: bool) -> int:
    """Run all trials; returns 0 when all have ended and one has a value, 128 + the signal's number
    when stopped.
    """
    from ..sweeps.plan import KEYS, read_plan

    request = read_arguments(command, arguments, (), (*GROUPS, *KEYS))
    plan = read_plan(request)
    from ..sweeps.sweep import run

    return run(plan, debug)
