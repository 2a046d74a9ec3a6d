"""The front door: finds the command, and turns a user's mistake into one line."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from ..commands import COMMANDS
from ..errors import UserError, clip, suggest
from ..formats import clean
from ..registry import ENGINE, PROGRAM, VERSION

LONGEST = 1000  # characters of a mistake on the screen


def usage() -> str:
    lines = [f"  {name:<10} {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        [
            f"usage: {PROGRAM} COMMAND [--config FILE]... [--KEY VALUE]...",
            "",
            *lines,
            "",
            f"{PROGRAM} fit --config configs/lenet.yaml --data MNIST --model.optimizer.lr 0.002",
            f"{PROGRAM} COMMAND --help says more; --version prints the version.",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code: 0 done, 2 a mistake in what was asked, 4 not
    finite, 1 a bug.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    if arguments[:1] == ["--"]:  # behind which torchrun takes no option for its own
        del arguments[0]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if arguments[0] == "--version":
        print(VERSION[0])
        return 0
    name, *rest = arguments
    if (Path(__file__).parents[3] / ".update").is_dir():  # an update was interrupted
        importlib.import_module(f"{ENGINE}.forking.update").finish()
    try:
        if name not in COMMANDS:
            raise UserError(f"unknown command {name!r}; {suggest(name, COMMANDS, 'commands')}")
        module = importlib.import_module(f"{ENGINE}.commands.{COMMANDS[name][0]}")
        if {"-h", "--help"} & set(rest):
            text = module.HELP[name] if isinstance(module.HELP, dict) else module.HELP
            print(text.replace("PROGRAM", PROGRAM))
            return 0
        return module.main(name, rest, debug) or 0
    except UserError as error:
        if debug:
            raise
        print(f"error: {clip(clean(error.on_command_line()), LONGEST)}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141
