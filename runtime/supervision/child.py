"""A process that the supervisor starts and watches."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

BACKOFF_FIRST_S: Final = 0.05


@dataclass
class Child:
    """One supervised process."""

    name: str
    module: str
    arguments: tuple[str, ...]
    silence_ns: int
    popen: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    started_at: float = 0.0
    working_since: float | None = None
    """When its first beat was seen."""
    due_at: float = 0.0
    backoff_s: float = BACKOFF_FIRST_S
    killed: bool = False
    """It hung and was sent SIGKILL, which takes effect a little later."""
    before: Callable[[], None] = field(default=lambda: None)
    """Done before each start."""
