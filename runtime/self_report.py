"""Writes the system tags: what the runtime tells every program and client about itself.

Called by the scan twice a cycle: before the tasks what they may rely on, after them what became of
the cell. Only what has changed is written, because most of it never does.
"""

from __future__ import annotations

from typing import Any, ClassVar

from cellwright.io.messages import FaultRaised
from cellwright.io.plan import Plan
from cellwright.io.process_image import ProcessImage
from cellwright.io.system_tags import CellState, KeyPosition
from cellwright.runtime.carried import Moment, Part
from cellwright.runtime.surroundings import Surroundings
from cellwright.tasks.station import clip

TAG_BYTES = 200
"""What ``sys.first_fault`` holds of the text."""
_SECOND_NS = 1_000_000_000


class SelfReport(Part):
    """The system tags of one scan."""

    CARRIED: ClassVar = ("_simulated",)

    def __init__(self, plan: Plan, image: ProcessImage, *, simulated: bool) -> None:
        self._base_ns = plan.scan.base_ns
        self._image = image
        self._tags = {tag.name: tag.index for tag in plan.tags if tag.name.startswith("sys.")}
        self._written: dict[str, Any] = {}
        self._simulated = simulated

    def _put(self, name: str, value: Any) -> None:
        if self._written.get(name) != value:
            self._image.set(self._tags[name], value)
            self._written[name] = value

    def before_tasks(
        self,
        moment: Moment,
        around: Surroundings,
        *,
        first_scan: bool,
        busy_ns: int,
        key: KeyPosition,
    ) -> None:
        """What the tasks of this cycle may rely on."""
        put, now_ns = self._put, moment.now_ns
        put("sys.cycle", moment.cycle)
        put("sys.elapsed", moment.tick + 1)
        put("sys.skipped", around.skipped_ticks)
        put("sys.first_scan", first_scan)
        put("sys.clock_1s", now_ns % _SECOND_NS < 500_000_000)
        put("sys.clock_100ms", now_ns % 100_000_000 < 50_000_000)
        put("sys.load", 100.0 * busy_ns / self._base_ns)
        put("sys.journal_ok", around.journal_ok)
        put("sys.gateway_alive", around.gateway_alive)
        put("sys.database_alive", around.database_alive)
        put("sys.degraded", around.degraded)
        put("sys.mode", int(key))
        put("sys.simulation", self._simulated)
        put("sys.utc", moment.utc_ns - moment.utc_ns % _SECOND_NS)
        put("sys.utc_synchronised", around.utc_synchronised)

    def after_tasks(
        self, state: CellState, fault: FaultRaised | None, *, forced: bool, last_scan: bool
    ) -> None:
        """What has become of the cell."""
        put = self._put
        put("sys.state", int(state))
        put("sys.forces_active", forced)
        put("sys.last_scan", last_scan)
        put("sys.first_fault", "" if fault is None else clip(fault.text, TAG_BYTES))
        put("sys.first_fault_code", "" if fault is None else fault.code)
        put("sys.first_fault_task", "" if fault is None else fault.culprit)
        put("sys.first_fault_utc", 0 if fault is None else fault.utc_ns)
