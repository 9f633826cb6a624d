"""Writes the system tags: what the runtime tells every program and client about itself.

Called by the scan twice a cycle: before the tasks what they may rely on, after them what became of
the cell. Only what has changed is written, because most of it never does.
"""

from __future__ import annotations

from typing import Any, ClassVar

from cellwright.io.messages import FaultRaised
from cellwright.io.plan import CellState, KeyPosition, Plan
from cellwright.io.process_image.process_image import ProcessImage
from cellwright.runtime.scan.cycle_state import CarriesState, CycleTime
from cellwright.runtime.scan.modes.peers import Peers
from cellwright.tasks.api import clip

TAG_BYTES = 200
"""What ``sys.first_fault`` holds of the text."""
_SECOND_NS = 1_000_000_000


class SystemTagWriter(CarriesState):
    """The system tags of one scan."""

    CARRIED: ClassVar = ("_simulated",)

    def __init__(self, plan: Plan, image: ProcessImage, *, simulated: bool) -> None:
        self._base_ns = plan.scan.base_ns
        self._image = image
        self._tags = {tag.name: tag.index for tag in plan.tags if tag.name.startswith("sys.")}
        self._before: tuple[Any, ...] = ()
        self._after: tuple[Any, ...] = ()
        self._half_seconds = self._half_tenths = self._second = -1
        self._simulated = simulated

    def before_tasks(
        self,
        moment: CycleTime,
        peers: Peers,
        *,
        first_scan: bool,
        busy_ns: int,
        key: KeyPosition,
    ) -> None:
        """What the tasks of this cycle may rely on."""
        put, tags, now_ns = self._image.set, self._tags, moment.now_ns
        put(tags["sys.cycle"], moment.cycle)
        put(tags["sys.elapsed"], moment.tick + 1)
        put(tags["sys.load"], 100.0 * busy_ns / self._base_ns)
        half_seconds = now_ns // 500_000_000
        if half_seconds != self._half_seconds:
            self._half_seconds = half_seconds
            put(tags["sys.clock_1s"], half_seconds % 2 == 0)
        second = moment.utc_ns // _SECOND_NS
        if second != self._second:
            self._second = second
            put(tags["sys.utc"], second * _SECOND_NS)
        half_tenths = now_ns // 50_000_000
        if half_tenths != self._half_tenths:
            self._half_tenths = half_tenths
            put(tags["sys.clock_100ms"], half_tenths % 2 == 0)
        seen = (first_scan, key, peers.version)
        if seen != self._before:
            self._before = seen
            put(tags["sys.skipped"], peers.skipped_ticks)
            put(tags["sys.first_scan"], first_scan)
            put(tags["sys.journal_ok"], peers.journal_ok)
            put(tags["sys.gateway_alive"], peers.gateway_alive)
            put(tags["sys.database_alive"], peers.database_alive)
            put(tags["sys.degraded"], peers.degraded)
            put(tags["sys.mode"], int(key))
            put(tags["sys.simulation"], self._simulated)
            put(tags["sys.utc_synchronised"], peers.utc_synchronised)

    def after_tasks(
        self, state: CellState, fault: FaultRaised | None, *, forced: bool, last_scan: bool
    ) -> None:
        """What has become of the cell."""
        seen = (state, fault, forced, last_scan)
        if seen == self._after:
            return
        self._after = seen
        put, tags = self._image.set, self._tags
        put(tags["sys.state"], int(state))
        put(tags["sys.forces_active"], forced)
        put(tags["sys.last_scan"], last_scan)
        put(tags["sys.first_fault"], "" if fault is None else clip(fault.text, TAG_BYTES))
        put(tags["sys.first_fault_code"], "" if fault is None else fault.code)
        put(tags["sys.first_fault_task"], "" if fault is None else fault.culprit)
        put(tags["sys.first_fault_utc"], 0 if fault is None else fault.utc_ns)
