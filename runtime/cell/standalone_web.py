"""What a web process without a cell is told by the one who starts it."""

from __future__ import annotations

import msgspec

from cellwright.io.plan import WebSettings


class StandaloneWeb(msgspec.Struct, frozen=True, kw_only=True):
    """Written to the process's standard input as JSON."""

    web: WebSettings
    database: str
    """SQLAlchemy URL; may hold a password, so it never stands on a command line."""
    secrets: str
    """Folder with the keys of the MES."""
    folder: str
    """Folder that the workers of the server share while it runs."""

    def __repr__(self) -> str:
        return f"StandaloneWeb(web={self.web!r}, folder={self.folder!r})"
