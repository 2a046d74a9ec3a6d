"""The front door: `python -m project COMMAND`."""

import sys

from .engine.cli.door import main

if __name__ == "__main__":
    sys.exit(main())
