"""SQLite files as database URLs, and back: a path may hold letters that mean something in a URL.

Used by the compiler, which places the store in the data folder, and by whoever opens or looks for
it. SQLAlchemy is not imported here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

PREFIX: Final = "sqlite:///"


def sqlite_url(file: Path) -> str:
    """The URL of a file: ``#``, ``?``, ``%``, spaces and letters beyond ASCII are quoted."""
    return PREFIX + quote(str(file))


def sqlite_url_in(folder: Path, url: str) -> str:
    """An SQLite URL with a relative path, below ``folder``; any other URL as it is."""
    if not url.startswith(PREFIX) or url.startswith(PREFIX + "/"):
        return url
    return f"{sqlite_url(folder)}/{url.removeprefix(PREFIX)}"


def sqlite_file(url: str) -> Path | None:
    """The file that an SQLite URL names; None for another database."""
    if not url.startswith(PREFIX):
        return None
    return Path(unquote(url.removeprefix(PREFIX).partition("?")[0]))
