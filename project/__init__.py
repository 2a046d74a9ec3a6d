"""A PyTorch Lightning project: data x network x task x training, each chosen by one word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from project.cli.evaluation import load as load

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`project.load`, imported when first asked for, so that `import project` stays free of torch."""
    if name == "load":
        from project.cli.evaluation import load

        return load
    raise AttributeError(f"module 'project' has no attribute {name!r}")
