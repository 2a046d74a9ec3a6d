"""`validate`, `test` and `predict`: what a checkpoint can do; it needs no config."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..cli.arguments import merge, read_arguments
from ..errors import UserError
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
    """Evaluate a checkpoint: print its metrics and keep them, or write predictions.csv."""
    options = ("--ckpt_path", "--output") if command == "predict" else ("--ckpt_path",)
    line = read_arguments(command, arguments, options)
    checkpoint = line.path("--ckpt_path")
    if checkpoint is None:
        raise UserError(f"{command} needs --ckpt_path RUN (a run folder or a checkpoint file)")
    settings = merge(line)
    from ..cli.evaluation import evaluate, folder_of
    from ..cli.machine import quiet

    with quiet(debug):
        output = line.path("--output") or Path("predictions.csv")
        metrics = evaluate(command, checkpoint, settings, output, line.print_config)  # type: ignore[arg-type]
        folder = folder_of(checkpoint)
        if metrics and folder is not None:
            write_page(folder)
    return 0
