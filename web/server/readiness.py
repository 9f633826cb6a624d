"""Whether the store behind the server answers, in words for those outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from cellwright.mes.kernel.actions import Sessions
from cellwright.mes.kernel.errors import MesError
from cellwright.mes.kernel.scope import DEFAULT_SCOPE
from cellwright.web.api.problems import of_mes

_log: Final = structlog.get_logger(__name__)


def readiness(store: Sessions) -> Callable[[], str]:
    """A call that says why the store does not answer; empty when it does."""

    def why() -> str:
        try:
            with store.reading(DEFAULT_SCOPE):
                return ""
        except MesError as error:
            _log.warning("the store is not ready", error=error.message)
            return of_mes(error).message

    return why
