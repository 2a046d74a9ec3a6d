"""A run from Python: what the commands do, with values instead of a command line.

    run = fit("configs/lenet.yaml", {"trainer.max_epochs": 3})
    run.results["best"], run.task, run.test(), run.report()

The package itself has these names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback

from .bases.task import Task
from .cli import evaluation, fitting
from .cli.arguments import as_text, read_settings
from .cli.machine import as_found, quiet
from .cli.settings import Settings
from .commands.report import write_page
from .randomness import unchanged
from .runs.files import read_json
from .runs.folder import RunFolder


class Run:
    """A run folder on disk."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def results(self) -> dict[str, Any]:
        """What results.json holds: the last and the best validation, a test, sizes and seconds."""
        return read_json(RunFolder(self.path).results)

    @property
    def task(self) -> Task:
        """The trained task, in eval mode, of the best checkpoint."""
        return evaluation.load(self.path)

    def validate(self, settings: Mapping[str, Any] | None = None) -> dict[str, float]:
        """Return the metrics of the best checkpoint on the validation split, and keep them."""
        return self._evaluate("validate", settings)

    def test(self, settings: Mapping[str, Any] | None = None) -> dict[str, float]:
        """Return the metrics of the best checkpoint on the test split, and keep them."""
        return self._evaluate("test", settings)

    def report(self) -> Path:
        """Write report.html again; returns where it is."""
        from .reports.page import write_report
        from .reports.run import Run as Records

        return write_report(Records(self.path))

    def _evaluate(self, action: Any, settings: Mapping[str, Any] | None) -> dict[str, float]:
        with unchanged(), as_found(), quiet(debug=False):
            metrics = evaluation.evaluate(action, self.path, settings_of((), settings))
            write_page(RunFolder(self.path))
        return metrics


def fit(
    config: str | Path | Sequence[str | Path] = (),
    settings: Mapping[str, Any] | None = None,
    *,
    run: str | Path | None = None,
    weights: str | Path | None = None,
    fresh: str | None = None,
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Train as `fit --config CONFIG --KEY VALUE` does, with the same bits.

    Nothing of the process is changed by it: threads, seeds and signals are as before.

    Args:
        config: A file or several, the later over the earlier.
        settings: Keys of the command line with their values, such as {"model.net": "MLP"}.
        run: The folder to write to. A second call with the same folder continues the run.
        weights: A run or checkpoint to take the initial weights from.
        fresh: A pattern of parameters that keep their initial weights.
        callbacks: Lightning's or your own, behind those of the config.

    Raises:
        UserError: what was asked cannot be done; nothing is left behind.
    """
    files = (config,) if isinstance(config, (str, Path)) else config
    with unchanged(), as_found(), quiet(debug=False):
        folder = fitting.fit(
            settings_of(files, settings),
            run=Path(run) if run is not None else None,
            weights=Path(weights) if weights is not None else None,
            fresh=fresh,
            callbacks=callbacks,
        )
        if folder is not None:
            write_page(folder)
    return Run(folder.path if folder is not None else "")


def settings_of(files: Sequence[str | Path], settings: Mapping[str, Any] | None) -> Settings:
    """Config files and values as the command line would give them."""
    pairs = [(key, as_text(value)) for key, value in (settings or {}).items()]
    return read_settings([Path(file) for file in files], pairs)
