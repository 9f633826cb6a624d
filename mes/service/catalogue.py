"""What the rooms of the MES offer and how they hear of each other, gathered in one place.

The doors ask `ACTIONS` what there is; whoever opens a store of the product does it by `open_store`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from cellwright.mes.audit import actions as audit_actions
from cellwright.mes.definitions import actions as definition_actions
from cellwright.mes.definitions.events import PartChanged
from cellwright.mes.history import tables as _history_tables  # noqa: F401 - part of the metadata
from cellwright.mes.kernel.actions import Actions, catalogue
from cellwright.mes.kernel.domain_events import Subscriptions
from cellwright.mes.kernel.scope import DEFAULT_SCOPE, Scope
from cellwright.mes.kernel.store import Store
from cellwright.mes.kernel.utc import UtcClock
from cellwright.mes.orders import actions as order_actions
from cellwright.mes.orders import steering
from cellwright.mes.orders.events import OpenInspections
from cellwright.mes.people import actions as people_actions
from cellwright.mes.people.signatures import actions as signature_actions
from cellwright.mes.service import retention_actions
from cellwright.mes.shopfloor import actions as shopfloor_actions
from cellwright.mes.shopfloor import part_events


def _all() -> Actions:
    return ACTIONS


ACTIONS: Final[Actions] = catalogue(
    audit_actions.ACTIONS,
    people_actions.ACTIONS,
    signature_actions.actions(_all),
    definition_actions.ACTIONS,
    order_actions.ACTIONS,
    shopfloor_actions.ACTIONS,
    retention_actions.ACTIONS,
)
"""Every action, by name."""

SUBSCRIPTIONS: Final[Subscriptions] = {
    PartChanged: (steering.hold_for_change,),
    OpenInspections: (part_events.open_inspections,),
}
"""Which room is told what."""


def open_store(
    url: str,
    *,
    utc_ns: UtcClock = time.time_ns,
    scope: Scope = DEFAULT_SCOPE,
    secrets: Path | None = None,
) -> Store:
    """`Store.open` with the product's subscriptions."""
    return Store.open(url, utc_ns=utc_ns, scope=scope, subscriptions=SUBSCRIPTIONS, secrets=secrets)
