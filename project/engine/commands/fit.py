"""`fit`: a new run, or the continuation of one."""

from __future__ import annotations

from collections.abc import Sequence

from ..cli.arguments import merge, read_arguments
from ..cli.settings import GROUPS
from .report import write_page

HELP = """usage: PROGRAM fit [--config FILE]... [--run FOLDER] [--weights RUN] [--KEY VALUE]...

  --config FILE       settings; several are merged, the later over the earlier
  --run FOLDER        write to this folder, or continue the run that is in it
  --ckpt_path FILE    start a new run from one of a run's step-*.ckpt files; a folder means --run
  --weights RUN       start a new run with the weights of another
  --fresh PATTERN     but for those that match, such as a head for other classes ('classifier.*')
  --seeds 5           train with so many seeds, and say mean and interval of each metric
  --workers 2         so many of them at a time
  --print_config      print the whole effective config and stop
  --print_init        print the first weights by layer, and what set them, and stop
  --debug             show tracebacks and Lightning's notes

  --data NAME                 --data.batch_size 64 --data.size 32 --data.root data
  --model NAME                the task; --model.monitor val/loss
  --model.net NAME            --model.net.dropout 0.2
  --model.loss NAME           --model.loss.label_smoothing 0.1
  --model.optimizer NAME      --model.optimizer.lr 0.001
  --model.schedule NAME       --model.schedule.warmup 0.1
  --trainer.max_epochs 10     --trainer.devices auto --trainer.precision bf16-mixed
  --run.save_every 500        --run.tensorboard true --run.print_every 100 --run.threads 2
                              --run.compile false
  --run.report true           the page of the run, report.html, at its end
  --seed_everything 0         --name NAME of the run's folder

`PROGRAM list` shows every NAME, `PROGRAM list networks LeNet` the arguments of one."""


OF_SEEDS = ("seeds", "workers")


def main(command: str, arguments: Sequence[str], debug: bool) -> int:
    """Train; returns 0 when the run is finished.

    Raises:
        SystemExit: 128 + the signal's number when the run was asked to stop.
    """
    options = ("--run", "--ckpt_path", "--weights", "--fresh", "--print_init")
    line = read_arguments(command, arguments, options, (*GROUPS, *OF_SEEDS))
    several = {key: text for key, text in line.assignments if key in OF_SEEDS}
    line.assignments = [pair for pair in line.assignments if pair[0] not in OF_SEEDS]
    settings = merge(line)  # mistakes in files and names are answered before torch is imported
    if several:
        from ..sweeps.seeds import fit_seeds

        return fit_seeds(line, several.get("seeds"), several.get("workers", "1"), debug)
    from ..cli.fitting import fit
    from ..cli.machine import quiet

    with quiet(debug):
        folder = fit(
            settings,
            run=line.path("--run"),
            checkpoint=line.path("--ckpt_path"),
            weights=line.path("--weights"),
            fresh=line.options.get("--fresh"),
            only_print="config" if line.print_config else "init" if line.print_init else None,
        )
        if folder is not None:
            write_page(folder)
    return 0
