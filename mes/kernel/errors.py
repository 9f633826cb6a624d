"""Errors of the MES: a stable code for machines, a kind for the doors, a sentence for people.

Every service raises these and nothing else on purpose. A door (REST, OPC UA, command line) turns
the kind into its own status and shows the message. They must never carry a password.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What kind of refusal it is; each door has one status for each."""

    INVALID = "invalid"
    """The request says what no request may say, or a business rule forbids it."""
    UNKNOWN = "unknown"
    """What is addressed does not exist for this caller."""
    CONFLICT = "conflict"
    """It exists, but is in another state or version than the request takes it to be."""
    UNAUTHENTICATED = "unauthenticated"
    """Nobody knows who asks."""
    FORBIDDEN = "forbidden"
    """Who asks may not do this."""
    LIMITED = "limited"
    """Too many requests; later ones may succeed."""
    UNAVAILABLE = "unavailable"
    """The store cannot be used now; the same request may succeed later."""


_UNKNOWN: Final = (
    "unknown_order", "unknown_operation", "unknown_user", "unknown_record", "unknown_entity",
    "unknown_change", "unknown_checkpoint", "unknown_signature",
)  # fmt: skip
_CONFLICT: Final = (
    "invalid_state", "duplicate", "out_of_sequence", "stale_version", "inspection_open",
    "operations_open",
)  # fmt: skip
_UNAVAILABLE: Final = (
    "store_unreachable", "store_busy", "store_read_only", "store_full", "store_unsupported",
    "store_too_new", "store_damaged", "store_failed",
)  # fmt: skip

CODES: Final[Mapping[str, Kind]] = {
    **dict.fromkeys(_UNKNOWN, Kind.UNKNOWN),
    **dict.fromkeys(_CONFLICT, Kind.CONFLICT),
    **dict.fromkeys(_UNAVAILABLE, Kind.UNAVAILABLE),
    "unauthenticated": Kind.UNAUTHENTICATED,
    "otp_required": Kind.UNAUTHENTICATED,
    "forbidden": Kind.FORBIDDEN,
    "signature_refused": Kind.FORBIDDEN,
    "too_many_requests": Kind.LIMITED,
}
"""Kind of each code; every other code is `Kind.INVALID`."""


@dataclass(frozen=True, slots=True)
class Detail:
    """One complaint about one field of a request."""

    field: str
    """Its name as the request spells it; empty when it is about the whole."""
    message: str


class MesError(Exception):
    """A service refused or failed.

    ``code`` is stable (``unknown_order``, ``invalid_state``, ``no_routing``, ``duplicate``,
    ``invalid_request``, ``inspection_open``, ...); ``message`` says what was tried, on what, what
    happened and what to do next; ``details`` name the fields of a request that are wrong.
    """

    def __init__(self, code: str, message: str, details: Sequence[Detail] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = tuple(details)

    @property
    def kind(self) -> Kind:
        """What kind of refusal the code is."""
        return CODES.get(self.code, Kind.INVALID)


class StoreError(MesError):
    """The database cannot be used now; the same call may succeed once the cause is gone.

    Codes: ``store_unreachable``, ``store_busy``, ``store_read_only``, ``store_full``,
    ``store_unsupported``, ``store_too_new``, ``store_damaged``, ``store_failed``.
    """


class MasterDataError(MesError):
    """A master data file does not say what it must; ``problems`` are ``file:line:column: ...``."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("invalid_master_data", "\n".join(problems))
        self.problems = problems
