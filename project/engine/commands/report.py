"""`report`: a page of one run, or a table of many."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ..cli.arguments import read_words
from ..cli.yamltext import read_yaml
from ..errors import UserError, clip
from ..registry import PROGRAM
from ..runs.folder import RunFolder

HELP = """usage: PROGRAM report RUN
       PROGRAM report RUNS... [--sort COLUMN] [--output FILE]

  RUN             a run folder: its report.html is written again
  RUNS            run folders, folders of runs (such as runs), or patterns: a table, with the
                  settings that differ as columns
  --sort COLUMN   the rows by this column, the best first: --sort test/accuracy
  --output FILE   the whole table as .csv, .json or .html instead of the terminal"""


def main(command: str, arguments: Sequence[str], debug: bool) -> int:
    """Write the page of a run, or print or write the table of many."""
    words, options = read_words(command, arguments, ("--sort", "--output"))
    if not words:
        raise UserError(f"report needs a run folder, or several: {PROGRAM} report runs")
    from ..reports.finding import find_runs
    from ..reports.run import Run

    if len(words) == 1 and not options and find_runs(words) == [Path(words[0])]:
        from ..reports.page import write_report

        print(write_report(Run(words[0])))
        return 0
    from ..reports.table import gather, print_table, save_table

    table = gather(find_runs(words))
    if "--sort" in options:
        table.sort(options["--sort"])
    if "--output" in options:
        print(save_table(table, Path(options["--output"])))
    else:
        print_table(table)
    return 0


def write_page(folder: RunFolder) -> None:
    """Write the page of a run that has ended, where it is wanted and older than the results.

    The run stands, whatever becomes of its page.
    """
    try:
        if not is_due(folder):
            return
        from ..reports.page import write_report
        from ..reports.run import Run

        print(f"report    {write_report(Run(folder.path))}")
    except Exception as error:
        print(f"no report.html: {clip(error, 200)}", file=sys.stderr)


def is_due(folder: RunFolder) -> bool:
    """Whether a run's config asks for a page, and its results are newer than it."""
    if int(os.environ.get("LOCAL_RANK", 0)) or not folder.results.is_file():
        return False
    if not read_yaml(folder.config.read_text(), str(folder.config)).get("run", {}).get("report"):
        return False
    page = folder.path / "report.html"
    return not page.is_file() or page.stat().st_mtime <= folder.results.stat().st_mtime
