"""One HTML file with a trained network in it, to be tried in a browser without a server."""

from __future__ import annotations

import base64
import gzip
import html
import json
from pathlib import Path
from typing import Any

from ..errors import UserError

TEMPLATE = Path(__file__).with_name("page.html")
PACKAGE = "onnxruntime-web"  # of npm; MIT licence
CODE, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
SERVED = ("class", "labels", "number", "count")  # kinds of targets whose answers are lines


def page(model: Path, about: dict[str, Any], runtime: Path | None) -> str:
    """The text of a page.

    Args:
        model: An ONNX file.
        about: What model.json says.
        runtime: The folder of the unpacked npm package; None looks below node_modules here.

    Raises:
        UserError: the page does not show such answers, or there is no runtime.
    """
    if about["target"] not in SERVED or about["task"] == "MetricLearning":
        raise UserError(
            f"--to page: it shows classes, labels and numbers, not what {about['task']} answers"
        )
    if about["beside"]:
        raise UserError("--to page: it takes one input, the network has several")
    dist = runtime_of(runtime)
    title = f"{about['network']}: {', '.join(map(str, about['names'][:6]))}"
    parts = {
        "TITLE": html.escape(title + ", ..." * (len(about["names"]) > 6)),
        # no text within it may end the script element
        "ABOUT": json.dumps(about, default=str).replace("<", "\\u003c"),
        "MODEL": packed(model),
        "RUNTIME": packed(dist / CODE),
        "WASM": packed(dist / WASM),
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    head, *rest = text.split("{{")
    pieces = [piece.split("}}", 1) for piece in rest]
    return head + "".join(parts[name] + after for name, after in pieces)


def runtime_of(folder: Path | None) -> Path:
    """The folder that ONNX Runtime Web lies in.

    Raises:
        UserError: it is not there.
    """
    place = folder or Path("node_modules") / PACKAGE
    for dist in (place, place / "dist", place / "package" / "dist"):
        if (dist / CODE).is_file() and (dist / WASM).is_file():
            return dist
    raise UserError(
        f"--to page needs ONNX Runtime for browsers, which is not in {place}: npm install "
        f"{PACKAGE}, or --runtime FOLDER of its unpacked package"
    )


def packed(path: Path) -> str:
    """A file as text within a page; the same bytes each time."""
    return base64.b64encode(gzip.compress(path.read_bytes(), 9, mtime=0)).decode()
