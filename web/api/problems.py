"""How a refusal looks over HTTP: one JSON object, and a status for each kind of error of the MES.

Everything that goes wrong below becomes a `RefusalError` here. Its text is for people outside:
never a path, a statement, a class or a line of the program.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from cellwright.mes.kernel.errors import Detail, Kind, MesError, StoreError

STATUS: Final = {
    Kind.INVALID: 422,
    Kind.UNKNOWN: 404,
    Kind.CONFLICT: 409,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.LIMITED: 429,
    Kind.UNAVAILABLE: 503,
}
"""HTTP status of each kind of refusal."""
STATUS_OF_CODE: Final = {"invalid_page": 400}
"""Codes with another status than their kind has."""
_STORE: Final = {
    "store_busy": "the database is busy with other writers; send the same request again",
    "store_full": "the disk of the database is full; it takes no changes until somebody makes room",
    "store_read_only": "the database takes no changes at the moment; try again later",
    "store_unreachable": "the database does not answer; try again later",
}
_STORE_AWAY: Final = "the database cannot be used at the moment; the server's log says why"
_RETRY_S: Final = {"store_busy": 1, "too_many_requests": 30}
_RETRY_LATER_S: Final = 5


class ProblemDetail(msgspec.Struct, frozen=True, rename="camel"):
    """One complaint about one field of a request."""

    field: str
    """Its name as the request spells it; empty when it is about the whole."""
    message: str
    """What is wrong with it."""


class Problem(msgspec.Struct, frozen=True, rename="camel"):
    """The body of every answer that is no success."""

    error: str
    """What was refused and why, in a sentence."""
    code: str
    """Stable word for programs."""
    details: list[ProblemDetail]
    """The fields that are wrong, when it is about fields."""
    trace_id: str
    """Id of the request in the logs of the server."""


class RefusalError(Exception):
    """A request that is not answered with success."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Sequence[Detail] = (),
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = tuple(details)
        self.headers = tuple(headers)

    def body(self, trace_id: str) -> bytes:
        """The JSON that the client gets."""
        details = [ProblemDetail(_whole(detail.field), _whole(detail.message))
                   for detail in self.details]  # fmt: skip
        return msgspec.json.encode(Problem(_whole(self.message), self.code, details, trace_id))


def of_mes(error: MesError) -> RefusalError:
    """The refusal for an error of a service."""
    status = STATUS_OF_CODE.get(error.code) or STATUS[error.kind]
    message, headers = error.message, []
    if isinstance(error, StoreError):
        # Its own sentence names files, servers and users of the database: that is for the log.
        message = _STORE.get(error.code, _STORE_AWAY)
    if status == 401:
        headers.append(("WWW-Authenticate", 'Bearer realm="cellwright"'))
    elif status in (429, 503):
        wait = getattr(error, "retry_after_s", None) or _RETRY_S.get(error.code, _RETRY_LATER_S)
        headers.append(("Retry-After", str(wait)))
    elif status == 403 and not message.startswith("Forbidden: "):
        message = f"Forbidden: {message}"
    return RefusalError(status, error.code, message, error.details, headers)


def unexpected() -> RefusalError:
    """What a client hears of an error of ours."""
    return RefusalError(
        500,
        "internal",
        "the server failed at this request; its log has the trace id with the cause",
    )


def _whole(text: str) -> str:
    """Text that UTF-8 can hold, whatever the request was."""
    return text.encode(errors="replace").decode()
