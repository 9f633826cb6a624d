"""Durations that the server counts itself follow the scan, not the wall clock."""

from __future__ import annotations

from pathlib import Path

import msgspec
from asyncua import ua
from asyncua.server.address_space import AttributeValue, NodeData

from cellwright.io.plan import CellState
from cellwright.opcua_model.nodes.cell_tree import CellNodes
from cellwright.opcua_model.nodes.publishing import Diagnostics
from support.opcua_support import ImageBench, cell_plan

STATUS = {
    "State": ua.VariantType.Int32,
    "StateText": ua.VariantType.String,
    "CurrentState": ua.VariantType.LocalizedText,
    "CurrentStateNumber": ua.VariantType.Int32,
    "MachineryItemState": ua.VariantType.Int32,
    "PowerOnDuration": ua.VariantType.Double,
    "OperationDuration": ua.VariantType.Double,
}


def test_the_time_in_run_is_what_the_scan_has_run_whatever_the_wall_clock_does(
    tmp_path: Path,
) -> None:
    plan = msgspec.structs.replace(cell_plan(tmp_path), tasks=(), devices=())
    nodes = CellNodes(ua.NodeId(), ua.NodeId(), ua.NodeId(), ua.NodeId())
    for name, variant in STATUS.items():
        nodes.status[name] = NodeData(ua.NodeId())
        nodes.status[name].attributes[ua.AttributeIds.Value] = AttributeValue(
            ua.DataValue(ua.Variant(ua.get_default_value(variant), variant))
        )
    image = ImageBench(plan)
    reader, diagnostics = image.image.snapshot_reader(), Diagnostics(image.image, nodes)

    def after(cycles: int, state: CellState, jump_s: int = 0) -> float:
        image.cycle += cycles - 1  # `set` counts one
        image.utc_ns += jump_s * 1_000_000_000
        image.set("sys.state", int(state))
        assert reader.read()
        diagnostics.publish(reader)
        held = nodes.status["OperationDuration"].attributes[ua.AttributeIds.Value].value
        assert held is not None
        return float(held.Value.Value)  # type: ignore[union-attr]

    assert after(5, CellState.STOP) == 0.0
    assert after(10, CellState.RUN) == 0.0
    assert after(100, CellState.RUN, jump_s=3_600) == 1_000.0
    assert after(100, CellState.RUN, jump_s=-7_200) == 2_000.0
    assert after(50, CellState.PAUSE) == 2_000.0
    assert after(50, CellState.RUN) == 2_000.0
    image.cycle = 0  # a new scan counts anew
    assert after(10, CellState.RUN) == 2_000.0
    assert after(10, CellState.RUN) == 2_100.0
