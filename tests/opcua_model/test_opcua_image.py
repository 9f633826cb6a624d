"""The server on the real image: what the scan published is what a client reads."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from asyncua import ua

from cellwright.io.image import Image
from cellwright.io.image.command_client import CommandClient
from cellwright.io.messages import Command, SetMode, WriteTag
from cellwright.io.plan import BAD_WAITING_FOR_INITIAL_DATA, CellState, Direction, Plan
from cellwright.io.process_image.process_image import ProcessImage
from cellwright.io.timing.clock import MonotonicClock
from cellwright.opcua_model.server import CellServer
from cellwright.opcua_model.services.command_sender import CommandSender
from support.opcua_support import START_UTC_NS, cell_plan

pytestmark = pytest.mark.asyncio(loop_scope="session")

RECIPE = "BladeMarking.IO.Memory.recipe"


def shown(server: CellServer, path: str) -> Any:
    node_id = ua.NodeId(path, 4)
    return server._internal.aspace.read_attribute_value(node_id, ua.AttributeIds.Value)


def _without_devices(plan: Plan) -> Plan:
    tags = tuple(
        msgspec.structs.replace(tag, address=None, scale=None, direction=Direction.MEMORY)
        if tag.address is not None
        else tag
        for tag in plan.tags
    )
    return msgspec.structs.replace(plan, tags=tags, devices=())


async def test_values_qualities_and_times_come_from_the_real_image(tmp_path: Path) -> None:
    plan = _without_devices(cell_plan(tmp_path))
    image = Image.create(tmp_path / "image", plan, "0123abcd")
    scan = ProcessImage(image, plan)
    server = CellServer(
        image,
        CommandSender(CommandClient(image)),
        None,
        pki=tmp_path / "pki",
        clock=MonotonicClock(),
    )
    await server.start()
    try:
        async with asyncio.timeout(30):
            await server.publish()
            before = shown(server, RECIPE)
            assert before.StatusCode.value == BAD_WAITING_FOR_INITIAL_DATA
            names = {tag.name: tag.index for tag in plan.tags}
            scan.latch(1_000, START_UTC_NS)
            scan.set(names["recipe"], 12)
            scan.set(names["dwell"], 2_500_000)
            scan.set(names["profile"], [1.0, 2.0, 3.0, 4.0])
            scan.publish(1, 1_000, START_UTC_NS)
            await server.publish()
            value = shown(server, RECIPE)
            assert value.StatusCode.is_good()
            assert value.Value.Value == 12
            assert value.SourceTimestamp.timestamp() == pytest.approx(START_UTC_NS / 1e9)
            assert shown(server, "BladeMarking.IO.Memory.dwell").Value.Value == 2.5
            assert shown(server, "BladeMarking.IO.Memory.profile").Value.Value == [1, 2, 3, 4]
            scan.set(names["recipe"], 13)
            scan.publish(2, 11_000_000, START_UTC_NS + 10_000_000)
            server._due_ns = dict.fromkeys(server._due_ns, 1 << 62)
            assert await server.publish() == 0, "nothing is made for nobody"
            assert shown(server, RECIPE).Value.Value == 13
    finally:
        await server.stop()
        image.close()


async def test_a_change_of_mode_is_answered_with_the_fault_that_follows_it(tmp_path: Path) -> None:
    plan = _without_devices(cell_plan(tmp_path))
    image = Image.create(tmp_path / "image", plan, "0123abcd")
    image.scan.state = CellState.RUN
    try:
        sender = CommandSender(_Obeyed(image))
        assert await sender.send(WriteTag(tag="recipe", value=1, actor="op")) == (0, "")
        answer = asyncio.create_task(sender.send(SetMode(request="start", actor="op", reason="")))
        await asyncio.sleep(0.05)
        assert not answer.done(), "nothing was executed yet"
        image.scan.fault_text = "task 'clamp' failed"
        image.scan.state = CellState.FAULT
        assert await answer == (0, "the cell is in FAULT: task 'clamp' failed")
    finally:
        image.close()


class _Obeyed(CommandClient):
    """A scan that obeys everything, in front of a real image."""

    async def send_async(self, command: Command) -> None:
        return
