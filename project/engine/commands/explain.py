"""`explain`: why a trained run answers as it does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..cli.arguments import read_words
from ..errors import UserError

HELP = """usage: PROGRAM explain --ckpt_path RUN [--input WHAT] [--output FILE]

Writes a page: of images, each beside what of it spoke for the answer (a heatmap
over the last convolution); of a table, how much worse the answers become when
each column is shuffled.

  --input WHAT        images: a file, a folder at any depth, a pattern, a text file of
                      paths, or - for paths on standard input; of a table a CSV or
                      Parquet file with its target; default: the validation split
  --output FILE       default: explained.html

  PROGRAM explain --ckpt_path runs/lenet/000"""


def main(command: str, arguments: Sequence[str], debug: bool) -> int:
    """Explain a checkpoint; returns the exit code."""
    words, given = read_words(command, arguments, ("--ckpt_path", "--input", "--output"))
    if words:
        raise UserError(f"explain: unexpected {words[0]}; the run is given as --ckpt_path RUN")
    if "--ckpt_path" not in given:
        raise UserError("explain needs --ckpt_path RUN (a run folder or a checkpoint file)")
    from ..cli.machine import quiet
    from ..reports.explain import explain

    with quiet(debug):
        checkpoint = Path(given["--ckpt_path"]).expanduser()
        explain(checkpoint, given.get("--input"), Path(given.get("--output", "explained.html")))
    return 0
