"""Events of the journal reach clients: alarms as conditions, the cell's own, audit events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC
from typing import Any

import pytest
import pytest_asyncio
from asyncua import Client, ua
from asyncua.ua import ObjectIds as O

from cellwright.io.messages import (
    AccessAudited,
    AcknowledgeAlarm,
    AlarmCommented,
    DisableAlarm,
    ModeChanged,
    ReplyCode,
    ShelveAlarm,
    TagWritten,
    UnshelveAlarm,
    decode_event,
)
from cellwright.opcua_model.address_space.ids import cell_id, standard, type_id
from support.opcua_events import Ear, Journal, add_item, call, change, listen
from support.opcua_support import START_UTC_NS

NEVER = ua.DateTime(1601, 1, 1, tzinfo=UTC)
HIGH = cell_id("BladeMarking.Alarms.pressure.high")
DOOR = cell_id("BladeMarking.Alarms.door_1")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def alarmed(make_cell: Any) -> AsyncIterator[Any]:
    async with make_cell(anonymous="read", alarms=3, told=()) as running:
        yield running


@pytest.fixture
def journal(alarmed: Any) -> Journal:
    told: Journal = alarmed.journal
    return told


pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_alarm_comes_is_acknowledged_and_goes(alarmed: Any, journal: Journal) -> None:
    async with alarmed.client() as client:
        ear = Ear()
        await listen(client, ear)
        journal.tell(change("pressure.high", "NORMAL", "UNACKNOWLEDGED", value=6.5))
        [came] = await ear.wait(1)
        assert came["condition"] == HIGH
        assert came["EventType"] == standard(O.ExclusiveLevelAlarmType)
        assert (came["ConditionName"], came["SourceName"]) == ("pressure.high", "air_pressure")
        assert (came["ActiveState.Id"], came["AckedState.Id"], came["Retain"]) == (
            True,
            False,
            True,
        )
        assert came["LimitState.CurrentState"] == "High"
        before = len(alarmed.scan.received)
        status = await call(
            client, HIGH, O.AcknowledgeableConditionType_Acknowledge,
            ua.Variant(came["EventId"], ua.VariantType.ByteString),
            ua.Variant(ua.LocalizedText("seen"), ua.VariantType.LocalizedText),
        )  # fmt: skip
        assert status == "Good"
        [command] = alarmed.scan.received[before:]
        assert command == AcknowledgeAlarm(alarm="pressure.high", actor="op", reason="seen")
        journal.tell(
            change("pressure.high", "UNACKNOWLEDGED", "ACKNOWLEDGED", actor="op", reason="seen"),
            change("pressure.high", "ACKNOWLEDGED", "NORMAL"),
        )
        _, acked, gone = await ear.wait(3)
        assert (acked["AckedState.Id"], acked["Comment"], acked["ClientUserId"]) == (
            True, "seen", "op",
        )  # fmt: skip
        assert (gone["ActiveState.Id"], gone["Retain"]) == (False, False)
        assert len({each["EventId"] for each in ear.heard}) == 3


@pytest.mark.parametrize(
    ("node", "heard"),
    [
        (O.Server, True),
        (cell_id("BladeMarking"), True),
        (cell_id("BladeMarking.Alarms"), True),
    ],
    ids=["server", "machine", "folder"],
)
async def test_events_reach_every_notifier_above(
    alarmed: Any, journal: Journal, node: Any, heard: bool
) -> None:
    async with alarmed.client() as client:
        ear = Ear()
        await listen(client, ear, node)
        journal.tell(change("door_1", "NORMAL", "UNACKNOWLEDGED"))
        journal.tell(change("door_1", "UNACKNOWLEDGED", "NORMAL"))
        assert [each["condition"] for each in await ear.wait(2)] == [DOOR, DOOR]


async def test_a_node_without_events_refuses(alarmed: Any) -> None:
    async with alarmed.client() as client:
        ear = Ear()
        subscription, _ = await listen(client, ear)
        for node, code in (
            (cell_id("BladeMarking.Status"), "BadNotSupported"),
            (cell_id("nowhere"), "BadNodeIdUnknown"),
            (standard(O.Server_ServerStatus_State), "BadAttributeIdInvalid"),
        ):
            result = await add_item(client, subscription, ear, node)
            assert result.StatusCode.name == code
        result = await add_item(client, subscription, ear, O.Server, filter=None)
        assert result.StatusCode.name == "BadEventFilterInvalid"


async def test_a_refresh_tells_what_stands_between_its_marks(
    alarmed: Any, journal: Journal
) -> None:
    async with alarmed.client() as client:
        ear = Ear()
        subscription, item = await listen(client, ear)
        journal.tell(change("door_2", "NORMAL", "UNACKNOWLEDGED"))
        [came] = await ear.wait(1)
        number = ua.Variant(subscription, ua.VariantType.UInt32)
        one = ua.Variant(item, ua.VariantType.UInt32)
        for method, inputs in (
            (O.ConditionType_ConditionRefresh, (number,)),
            (O.ConditionType_ConditionRefresh2, (number, one)),
        ):
            ear.heard.clear()
            assert await call(client, standard(O.ConditionType), method, *inputs) == "Good"
            start, standing, end = await ear.wait(3)
            assert start["EventType"] == standard(O.RefreshStartEventType)
            assert standing["EventId"] == came["EventId"]
            assert end["EventType"] == standard(O.RefreshEndEventType)
        wrong = ua.Variant(subscription + 999, ua.VariantType.UInt32)
        refresh = O.ConditionType_ConditionRefresh
        status = await call(client, standard(O.ConditionType), refresh, wrong)
        assert status == "BadSubscriptionIdInvalid"
        journal.tell(change("door_2", "UNACKNOWLEDGED", "NORMAL"))
        await ear.wait(4)


async def test_a_where_clause_chooses(alarmed: Any, journal: Journal) -> None:
    async with alarmed.client() as client:
        ear, everything = Ear(), Ear()
        wanted = ear.filter()
        wanted.WhereClause.Elements = [
            ua.ContentFilterElement(
                ua.FilterOperator.OfType,
                [ua.LiteralOperand(ua.Variant(type_id("ModeChangedEventType")))],
            )
        ]
        await listen(client, everything)
        await listen(client, ear, filter=wanted)
        mode = ModeChanged(
            task="runtime", utc_ns=START_UTC_NS, old="STOP", new="RUN", actor="op", reason="",
        )  # fmt: skip
        journal.tell(change("door_1", "NORMAL", "UNACKNOWLEDGED"), mode)
        await everything.wait(2)
        [heard] = await ear.wait(1)
        assert (heard["Message"], heard["Severity"]) == ("STOP -> RUN", 300)
        journal.tell(change("door_1", "UNACKNOWLEDGED", "NORMAL"))


@pytest.mark.parametrize("discard_oldest", [True, False], ids=["oldest", "newest"])
async def test_a_full_queue_tells_what_it_dropped(
    alarmed: Any, journal: Journal, discard_oldest: bool
) -> None:
    async with alarmed.client() as client:
        ear = Ear()
        subscription, item = await listen(client, ear, queue=2, discard_oldest=discard_oldest)
        mode = ua.SetMonitoringModeParameters()
        mode.SubscriptionId, mode.MonitoredItemIds = subscription, [item]
        mode.MonitoringMode = ua.MonitoringMode.Sampling  # queues and does not report
        await client.uaclient.set_monitoring_mode(mode)
        modes = [
            ModeChanged(
                task="runtime", utc_ns=START_UTC_NS, old=str(number), new="x", actor="", reason=""
            )
            for number in range(4)
        ]
        journal.tell(*modes)
        witness = Ear()
        await listen(client, witness)
        journal.tell(change("door_1", "NORMAL", "UNACKNOWLEDGED"))
        async with asyncio.timeout(10):
            while not any(each["condition"] for each in witness.heard):
                await asyncio.sleep(0.02)
        mode.MonitoringMode = ua.MonitoringMode.Reporting
        await client.uaclient.set_monitoring_mode(mode)
        heard = await ear.wait(3)
        over = [each["EventType"] == standard(O.EventQueueOverflowEventType) for each in heard]
        texts = [each["Message"] for each in heard]
        if discard_oldest:
            assert over == [True, False, False]
            assert texts[1:] == ["3 -> x", "Air pressure too high"]
        else:
            assert over == [False, False, True]
            assert texts[:2] == ["0 -> x", "1 -> x"]
        journal.tell(change("door_1", "UNACKNOWLEDGED", "NORMAL"))


async def test_a_flood_reaches_every_client_in_order(alarmed: Any, journal: Journal) -> None:
    async with alarmed.client() as one, alarmed.client(None) as other:
        ears = Ear((("Message",),)), Ear((("Message",),))
        await listen(one, ears[0])
        await listen(other, ears[1])
        journal.tell(
            *(
                ModeChanged(
                    task="runtime", utc_ns=START_UTC_NS, old=str(number), new="x", actor="",
                    reason="",
                )
                for number in range(1000)
            )
        )  # fmt: skip
        for ear in ears:
            heard = await ear.wait(1000)
            assert [each["Message"] for each in heard] == [f"{n} -> x" for n in range(1000)]


async def test_shelving_commenting_and_disabling_are_commands(
    alarmed: Any, journal: Journal
) -> None:
    async with alarmed.client() as client:
        ear = Ear()
        await listen(client, ear)
        journal.tell(change("door_1", "NORMAL", "UNACKNOWLEDGED"))
        [came] = await ear.wait(1)
        before = len(alarmed.scan.received)
        shelving = ua.NodeId("BladeMarking.Alarms.door_1/ShelvingState", 3)
        minute = ua.Variant(60_000.0, ua.VariantType.Double)
        assert await call(client, shelving, O.ShelvedStateMachineType_TimedShelve, minute) == "Good"
        assert await call(client, DOOR, O.ShelvedStateMachineType_OneShotShelve) == "Good"
        assert await call(client, DOOR, O.ShelvedStateMachineType_Unshelve) == "Good"
        assert await call(client, DOOR, O.ConditionType_Disable) == "Good"
        timed, once, back, off = alarmed.scan.received[before:]
        assert isinstance(timed, ShelveAlarm)
        assert isinstance(once, ShelveAlarm)
        assert (timed.duration_s, timed.once, once.once) == (60.0, False, True)
        assert back == UnshelveAlarm(alarm="door_1", actor="op")
        assert off == DisableAlarm(alarm="door_1", actor="op")
        for bad in (0.0, -1.0, 90_000_000.0, float("nan")):
            status = await call(
                client, shelving, O.ShelvedStateMachineType_TimedShelve,
                ua.Variant(bad, ua.VariantType.Double),
            )  # fmt: skip
            assert status == "BadShelvingTimeOutOfRange"
        ring = alarmed.image.image.events["gateway"]
        comment = ua.Variant(ua.LocalizedText("hinge worn"), ua.VariantType.LocalizedText)
        event_id = ua.Variant(came["EventId"], ua.VariantType.ByteString)
        assert await call(client, DOOR, O.ConditionType_AddComment, event_id, comment) == "Good"
        told = [decode_event(payload) for _, payload in ring.peek()]
        notes = [each for each in told if isinstance(each, AlarmCommented)]
        assert [(each.alarm, each.text, each.actor) for each in notes] == [
            ("door_1", "hinge worn", "op")
        ]
        journal.tell(notes[-1])
        heard = await ear.wait(2)
        assert (heard[-1]["Comment"], heard[-1]["ClientUserId"]) == ("hinge worn", "op")
        journal.tell(change("door_1", "UNACKNOWLEDGED", "NORMAL"))


async def test_what_the_scan_refuses_has_the_code_of_part_9(alarmed: Any, journal: Journal) -> None:
    async with alarmed.client() as client:
        ear = Ear()
        await listen(client, ear)
        journal.tell(change("door_1", "NORMAL", "UNACKNOWLEDGED"))
        [came] = await ear.wait(1)
        event_id = ua.Variant(came["EventId"], ua.VariantType.ByteString)
        comment = ua.Variant(ua.LocalizedText(""), ua.VariantType.LocalizedText)
        alarmed.scan.answer = lambda command: (ReplyCode.INVALID_STATE, "no")
        try:
            for method, inputs, code in (
                (O.AcknowledgeableConditionType_Acknowledge, (event_id, comment),
                 "BadConditionBranchAlreadyAcked"),
                (O.ShelvedStateMachineType_Unshelve, (), "BadConditionNotShelved"),
                (O.ConditionType_Enable, (), "BadConditionAlreadyEnabled"),
                (O.ConditionType_Disable, (), "BadInvalidState"),
            ):  # fmt: skip
                assert await call(client, DOOR, method, *inputs) == code
        finally:
            alarmed.scan.answer = lambda command: (ReplyCode.OK, "")
        unknown = ua.Variant(b"x" * 16, ua.VariantType.ByteString)
        ack = O.AcknowledgeableConditionType_Acknowledge
        assert await call(client, DOOR, ack, unknown, comment) == "BadEventIdUnknown"
        elsewhere = cell_id("BladeMarking.Status")
        assert await call(client, elsewhere, ack, event_id, comment) == "BadMethodInvalid"
    async with alarmed.client(None) as stranger:
        assert await call(stranger, DOOR, ack, event_id, comment) == "BadUserAccessDenied"
    journal.tell(change("door_1", "UNACKNOWLEDGED", "NORMAL"))


async def test_a_condition_is_nodes_that_can_be_browsed_read_and_monitored(
    alarmed: Any, journal: Journal
) -> None:
    async with alarmed.client() as client:
        folder = client.get_node(cell_id("BladeMarking.Alarms"))
        names = [(await each.read_browse_name()).Name for each in await folder.get_children()]
        assert names == ["pressure.high", "door_1", "door_2"]
        condition = client.get_node(HIGH)
        active = await condition.get_child(["0:ActiveState", "0:Id"])
        limit = await condition.get_child("0:HighLimit")
        assert (await active.read_value(), await limit.read_value()) == (False, 6.0)
        methods = await condition.get_methods()
        assert standard(O.AcknowledgeableConditionType_Acknowledge) in [m.nodeid for m in methods]
        changes: list[Any] = []

        class Watcher:
            def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
                changes.append(value)

        subscription = await client.create_subscription(20, Watcher())
        await subscription.subscribe_data_change(active)
        journal.tell(change("pressure.high", "NORMAL", "UNACKNOWLEDGED"))
        async with asyncio.timeout(10):
            while changes != [False, True]:
                await asyncio.sleep(0.02)
        journal.tell(change("pressure.high", "UNACKNOWLEDGED", "NORMAL"))


async def test_only_administrators_hear_of_audit_events(alarmed: Any, journal: Journal) -> None:
    async with alarmed.client("chief") as chief, alarmed.client() as client:
        fields = (("EventType",), ("Message",), ("ClientUserId",), ("Status",), ("NewValue",))
        ear, other = Ear(fields), Ear(fields)
        await listen(chief, ear)
        await listen(client, other)
        recipe = alarmed.image.image.plan.tags[3]
        journal.tell(
            AccessAudited(
                task="gateway", utc_ns=START_UTC_NS, step="login", status="BadUserAccessDenied",
                address="10.0.0.9", user="eve", reason="wrong password",
            ),
            TagWritten(
                task="runtime", utc_ns=START_UTC_NS, tag=recipe.name, old=1, new=2, actor="op",
                reason="",
            ),
        )  # fmt: skip
        heard = await ear.wait(3)
        refused, written, plain = heard
        assert refused["EventType"] == standard(O.AuditActivateSessionEventType)
        assert (refused["ClientUserId"], refused["Status"]) == ("eve", False)
        assert written["EventType"] == standard(O.AuditWriteUpdateEventType)
        assert (written["NewValue"], written["ClientUserId"]) == (2, "op")
        assert plain["EventType"] == type_id("TagWrittenEventType")
        assert [each["EventType"] for each in await other.wait(1)] == [plain["EventType"]]
        await call(client, DOOR, O.ShelvedStateMachineType_Unshelve)
        called = (await ear.wait(4))[3]
        assert called["EventType"] == standard(O.AuditUpdateMethodEventType)
        assert called["ClientUserId"] == "op"


async def test_alarms_are_what_they_were_after_a_restart(make_cell: Any) -> None:
    note = AlarmCommented(
        task="gateway", utc_ns=START_UTC_NS, alarm="pressure.high", text="valve?", actor="op"
    )
    told = [change("pressure.high", "NORMAL", "UNACKNOWLEDGED"), note]
    async with make_cell(alarms=2, told=told) as cell, cell.client() as client:
        ear = Ear()
        subscription, _ = await listen(client, ear)
        active = client.get_node("ns=3;s=BladeMarking.Alarms.pressure.high/ActiveState/Id")
        async with asyncio.timeout(10):
            while not await active.read_value():
                await asyncio.sleep(0.02)
        number = ua.Variant(subscription, ua.VariantType.UInt32)
        refresh = O.ConditionType_ConditionRefresh
        assert await call(client, standard(O.ConditionType), refresh, number) == "Good"
        _, standing, _ = await ear.wait(3)
        assert (standing["condition"], standing["Comment"]) == (HIGH, "valve?")
        status = await call(
            client,
            HIGH,
            O.AcknowledgeableConditionType_Acknowledge,
            ua.Variant(standing["EventId"], ua.VariantType.ByteString),
            ua.Variant(ua.LocalizedText(), ua.VariantType.LocalizedText),
        )
        assert status == "Good"


async def read_past(client: Client, ear: Ear, node: ua.NodeId, **more: Any) -> Any:
    """The result of one HistoryRead of events, its fields as plain values."""
    details = ua.ReadEventDetails(
        NumValuesPerNode=ua.Counter(more.get("most", 0)),
        StartTime=more.get("start", ua.DateTime(2000, 1, 1, tzinfo=UTC)),
        EndTime=more.get("end", ua.DateTime(2100, 1, 1, tzinfo=UTC)),
        Filter=more.get("filter", ear.filter()),
    )
    wanted = ua.HistoryReadValueId(NodeId=node)
    wanted.ContinuationPoint = more.get("point")
    params = ua.HistoryReadParameters(
        details, ua.TimestampsToReturn.Source, False, NodesToRead=[wanted]
    )
    [result] = await client.uaclient.history_read(params)
    return result


def told_of(result: Any) -> list[Any]:
    return [
        [each.Value.Text if isinstance(each.Value, ua.LocalizedText) else each.Value
         for each in event.EventFields]
        for event in result.HistoryData.Events
    ]  # fmt: skip


async def test_past_events_are_read_back_with_the_ids_that_they_had(make_cell: Any) -> None:
    modes = [
        ModeChanged(task="runtime", utc_ns=START_UTC_NS, old=str(n), new="x", actor="", reason="")
        for n in range(1200)
    ]
    audit = TagWritten(
        task="runtime", utc_ns=START_UTC_NS, tag="recipe", old=1, new=2, actor="op", reason=""
    )
    told = [change("pressure.high", "NORMAL", "UNACKNOWLEDGED", value=6.5), *modes, audit]
    server = standard(O.Server)
    async with make_cell(alarms=1, told=told) as cell, cell.client() as client:
        ear = Ear((("Message",), ("EventId",), ("ActiveState", "Id")))
        first = await read_past(client, ear, server)
        events = told_of(first)
        assert events[0][0] == "Air pressure too high"
        assert (events[0][2], events[0][3]) == (True, HIGH)
        assert len(events) >= 1000
        rest = await read_past(client, ear, server, point=first.ContinuationPoint)
        assert not rest.ContinuationPoint
        texts = [event[0] for event in events + told_of(rest)]
        assert texts[1:1201] == [f"{n} -> x" for n in range(1200)]
        assert texts[1201:] == ["recipe: 1 -> 2"]  # audit events are for administrators
        again = await read_past(client, ear, server, most=2, start=ua.DateTime(2000, 1, 1))
        assert told_of(again) == events[:2]
        late = ua.DateTime(2100, 1, 1, tzinfo=UTC)
        back = await read_past(client, ear, server, most=1, start=NEVER, end=late)
        assert told_of(back)[0][0] == "recipe: 1 -> 2"
        async with cell.client("chief") as chief:
            whole = await read_past(chief, ear, server, most=5000, start=NEVER, end=late)
            kinds = [event[0] for event in told_of(whole)]
            assert "recipe written" in kinds
        alarms = await read_past(client, ear, cell_id("BladeMarking.Alarms"))
        assert [event[3] for event in told_of(alarms)] == [HIGH]
        for node, code in (
            (cell_id("BladeMarking.Status"), "BadHistoryOperationUnsupported"),
            (cell_id("nowhere"), "BadNodeIdUnknown"),
        ):
            assert (await read_past(client, ear, node)).StatusCode.name == code
        empty = await read_past(client, ear, server, end=ua.DateTime(2001, 1, 1, tzinfo=UTC))
        assert empty.StatusCode.name == "GoodNoData"
        wrong = await read_past(client, ear, server, point=b"x" * 16)
        assert wrong.StatusCode.name == "BadContinuationPointInvalid"
        no_filter = await read_past(client, ear, server, filter=ua.EventFilter())
        assert no_filter.StatusCode.name == "BadEventFilterInvalid"
        open_end = await read_past(client, ear, server, start=NEVER, end=NEVER)
        assert open_end.StatusCode.name == "BadInvalidTimestampArgument"
