"""Puts the calls that the dispatcher refuses into the audit."""

from __future__ import annotations

from collections.abc import Callable

from cellwright.mes.audit.refusals import Denied, Refusals, record
from cellwright.mes.kernel.actions import Sessions
from cellwright.mes.kernel.origin import Origin, set_origin
from cellwright.mes.service.dispatcher import Refused


def recorder() -> Callable[[Sessions, Refused], None]:
    """For ``Dispatcher(on_refusal=...)``; one for all threads of a process."""
    refusals = Refusals()

    def put(store: Sessions, refused: Refused) -> None:
        caller = refused.caller
        denied = Denied(
            actor=caller.username,
            address=caller.address,
            action=refused.action.name,
            entity_type=refused.action.entity,
            entity_id=refused.action.entity_id(refused.request),
            code=refused.error.code,
            message=refused.error.message,
        )
        left_out = refusals.admit(denied)
        if left_out is None:
            return
        with store.session(caller.scope) as session:
            set_origin(
                session,
                Origin(
                    printed_name=caller.printed_name,
                    authentication=caller.authentication,
                    session=caller.session,
                    station=caller.address,
                    correlation_id=refused.correlation_id,
                ),
            )
            record(session, denied, left_out)

    return put
