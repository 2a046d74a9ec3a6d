"""What earlier versions called classes and arguments, so that their configs and runs are read."""

from __future__ import annotations

from typing import Any

MOVED = {
    # of version 0.1.0; a path into the package is the same whatever the package is called
    "Sequence": "Transcription",
    "Embedding": "MetricLearning",
    "project": "",
    "project.data.folders.CSVImages": ".data.listed.CSVImages",
    "project.networks.fused": ".networks.image_and_numbers",
    "project.networks.layers": ".lessons.layers",
    "project.networks.tutorial": ".lessons.tutorial",
    "project.training.plain_sgd": ".lessons.plain_sgd",
    "project.data.sums": ".lessons.sums",
    "project.data.strings": ".lessons.strings",
    "project.data.synthetic": ".lessons.synthetic",
    "project.tasks.sequence.Sequence": ".tasks.transcription.Transcription",
    "project.tasks.embedding.Embedding": ".tasks.metric_learning.MetricLearning",
    "project.runs.averaging": ".engine.runs.averaging",
}
_READ: dict[str, dict[str, Any]] = {
    "separator": {"read.sep": None},
    "header": {"read.header": None},
    "comment": {"read.comment": None},
    "encoding": {"read.encoding": None},
    "missing": {"read.na_values": None, "read.keep_default_na": False},
}
RENAMED = {".data.table.CSVTable": _READ, ".data.files.FileImages": _READ}
