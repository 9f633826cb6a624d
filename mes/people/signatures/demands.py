"""Which actions demand a signature at a site."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from cellwright.mes import audit
from cellwright.mes.audit import changes
from cellwright.mes.kernel.actions import Context
from cellwright.mes.kernel.scope import scope_of
from cellwright.mes.people.tables import SignatureDemand


def demanded(session: Session, action: str) -> bool:
    """True where the site has said so."""
    found = session.scalar(
        select(SignatureDemand.demanded).where(
            SignatureDemand.site_id == scope_of(session).site_id, SignatureDemand.action == action
        )
    )
    return bool(found)


def demanding(session: Session) -> list[SignatureDemand]:
    """What the site has said, by name of the action."""
    statement = (
        select(SignatureDemand)
        .where(SignatureDemand.site_id == scope_of(session).site_id)
        .order_by(SignatureDemand.action)
    )
    return list(session.scalars(statement))


def demand(context: Context, action: str, *, wanted: bool) -> SignatureDemand:
    """Let the action demand a signature at the caller's site from now on, or no longer."""
    session = context.session
    entry = audit.AuditEntry(
        actor=context.actor,
        action="signature_demand.set",
        entity_type="signature_demand",
        entity_id=action,
        reason=context.reason,
    )
    found = session.scalars(
        select(SignatureDemand)
        .where(
            SignatureDemand.site_id == scope_of(session).site_id, SignatureDemand.action == action
        )
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if found is None:
        context.check_version(f"the demand of {action}", 0)
        found = SignatureDemand(action=action, demanded=wanted)
        session.add(found)
        changes.created(session, found, entry, at=context.at)
        return found
    context.check_version(f"the demand of {action}", found.version)
    with changes.changing(session, found, entry, at=context.at):
        found.demanded = wanted
    return found
