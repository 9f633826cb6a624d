"""A line in the log when a trouble begins and one when it is over, not one at every try.

For whoever tries again and again: drivers, the journal, the MES's feed, the gateway. It only logs;
what follows from a trouble is its owner's matter.
"""

from __future__ import annotations

from typing import Any, Literal


class LogOnce:
    """The troubles of one owner by name, on its ``log`` (structlog)."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._causes: dict[str, str] = {}

    def trouble(
        self,
        key: str,
        sentence: str,
        *,
        level: Literal["warning", "error"] = "error",
        cause: str = "",
        **more: object,
    ) -> bool:
        """Log it with ``more``, unless it is logged and not over; another ``cause`` is logged anew.

        True when it was logged.
        """
        if self._causes.get(key) == cause:
            return False
        self._causes[key] = cause
        getattr(self._log, level)(sentence, **more)
        return True

    def well(self, key: str, sentence: str = "", **more: object) -> bool:
        """It is over, which is logged when there is a sentence for it; True when there was one."""
        if self._causes.pop(key, None) is None:
            return False
        if sentence:
            self._log.info(sentence, **more)
        return True

    def __contains__(self, key: str) -> bool:
        return key in self._causes
