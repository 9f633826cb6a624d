"""Status of the cell and its statistics become new values of their nodes.

Called by the server after it has taken a snapshot. Writes straight into the nodes and offers the
value to the monitored items; it never waits.
"""

from __future__ import annotations

from typing import Any

from asyncua import ua
from asyncua.server.address_space import NodeData

from cellwright.io.image import Image, SnapshotReader, figures
from cellwright.io.plan import CellState
from cellwright.opcua_model.address_space.builder import replace
from cellwright.opcua_model.address_space.values import NS_PER_MS, utc_datetime
from cellwright.opcua_model.nodes.cell_tree import CellNodes
from cellwright.opcua_model.nodes.diagnostics import values

_PACKML = {
    CellState.INIT: (15, "Resetting"),
    CellState.STOP: (2, "Stopped"),
    CellState.RUN: (6, "Execute"),
    CellState.PAUSE: (11, "Held"),
    CellState.FAULT: (9, "Aborted"),
}
_ITEM_STATE = {
    CellState.INIT: 0,
    CellState.FAULT: 1,
    CellState.STOP: 2,
    CellState.PAUSE: 2,
    CellState.RUN: 3,
}


class Diagnostics:
    """Status of the cell, statistics of tasks and devices."""

    def __init__(self, image: Image, nodes: CellNodes) -> None:
        plan = image.plan
        self._image = image
        self._plan = plan
        self._nodes = nodes
        self._ports = [image.device(index) for index in range(len(plan.devices))]
        self._state_index = next((tag.index for tag in plan.tags if tag.name == "sys.state"), None)
        self._skipped_index = next(
            (tag.index for tag in plan.tags if tag.name == "sys.skipped"), None
        )
        self._running_since: int | None = None
        """Tick of the last look, when the cell was in RUN. Ticks, for the wall clock may jump."""
        self._ran_ticks = 0

    def publish(self, reader: SnapshotReader) -> int:
        """Write what differs; gives its number."""
        at = utc_datetime(reader.utc_ns)
        count = self._status(reader, at)
        for task, nodes in zip(self._plan.tasks, self._nodes.tasks, strict=True):
            reading = figures.read_task(self._image, task)
            count += _write(nodes, values(figures.TASK, reading), at)
        for port, nodes in zip(self._ports, self._nodes.devices, strict=True):
            count += _write(nodes, values(figures.DEVICE, port), at)
        return count

    def _status(self, reader: SnapshotReader, at: ua.DateTime) -> int:
        state = CellState.INIT
        if self._state_index is not None:
            state = CellState(int(reader.value(self._state_index)))  # type: ignore[arg-type]
        ticks = reader.cycle
        if self._skipped_index is not None:
            ticks += int(reader.value(self._skipped_index))  # type: ignore[arg-type]
        if state is CellState.RUN and self._running_since is not None:
            self._ran_ticks += max(0, ticks - self._running_since)
        self._running_since = ticks if state is CellState.RUN else None
        number, text = _PACKML[state]
        return _write(
            self._nodes.status,
            {
                "State": int(state),
                "StateText": state.name,
                "CurrentState": ua.LocalizedText(text),
                "CurrentStateNumber": number,
                "MachineryItemState": _ITEM_STATE[state],
                "PowerOnDuration": ticks * self._plan.scan.base_ns / NS_PER_MS,
                "OperationDuration": self._ran_ticks * self._plan.scan.base_ns / NS_PER_MS,
            },
            at,
        )


def _write(nodes: dict[str, NodeData], values: dict[str, Any], at: ua.DateTime) -> int:
    count = 0
    for name, value in values.items():
        node = nodes[name]
        held = node.attributes[ua.AttributeIds.Value].value
        assert held is not None
        assert held.Value is not None
        if held.Value.Value != value or held.SourceTimestamp is None:
            content = ua.Variant(value, held.Value.VariantType)
            replace(node, ua.DataValue(content, SourceTimestamp=at, ServerTimestamp=at))
            count += 1
    return count
