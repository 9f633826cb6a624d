"""A client's write travels to the scan, and the client hears the scan's verdict."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asyncua import ua

from cellwright.io.messages import AnyCommand, ReplyCode, WriteTag
from cellwright.opcua_model.errors import CommandUnavailableError
from cellwright.opcua_model.services import limits

pytestmark = pytest.mark.asyncio(loop_scope="session")

MEMORY = "ns=4;s=BladeMarking.IO.Memory"


@pytest.fixture(autouse=True)
def fresh_scan(cell: Any) -> None:
    """Every test begins with an obliging scan that has received nothing."""
    cell.scan.received.clear()
    cell.scan.answer = lambda command: (ReplyCode.OK, "done")


async def write(client: Any, tag: str, value: ua.Variant, **more: Any) -> int:
    """Write the bare value; gives the status code's number."""
    params = ua.WriteParameters()
    item = ua.WriteValue()
    item.NodeId = ua.NodeId.from_string(tag if tag.startswith("ns=") else f"{MEMORY}.{tag}")
    item.AttributeId = more.pop("attribute", ua.AttributeIds.Value)
    item.IndexRange = more.pop("index_range", None)
    item.Value = ua.DataValue(value, StatusCode=more.pop("status", None), **more)
    params.NodesToWrite = [item]
    (status,) = await client.uaclient.session.write(params)
    return int(status.value)


INT16 = ua.VariantType.Int16


async def test_a_write_reaches_the_scan_with_the_user_as_actor_and_comes_back(cell: Any) -> None:
    async with cell.client("op") as client:
        assert await write(client, "recipe", ua.Variant(7, INT16)) == ua.StatusCodes.Good
        assert cell.scan.received == [WriteTag(tag="recipe", value=7, actor="op")]
        node = client.get_node(f"{MEMORY}.recipe")
        async with asyncio.timeout(30):
            while (await node.read_data_value(raise_on_bad_status=False)).Value.Value != 7:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("tag", "variant", "value"),
    [
        ("dwell", ua.Variant(1500.25, ua.VariantType.Double), 1_500_250_000),
        ("label", ua.Variant("Größe", ua.VariantType.String), "Größe"),
    ],
)
async def test_values_arrive_in_the_tag_s_own_form(
    cell: Any, tag: str, variant: ua.Variant, value: object
) -> None:
    async with cell.client("op") as client:
        assert await write(client, tag, variant) == ua.StatusCodes.Good
    assert cell.scan.received == [WriteTag(tag=tag, value=value, actor="op")]


async def test_an_array_is_written_whole(cell: Any) -> None:
    async with cell.client("super") as client:
        variant = ua.Variant([1.0, 2.0, 3.0, 4.0], ua.VariantType.Float)
        assert await write(client, "profile", variant) == ua.StatusCodes.Good
        assert cell.scan.received[0].value == [1.0, 2.0, 3.0, 4.0]
        short = ua.Variant([1.0], ua.VariantType.Float)
        assert await write(client, "profile", short) == ua.StatusCodes.BadOutOfRange
        part = ua.Variant([1.0], ua.VariantType.Float)
        assert (
            await write(client, "profile", part, index_range="1")
            == ua.StatusCodes.BadWriteNotSupported
        )


@pytest.mark.parametrize(
    ("tag", "variant", "status"),
    [
        ("recipe", ua.Variant(7, ua.VariantType.Int32), ua.StatusCodes.BadTypeMismatch),
        ("recipe", ua.Variant("7"), ua.StatusCodes.BadTypeMismatch),
        ("recipe", ua.Variant([7], INT16), ua.StatusCodes.BadTypeMismatch),
        ("recipe", ua.Variant(None, ua.VariantType.Null), ua.StatusCodes.BadTypeMismatch),
        ("label", ua.Variant("x" * 21), ua.StatusCodes.BadOutOfRange),
        ("dwell", ua.Variant(float("inf"), ua.VariantType.Double), ua.StatusCodes.BadOutOfRange),
        ("dwell", ua.Variant(float("nan"), ua.VariantType.Double), ua.StatusCodes.BadOutOfRange),
        ("mark.busy", ua.Variant(True), ua.StatusCodes.BadNotWritable),
        (
            "profile",
            ua.Variant([1.0] * 4, ua.VariantType.Float),
            ua.StatusCodes.BadUserAccessDenied,
        ),
        (
            "ns=4;s=BladeMarking.IO.Inputs.remote_io.part_present",
            ua.Variant(True),
            ua.StatusCodes.BadNotWritable,
        ),
        ("ns=4;s=BladeMarking.IO.nothing", ua.Variant(True), ua.StatusCodes.BadNodeIdUnknown),
        ("ns=3;s=BladeMarking", ua.Variant(True), ua.StatusCodes.BadAttributeIdInvalid),
    ],
)
async def test_what_does_not_fit_is_refused_before_the_scan_sees_it(
    cell: Any, tag: str, variant: ua.Variant, status: int
) -> None:
    tag = tag.replace("mark.busy", "ns=4;s=BladeMarking.IO.Memory.mark.busy")
    async with cell.client("op") as client:
        assert await write(client, tag, variant) == status
    assert not cell.scan.received


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (ReplyCode.NOT_WRITABLE, ua.StatusCodes.BadNotWritable),
        (ReplyCode.OUT_OF_RANGE, ua.StatusCodes.BadOutOfRange),
        (ReplyCode.TYPE_MISMATCH, ua.StatusCodes.BadTypeMismatch),
        (ReplyCode.INVALID_STATE, ua.StatusCodes.BadInvalidState),
        (ReplyCode.UNKNOWN_TAG, ua.StatusCodes.BadNodeIdUnknown),
        (99, ua.StatusCodes.BadUnexpectedError),
    ],
)
async def test_the_status_is_the_scan_s_answer(cell: Any, code: int, status: int) -> None:
    cell.scan.answer = lambda command: (code, "refused")
    async with cell.client("op") as client:
        assert await write(client, "recipe", ua.Variant(7, INT16)) == status


async def test_a_scan_that_does_not_answer_is_a_timeout(
    cell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(command: AnyCommand) -> tuple[int, str]:
        await asyncio.Event().wait()
        return ReplyCode.OK, ""

    monkeypatch.setattr(cell.scan, "send", silent)
    monkeypatch.setattr(limits, "WRITE_TIMEOUT_S", 0.05)
    async with cell.client("op") as client:
        assert await write(client, "recipe", ua.Variant(7, INT16)) == ua.StatusCodes.BadTimeout


async def test_a_full_command_ring_is_told_as_such(cell: Any) -> None:
    def full(command: AnyCommand) -> tuple[int, str]:
        raise CommandUnavailableError("the command ring is full; is the scan running?")

    cell.scan.answer = full
    async with cell.client("op") as client:
        status = await write(client, "recipe", ua.Variant(7, INT16))
    assert status == ua.StatusCodes.BadResourceUnavailable


async def test_only_the_value_can_be_written(cell: Any) -> None:
    async with cell.client("op") as client:
        value = ua.Variant(7, INT16)
        refused = ua.StatusCodes.BadWriteNotSupported
        bad = ua.StatusCode(ua.StatusCodes.BadOutOfService)
        assert await write(client, "recipe", value, status=bad) == refused
        name = ua.Variant(ua.LocalizedText("x"))
        status = await write(client, "recipe", name, attribute=ua.AttributeIds.DisplayName)
        assert status == ua.StatusCodes.BadNotWritable
    assert not cell.scan.received


async def test_what_client_libraries_send_of_their_own_accord_is_advice(cell: Any) -> None:
    """python-opcua and asyncua stamp what they write."""
    now = ua.DateTime(2026, 1, 1)
    async with cell.client("op") as client:
        value = ua.Variant(7, INT16)
        for stamps in ({"SourceTimestamp": now}, {"SourceTimestamp": now, "ServerTimestamp": now}):
            assert await write(client, "recipe", value, **stamps) == ua.StatusCodes.Good
        await client.get_node(f"{MEMORY}.recipe").write_value(9, INT16)
        null = ua.Variant(None, ua.VariantType.String)
        assert await write(client, "label", null) == ua.StatusCodes.Good
    assert [command.value for command in cell.scan.received] == [7, 7, 9, ""]


def several(*writes: tuple[str, ua.Variant]) -> ua.WriteParameters:
    params = ua.WriteParameters()
    for tag, value in writes:
        item = ua.WriteValue()
        item.NodeId = ua.NodeId.from_string(f"{MEMORY}.{tag}")
        item.AttributeId = ua.AttributeIds.Value
        item.Value = ua.DataValue(value)
        params.NodesToWrite.append(item)
    return params


async def test_the_writes_of_one_request_travel_together(cell: Any) -> None:
    seven, text = ua.Variant(7, INT16), ua.Variant("x", ua.VariantType.String)
    async with cell.client("op") as client:
        results = await client.uaclient.session.write(
            several(("recipe", seven), ("recipe", text), ("nothing", text), ("label", text))
        )
    assert [code.value for code in results] == [
        ua.StatusCodes.Good,
        ua.StatusCodes.BadTypeMismatch,
        ua.StatusCodes.BadNodeIdUnknown,
        ua.StatusCodes.Good,
    ]
    (command,) = cell.scan.received
    assert [(write.tag, write.value) for write in command.writes] == [("recipe", 7), ("label", "x")]


async def test_a_thousand_writes_are_a_few_commands_in_their_order(cell: Any) -> None:
    wanted = [("recipe", ua.Variant(number % 100, INT16)) for number in range(1000)]
    async with cell.client("op") as client:
        results = await client.uaclient.session.write(several(*wanted))
    assert all(code.is_good() for code in results)
    assert len(cell.scan.received) <= 5
    values = [write.value for command in cell.scan.received for write in command.writes]
    assert values == [number % 100 for number in range(1000)]


async def test_one_that_the_scan_refuses_does_not_stop_those_behind_it(cell: Any) -> None:
    def answer(command: AnyCommand) -> tuple[int, str]:
        writes = getattr(command, "writes", ())
        bad = [number for number, write in enumerate(writes) if write.value == 50]
        return (ReplyCode.OUT_OF_RANGE, f"{bad[0]} written; no") if bad else (ReplyCode.OK, "")

    cell.scan.answer = answer
    wanted = [("recipe", ua.Variant(value, INT16)) for value in (1, 50, 2, 50, 3)]
    async with cell.client("op") as client:
        results = await client.uaclient.session.write(several(*wanted))
    out = ua.StatusCodes.BadOutOfRange
    assert [code.value for code in results] == [0, out, 0, out, 0]


async def test_what_is_not_begun_when_the_client_stops_waiting_is_not_begun(cell: Any) -> None:
    async def slow(command: AnyCommand) -> tuple[int, str]:
        cell.scan.received.append(command)
        await asyncio.sleep(0.3)
        return ReplyCode.OK, ""

    wanted = [("recipe", ua.Variant(number % 100, INT16)) for number in range(1000)]
    request = ua.WriteRequest()
    request.Parameters = several(*wanted)
    before, cell.scan.send = cell.scan.send, slow
    try:
        async with cell.client("op") as client:
            with pytest.raises((TimeoutError, asyncio.TimeoutError)):
                # The library's timeout is its TimeoutHint too.
                await client.uaclient.protocol.send_request(request, timeout=0.2)
            await asyncio.sleep(0.8)
    finally:
        cell.scan.send = before
    assert len(cell.scan.received) == 1


async def test_the_access_level_tells_each_user_the_truth(cell: Any) -> None:
    levels = {}
    for user in ("op", "planner"):
        async with cell.client(user) as client:
            for tag in ("recipe", "profile"):
                node = client.get_node(f"{MEMORY}.{tag}")
                level = await node.read_attribute(ua.AttributeIds.UserAccessLevel)
                levels[user, tag] = bool(level.Value.Value & 2)
    assert levels == {
        ("op", "recipe"): True,
        ("op", "profile"): False,
        ("planner", "recipe"): False,
        ("planner", "profile"): False,
    }
