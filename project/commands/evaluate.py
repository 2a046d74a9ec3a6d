"""`validate`, `test` and `predict`: what a checkpoint can do; it needs no config."""

from __future__ import annotations

from collections.abc import Sequence

from project.cli.arguments import read_arguments
from project.commands.report import write_page

HELP = """usage: python -m project {command} --ckpt_path RUN [--KEY VALUE]...

  --ckpt_path RUN     a run folder (its best.ckpt) or a checkpoint file
  --data.root DIR     where the data is now, if it has moved; any other key can be changed too{more}"""


def main(command: str, arguments: Sequence[str], debug: bool) -> int:
    """Evaluate a checkpoint, print its figures and keep them in the run folder; or write predictions.csv."""
    if {"-h", "--help"} & set(arguments):
        more = "\n  --output FILE       where the predictions go; default: predictions.csv" if command == "predict" else ""
        print(HELP.format(command=command, more=more))
        return 0
    options = ("--ckpt_path", "--output") if command == "predict" else ("--ckpt_path",)
    request = read_arguments(command, arguments, options, debug)
    from project.cli.evaluation import evaluate
    from project.cli.machine import quiet

    with quiet(debug):
        code = evaluate(request)
        write_page(request.to_report)
        return code
