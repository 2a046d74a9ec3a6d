"""`export`: a trained run as a file that runs without this package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..cli.arguments import read_words
from ..errors import UserError, suggest

HELP = """usage: PROGRAM export --ckpt_path RUN --to WAY [--output FOLDER]

Writes the best checkpoint of a run with its preparation (scale, normalisation) as
one file, and beside it model.json (names, how columns are encoded) and card.md
(what it does, how well, how it is called). Its answers are compared with torch's
on the validation split; where they differ, nothing is written.

  --to onnx           model.onnx, for ONNX Runtime
  --to torch_export   model.pt2, for torch.export.load
  --to safetensors    model.safetensors, the weights alone
  --output FOLDER     default: exported

  PROGRAM export --ckpt_path runs/lenet/000 --to onnx"""
NAMES = ("onnx", "torch_export", "safetensors")


def main(command: str, arguments: Sequence[str], debug: bool) -> int:
    """Export a checkpoint; returns the exit code."""
    words, given = read_words(command, arguments, ("--ckpt_path", "--to", "--output"))
    if words:
        raise UserError(f"export: unexpected {words[0]}; the run is given as --ckpt_path RUN")
    if "--ckpt_path" not in given:
        raise UserError("export needs --ckpt_path RUN (a run folder or a checkpoint file)")
    way = given.get("--to", "")
    if way not in NAMES:
        raise UserError(f"--to {way}: {suggest(way, NAMES, 'there are')}")
    output = Path(given.get("--output", "exported")).expanduser()
    from ..cli.machine import quiet
    from ..shipping.export import export

    with quiet(debug):
        parity = export(Path(given["--ckpt_path"]).expanduser(), way, output)
    print(
        f"{output}: {way}, {parity.equal:,} of {parity.samples:,} predictions equal to torch's, "
        f"outputs within {parity.largest:.2g}"
    )
    return 0
