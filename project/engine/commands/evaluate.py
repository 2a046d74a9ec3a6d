"""`validate`, `test` and `predict`: what a checkpoint can do; it needs no config."""

from __future__ import annotations

from collections.abc import Sequence

from ..cli.arguments import read_arguments
from .report import write_page

TEXT = """usage: PROGRAM {command} --ckpt_path RUN [--KEY VALUE]...

  --ckpt_path RUN     a run folder (its best.ckpt) or a checkpoint file
  --data.root DIR     where the data is now, if it has moved; other keys can be changed too{more}"""
OUTPUT = "\n  --output FILE       where the predictions go; default: predictions.csv"
HELP = {
    command: TEXT.format(command=command, more=OUTPUT * (command == "predict"))
    for command in ("validate", "test", "predict")
}


def main(command: str, arguments: Sequence[str], debug: bool) -> int:
    """Evaluate a checkpoint, print its figures and keep them in the run folder; or write
    predictions.csv.
    """
    options = ("--ckpt_path", "--output") if command == "predict" else ("--ckpt_path",)
    request = read_arguments(command, arguments, options, debug)
    from ..cli.evaluation import evaluate
    from ..cli.machine import quiet

    with quiet(debug):
        code = evaluate(request)
        write_page(request.to_report)
        return code
