"""Structured logs: one JSON object a line, one bounded set of files a process.

Called once at the start of every process. A log that cannot be written never stops the process
that wanted to write it.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import sys
from pathlib import Path
from typing import Any

import structlog

MAX_BYTES = 5_000_000
KEPT_FILES = 3


class _BoundedFile(logging.handlers.RotatingFileHandler):
    """A rotating file whose failures (disk full) are counted instead of printed or raised.

    A file or folder that somebody has deleted is made anew; not what lies above it, which may be a
    disk that will be mounted again.
    """

    lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._let_go_when_gone()
        except Exception:  # noqa: BLE001 - a log that cannot be written stops nobody
            self.handleError(record)
        else:
            super().emit(record)

    def _let_go_when_gone(self) -> None:
        file = Path(self.baseFilename)
        if self.stream is not None:
            own = os.fstat(self.stream.fileno())
            try:
                found = file.stat()
            except OSError:
                found = None
            if found is None or (found.st_dev, found.st_ino) != (own.st_dev, own.st_ino):
                self.stream.close()
                self.stream = None
        if self.stream is None:
            file.parent.mkdir(exist_ok=True)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        self.lost += 1


def configure(
    process: str, folder: Path | None, level: int = logging.INFO, *, make: bool = True
) -> None:
    """Send structlog and stdlib logging to ``folder/<process>.jsonl``, or to stderr without one.

    Without ``make`` what lies above the folder must be there, as the supervisor has made it: one
    that was deleted since is not made again by a process that starts later.
    """
    handler: logging.Handler
    problem: OSError | None = None
    try:
        if folder is None:
            handler = logging.StreamHandler(sys.stderr)
        else:
            if make:
                folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"{process.replace(':', '-')}.jsonl"
            handler = _BoundedFile(file, maxBytes=MAX_BYTES, backupCount=KEPT_FILES, delay=True)
    except OSError as error:
        handler, problem = logging.StreamHandler(sys.stderr), error
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # asyncua and pymodbus tell every request at INFO; their warnings are ours.
    for chatty in ("asyncua", "pymodbus"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    if problem is not None:
        structlog.get_logger(__name__).warning("log file cannot be written", error=str(problem))
