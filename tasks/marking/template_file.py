"""The template's file, read anew for each part: a changed template counts from the next part on.

Called by the marking worker. While the file is gone, empty or unreadable, the template that was
read last stays in force; a template that is there and wrong is not replaced by an older one.
"""

from __future__ import annotations

from pathlib import Path

import structlog

from cellwright.io.log_once import LogOnce
from cellwright.tasks.api import JobError
from cellwright.tasks.marking.lua.engine import MAX_TEMPLATE, Template

_log = structlog.get_logger(__name__)


class TemplateFile:
    """One template by its path."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: Template | None = None
        self._once = LogOnce(_log)

    @property
    def name(self) -> str:
        """The file's name, for messages."""
        return self.path.name

    def read(self) -> Template:
        """The template as it is now, else as it was last; raises JobError when there was none."""
        try:
            source = self._source()
        except (OSError, ValueError) as error:
            if self._known is None:
                raise JobError(f"cannot read template {self.path}: {error}") from error
            self._once.trouble(
                "template",
                "template cannot be read; the one that was read last stays in force",
                level="warning",
                cause=type(error).__name__,
                path=str(self.path),
                error=str(error),
            )
            return self._known
        self._once.well("template", "template is read again", path=str(self.path))
        self._known = Template(self.path.name, source)
        return self._known

    def _source(self) -> str:
        with self.path.open("rb") as file:
            data: bytes = file.read(MAX_TEMPLATE + 1)
        if len(data) > MAX_TEMPLATE:
            raise ValueError(f"it is larger than {MAX_TEMPLATE} bytes; split it")
        source = data.decode("utf-8")
        if not source.strip():
            raise ValueError("it is empty")
        return source
