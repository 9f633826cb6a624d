"""Who stands behind what a session does, for the audit: person, way of proof, session, place.

A door puts it into the session once; services need not hand it on. It must never hold a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from sqlalchemy.orm import Session

ORIGIN_KEY: Final = "cellwright_origin"
"""Key of the origin in `Session.info`."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Everything about the actor that an audit record holds beside his name."""

    printed_name: str = ""
    """Full name as printed on documents (21 CFR 11.50(a)(1))."""
    authentication: str = ""
    """``password``, ``password+totp``, ``certificate``, ``operating-system``, ``journal``, or
    empty for what the MES does by itself."""
    session: str = ""
    """Id of the login or of the OPC UA session."""
    station: str = ""
    """Where it came from: a station of the cell, or the address of a client."""
    correlation_id: str = ""
    """Trace id of the request; records without one of their own take it."""
    clock_quality: str = "local"
    """``synchronised``, ``local`` (the computer's own clock) or ``device``."""


NOBODY: Final = Origin()


def origin_of(session: Session) -> Origin:
    """The origin of this session; `NOBODY` when no door has set one."""
    return cast(Origin, session.info.get(ORIGIN_KEY, NOBODY))


def set_origin(session: Session, origin: Origin) -> None:
    """From now on the session's records have this origin."""
    session.info[ORIGIN_KEY] = origin
