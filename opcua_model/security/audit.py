"""What is put on record of who connects: refusals of any kind, and logins of users.

These are the audit events of OPC 10000-5, 6.4 (channel, certificate, session, activation) as events
of the journal, and with a MES of its audit. Strangers decide how many there are, so equal ones are
counted, and there is a bound for all of a minute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import structlog

from cellwright.io.image import RingError
from cellwright.io.messages import AccessAudited, encode
from cellwright.io.timing.clock import Clock

WINDOW_NS: Final = 60_000_000_000
"""Equal records within so long are one with a number; a minute."""
MOST: Final = 60
"""Records in such a time; what exceeds them is counted in one of its own."""
LENGTH: Final = 64
"""Of a text that a stranger has written."""
TASK: Final = "gateway"
Step = Literal["channel", "certificate", "session", "login"]

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Window:
    since_ns: int
    more: int = 0


class AuditTrail:
    """Puts records into the journal's ring of the gateway."""

    def __init__(self, put: Callable[[bytes], Any], clock: Clock) -> None:
        self._put, self._clock = put, clock
        self._windows: dict[tuple[str, ...], _Window] = {}
        self._begun_ns = clock.now_ns()
        self._written = 0

    def record(
        self, step: Step, status: str, address: str, *, user: str = "", subject: str = "",
        why: str = "",
    ) -> None:  # fmt: skip
        """Something was accepted (``Good``) or refused.

        ``user`` is the name that was claimed, ``subject`` the application or the certificate.
        """
        key = (step, status, plain(address), plain(user), plain(subject), plain(why))
        now_ns = self._clock.now_ns()
        self.flush()
        window = self._windows.get(key)
        if window is not None:
            window.more += 1
        elif self._written < MOST:
            self._windows[key] = _Window(now_ns)
            self._write(key, 1)
        else:
            crowd = (step, status, "", "", "", "too many different ones in a minute")
            self._windows.setdefault(crowd, _Window(now_ns)).more += 1

    def flush(self) -> None:
        """Write the numbers of what has been counted for a minute."""
        now_ns = self._clock.now_ns()
        if now_ns - self._begun_ns < WINDOW_NS:
            return
        self._begun_ns, self._written = now_ns, 0
        over = self._windows
        self._windows = {}
        for key, window in over.items():
            if window.more:
                self._write(key, window.more)

    def _write(self, key: tuple[str, ...], times: int) -> None:
        self._written += 1
        step, status, address, user, subject, why = key
        event = AccessAudited(
            task=TASK,
            utc_ns=self._clock.utc_ns(),
            step=step,
            status=status,
            address=address,
            user=user,
            subject=subject,
            times=times,
            actor=user if status == "Good" else "",
            reason=why,
        )
        try:
            self._put(encode(event))
        except RingError as error:
            _log.error("event not recorded", error=str(error))


def plain(text: str) -> str:
    """What a stranger wrote, as a record may hold it."""
    return "".join(one if one.isprintable() else "?" for one in text[:LENGTH])
