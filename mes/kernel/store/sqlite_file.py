"""Notices that the file of an SQLite store is gone while it is in use.

`cellwright.mes.store` asks for it. SQLite itself goes on writing to a file that somebody has
deleted or moved away, and what it writes is found by nobody; and it would begin an empty file in
its place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError

from cellwright.mes.kernel.errors import StoreError


def notice_when_gone(engine: Engine, file: Path, shown: str) -> None:
    """Ask before each use of a connection; StoreError while the file is gone.

    A file that was put in its place is opened anew. ``shown`` names the database in the sentence.
    The file must exist by the time of the first connection.
    """

    def identity() -> tuple[int, int]:
        try:
            found = file.stat()
        except OSError as error:
            raise StoreError(
                "store_unreachable",
                f"cannot use the MES database {shown}: its file is gone ({error.strerror}); bring "
                "it back, or end the cell and run it again, which begins a new and empty one",
            ) from error
        return found.st_dev, found.st_ino

    def before_connect(_dialect: object, record: Any, _args: object, _fields: object) -> None:
        record.info["file"] = identity()

    def before_use(_connection: object, record: Any, _proxy: object) -> None:
        if record.info.get("file") != identity():
            raise DisconnectionError(f"{shown} is another file now")

    event.listen(engine, "do_connect", before_connect)
    event.listen(engine, "checkout", before_use)
