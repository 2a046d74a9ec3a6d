"""A sweep remembered by a PostgreSQL server: the same command on as many machines as one likes."""

from __future__ import annotations

import contextlib
import hashlib
import random
import re
from collections.abc import Iterator
from typing import Any

from optuna.storages import BaseStorage, RDBStorage

from ..errors import UserError, clip

# The server notices within half a minute that a machine is gone, and frees its locks.
KEEPALIVE: dict[str, Any] = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
NOTICES = "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"


class Database:
    """Optuna's tables, and PostgreSQL's advisory locks as the word on who is alive.

    An advisory lock belongs to a connection. Each process holds one under a number of its own for
    as long as it runs trials; when another can take it, that process is gone.

    Args:
        address: postgresql://user@host/database; a password better stands in ~/.pgpass or
            PGPASSWORD.
        name: The sweep's; its hash keeps the locks of different sweeps apart.
    """

    def __init__(self, address: str, name: str) -> None:
        try:
            import psycopg
        except ImportError:
            raise UserError(
                "--storage postgresql://...: psycopg is not installed; pip install "
                "'psycopg[binary]', "
                "or python -m pip install -e '.[postgres]'"
            ) from None
        self.lost = psycopg.Error
        plain = re.sub(r"^postgres(ql)?(\+psycopg)?://", "postgresql://", address)
        self.shown = re.sub(r":[^:@/]*@", ":***@", plain)
        self.sweep = int.from_bytes(
            hashlib.blake2b(name.encode(), digest_size=4).digest(), "little", signed=True
        )
        self.owner = str(random.SystemRandom().randrange(1, 2**31))
        try:
            self.session = psycopg.connect(
                plain, connect_timeout=5, autocommit=True, options=NOTICES, **KEEPALIVE
            )
            with self.exclusive():  # two machines that start at once would both make the tables
                self.optuna: BaseStorage = RDBStorage(
                    re.sub(r"^postgresql://", "postgresql+psycopg://", plain),
                    engine_kwargs={
                        "pool_pre_ping": True,
                        "connect_args": {"connect_timeout": 5, **KEEPALIVE},
                    },
                )
            self._ask("select pg_advisory_lock(%s, %s)", self.sweep, int(self.owner))
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"--storage {self.shown}: {clip(error, 200)}") from None

    def _ask(self, query: str, *values: int) -> Any:
        row = self.session.execute(query.encode(), values).fetchone()
        return row[0] if row else None

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        try:
            self._ask("select pg_advisory_lock(%s, 0)", self.sweep)
            yield
            self._ask("select pg_advisory_unlock(%s, 0)", self.sweep)
        except UserError:
            raise
        except Exception as error:
            cause = error.__cause__ or error
            if (
                isinstance(error, self.lost)
                or isinstance(cause, self.lost)
                or isinstance(error.__context__, self.lost)
            ):
                said = f"the database went away ({clip(cause, 120)})"
                raise UserError(
                    f"--storage {self.shown}: {said}; nothing is lost, the same command "
                    "continues the sweep"
                ) from None
            raise

    def is_alive(self, owner: str) -> bool:
        if owner == self.owner:
            return True
        if not owner.isdecimal() or not self._ask(
            "select pg_try_advisory_lock(%s, %s)", self.sweep, int(owner)
        ):
            return bool(owner.isdecimal())
        self._ask("select pg_advisory_unlock(%s, %s)", self.sweep, int(owner))
        return False

    def close(self) -> None:
        self.session.close()
