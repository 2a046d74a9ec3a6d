"""`validate`, `test` and `predict`: what a checkpoint can do; it needs no config."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..cli.arguments import CommandLine, merge, read_arguments, yes_or_no
from ..errors import UserError
from .report import write_page

TEXT = """usage: PROGRAM {command} --ckpt_path RUN [--KEY VALUE]...

  --ckpt_path RUN     a run folder (its best.ckpt) or a checkpoint file
  --data.root DIR     where the data is now, if it has moved; other keys can be changed too{more}"""
OUTPUT = """
  --output FILE       where the predictions go: .csv, .jsonl or .parquet; default: predictions.csv
  --input WHAT        new inputs instead of the test split: of images a file, a folder at any
                      depth, a pattern, a text file of paths, or - for paths on standard input;
                      of a table a CSV or Parquet file, with or without the target
  --top 3             so many classes with their probabilities
  --on_error skip     images: leave out files that cannot be read, and count them
  --trainer.accelerator, --trainer.devices and --trainer.precision say where and how
                      new inputs are answered: one device, 32-true"""
CALIBRATE = """
  --calibrate true    fit a temperature on the validation split, and say how far the
                      probabilities are to be believed before and after it"""
MORE = {"predict": OUTPUT, "test": CALIBRATE, "validate": ""}
HELP = {command: TEXT.format(command=command, more=more) for command, more in MORE.items()}
PLACE = ("trainer.accelerator", "trainer.devices", "trainer.precision")
OPTIONS = {
    "validate": (),
    "test": ("--calibrate",),
    "predict": ("--output", "--input", "--top", "--on_error"),
}


def main(command: str, arguments: Sequence[str], debug: bool) -> int:
    """Evaluate a checkpoint: print its metrics and keep them, or write predictions.csv."""
    line = read_arguments(command, arguments, ("--ckpt_path", *OPTIONS[command]))
    checkpoint = line.path("--ckpt_path")
    if checkpoint is None:
        raise UserError(f"{command} needs --ckpt_path RUN (a run folder or a checkpoint file)")
    word, output = line.options.get("--input"), line.path("--output") or Path("predictions.csv")
    if word is not None:
        return predict_inputs(line, checkpoint, word, output, debug)
    if of_inputs := [option for option in ("--top", "--on_error") if option in line.options]:
        raise UserError(f"{of_inputs[0]} is for what --input names")
    settings, calibrate = merge(line), yes_or_no(line.options, "--calibrate")
    from ..cli.evaluation import evaluate, folder_of
    from ..cli.machine import quiet

    with quiet(debug):
        metrics = evaluate(command, checkpoint, settings, output, line.print_config, calibrate)  # type: ignore[arg-type]
        folder = folder_of(checkpoint)
        if metrics and folder is not None:
            write_page(folder)
    return 0


def predict_inputs(
    line: CommandLine, checkpoint: Path, word: str, output: Path, debug: bool
) -> int:
    """Predict new images or rows; returns the exit code."""
    top, on_error = line.options.get("--top", "1"), line.options.get("--on_error", "stop")
    if not top.isdecimal() or int(top) < 1:
        raise UserError(f"--top {top}: expected a whole number of classes, 1 or more")
    if on_error not in ("skip", "stop"):
        raise UserError(f"--on_error {on_error}: skip or stop")
    place = {key: value for key, value in line.assignments if key in PLACE}
    line.assignments = [(key, value) for key, value in line.assignments if key not in PLACE]
    if line.print_config or any(not key.startswith("data.") for key, _ in line.assignments):
        raise UserError(
            "predict --input takes the run as it is; of its settings only --data.KEY and "
            + ", ".join(f"--{key}" for key in PLACE)
        )
    settings = merge(line)
    from ..cli.machine import quiet
    from ..shipping import streams

    with quiet(debug):
        fabric = streams.fabric_of(*(place.get(key) for key in PLACE))
        streams.predict(checkpoint, word, output, settings, int(top), on_error, fabric)  # type: ignore[arg-type]
    return 0
