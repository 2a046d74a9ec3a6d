"""A PostgreSQL server of a test's own: Debian's programs, a folder, a free port."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/nowhere"))


def missing() -> str:
    """Why no server can be started here; empty when one can."""
    if not (PROGRAMS / "initdb").exists():
        return "PostgreSQL is not installed (apt-get install postgresql)"
    if os.geteuid() == 0 and (
        not shutil.which("runuser")
        or subprocess.run(["id", "postgres"], capture_output=True).returncode
    ):
        return "initdb refuses root, and there is no user postgres to become"
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "psycopg is not installed"
    return ""


@contextlib.contextmanager
def server() -> Iterator[str]:
    """A running server's address."""
    become = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="postgres-", dir="/tmp") as name:
        place = Path(name)
        place.chmod(0o777)

        def call(*words: str) -> None:
            done = subprocess.run(
                [*become, *words], cwd="/tmp", capture_output=True, text=True, timeout=120
            )
            if done.returncode:
                raise RuntimeError(done.stdout + done.stderr)

        data = str(place / "data")
        call(str(PROGRAMS / "initdb"), "-D", data, "-U", "sweeper", "-A", "trust", "--no-sync")
        options = f"-p {port} -k {place} -c listen_addresses=127.0.0.1 -c fsync=off"
        control = str(PROGRAMS / "pg_ctl")
        call(control, "-D", data, "-w", "-o", options, "-l", str(place / "log"), "start")
        try:
            yield f"postgresql://sweeper@127.0.0.1:{port}/postgres"
        finally:
            call(control, "-D", data, "-m", "immediate", "stop")
