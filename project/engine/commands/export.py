"""`export`: a trained run as a file that runs without this package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..cli.arguments import read_words, yes_or_no
from ..errors import UserError, suggest
from ..formats import plain

HELP = """usage: PROGRAM export --ckpt_path RUN --to WAY [--output FOLDER]

Writes the best checkpoint of a run with its preparation (scale, normalisation) as
one file, and beside it model.json (names, how columns are encoded) and card.md
(what it does, how well, how it is called). Its answers are compared with torch's
on the validation split; where they differ, nothing is written.

  --to onnx           model.onnx, for ONNX Runtime
  --to page           page.html with the network inside, to be tried in a browser:
                      drop images, draw, paste rows; needs the npm package
                      onnxruntime-web, in node_modules or in --runtime FOLDER
  --to torch_export   model.pt2, for torch.export.load
  --to safetensors    model.safetensors, the weights alone
  --output FOLDER     default: exported
  --calibrate true    divide the outputs by the temperature that fits the validation split
  --bench true        say its bytes, and its milliseconds a sample beside torch's, on one core

  PROGRAM export --ckpt_path runs/lenet/000 --to onnx"""
OPTIONS = ("--ckpt_path", "--to", "--output", "--calibrate", "--bench", "--runtime")
NAMES = ("onnx", "page", "torch_export", "safetensors")


def main(command: str, arguments: Sequence[str], debug: bool) -> int:
    """Export a checkpoint; returns the exit code."""
    words, given = read_words(command, arguments, OPTIONS)
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
        done = export(
            Path(given["--ckpt_path"]).expanduser(),
            way,
            output,
            calibrate=yes_or_no(given, "--calibrate"),
            measure=yes_or_no(given, "--bench"),
            runtime=Path(given["--runtime"]).expanduser() if "--runtime" in given else None,
        )
    parity = done.parity
    print(
        f"{output}: {way}, {parity.equal:,} of {parity.samples:,} predictions equal to torch's, "
        f"outputs within {parity.largest:.2g}"
    )
    for name, value in done.speed.items():
        print(f"{name:<30} {plain(value)}" + " ms a sample" * ("at once" in name))
    return 0
