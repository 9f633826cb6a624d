"""Puts refused calls on record: who wanted what, of which entity, and why not.

So many an actor and address may cause in a minute; what is beyond is counted and told by the next
record, so that nobody can flood the audit by asking for what he may not have.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy.orm import Session

from cellwright.mes.audit.chain import AuditEntry, append
from cellwright.mes.kernel.text import mend, mend_key

MOST: Final = 10
"""Records of one actor, address and code in `WINDOW_S`."""
WINDOW_S: Final = 60.0
_SOURCES: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """A refused call."""

    actor: str
    address: str
    action: str
    entity_type: str
    entity_id: str
    code: str
    message: str


@dataclass(slots=True)
class _Window:
    begun_s: float
    recorded: int = 0
    left_out: int = 0


class Refusals:
    """Decides what is put on record. Threads may share it."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._windows: OrderedDict[tuple[str, str, str], _Window] = OrderedDict()

    def admit(self, denied: Denied) -> int | None:
        """How many before this one were left out; None: this one is left out as well."""
        key = denied.actor, denied.address, denied.code
        now = self._monotonic_s()
        with self._lock:
            window = self._windows.get(key)
            left_out = 0
            if window is None or now - window.begun_s >= WINDOW_S:
                left_out = 0 if window is None else window.left_out
                window = self._windows[key] = _Window(now)
                self._windows.move_to_end(key)
                if len(self._windows) > _SOURCES:
                    self._windows.popitem(last=False)
            if window.recorded >= MOST:
                window.left_out += 1
                return None
            window.recorded += 1
            return left_out


def record(session: Session, denied: Denied, left_out: int) -> None:
    """Append the refusal to the audit."""
    append(
        session,
        AuditEntry(
            actor=mend_key(denied.actor),
            action=f"denied.{denied.action}",
            entity_type=denied.entity_type,
            entity_id=mend_key(denied.entity_id),
            new={"code": denied.code} | ({"left_out": left_out} if left_out else {}),
            reason=mend(denied.message)[:1000],
        ),
    )
