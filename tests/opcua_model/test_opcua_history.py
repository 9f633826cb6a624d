"""HistoryRead as a client has it: pages, bounds, moments, aggregates, and what is refused."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from asyncua import Client, ua

from cellwright.mes.history.append import append, register
from cellwright.mes.history.batch import Batch, Kind
from cellwright.mes.history.tables import HistoryChunk
from cellwright.mes.history.values import kind_of
from cellwright.opcua_model.services import limits

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
NOON_NS = int(NOON.timestamp()) * 10**9
BAD = 0x80310000
CALCULATED, INTERPOLATED, PARTIAL = 0x401, 0x402, 0x404
SUB_NORMAL, NO_DATA = 0x40A40000, 0x809B0000
RECORDED = ("real_0", "real_1", "recipe", "label", "profile", "dwell", "part_present")
NEVER = datetime(1601, 1, 1, tzinfo=UTC)
C = ua.StatusCodes


def at(second: float) -> datetime:
    return NOON + timedelta(seconds=second)


class Bench:
    """A cell with a history, and a client."""

    def __init__(self, cell: Any) -> None:
        self.cell, self.client = cell, None
        self.tags = {tag.name: tag for tag in cell.server._plan.tags}
        kinds = [
            (name, str(self.tags[name].type), kind_of(self.tags[name].type)) for name in RECORDED
        ]
        with cell.store.session() as session:
            self.keys = register(session, "BladeMarking", kinds)

    def node(self, name: str) -> Any:
        return self.client.get_node(self.cell.server._tags.paths.node_id(self.tags[name]))

    def put(self, name: str, rows: list[tuple[float, Any, int]]) -> None:
        """Record (second, value, status)."""
        type_ = self.tags[name].type
        kind, texts = kind_of(type_), []
        values = [value for _, value, _ in rows]
        if kind is Kind.TEXT:
            texts, bits = values, np.arange(len(rows), dtype=np.uint64)
        else:
            wide = np.float64 if kind is Kind.FLOAT else np.int64
            bits = np.array(values, wide).view(np.uint64)
        batch = Batch(
            np.full(len(rows), self.keys[name, str(type_)], np.uint32),
            np.full(len(rows), kind, np.uint8),
            np.array([NOON_NS + round(second * 1e9) for second, *_ in rows], np.int64),
            np.array([status for *_, status in rows], np.uint32),
            bits,
            texts,
        )
        with self.cell.store.session() as session:
            append(session, "BladeMarking", [batch])

    async def ask(self, details: Any, *names: str, points=(), release=False, **more: Any) -> Any:
        """The results of one HistoryRead."""
        params = ua.HistoryReadParameters()
        params.HistoryReadDetails = details
        params.TimestampsToReturn = more.pop("timestamps", ua.TimestampsToReturn.Source)
        params.ReleaseContinuationPoints = release
        for number, name in enumerate(names):
            item = ua.HistoryReadValueId()
            item.NodeId = name if isinstance(name, ua.NodeId) else self.node(name).nodeid
            item.IndexRange = more.get("index_range")
            if points:
                item.ContinuationPoint = points[number]
            params.NodesToRead.append(item)
        return await self.client.uaclient.history_read(params)

    async def raw(self, name: str, start=NEVER, end=NEVER, number=0, bounds=False, **more: Any):
        """All pages: (second, value, status) of each value, and how many pages there were."""
        details = ua.ReadRawModifiedDetails(False, start, end, number, bounds)
        found, points, pages = [], (), 0
        while True:
            (result,) = await self.ask(details, name, points=points, **more)
            result.StatusCode.check()
            pages += 1
            found += [told(value) for value in result.HistoryData.DataValues]
            if not result.ContinuationPoint:
                return found, pages
            points = [result.ContinuationPoint]

    async def processed(self, name: str, aggregate: str, start, end, step_ms, **config: Any):
        details = ua.ReadProcessedDetails(start, end, step_ms)
        number = getattr(ua.ObjectIds, f"AggregateFunction_{aggregate}", 1)
        details.AggregateType = [ua.NodeId(number)]
        rules = ua.AggregateConfiguration()
        rules.UseServerCapabilitiesDefaults = not config
        for key, value in config.items():
            setattr(rules, key, value)
        details.AggregateConfiguration = rules
        (result,) = await self.ask(details, name)
        result.StatusCode.check()
        return [told(value) for value in result.HistoryData.DataValues]


def told(value: ua.DataValue) -> tuple[float, Any, int]:
    content = None if value.Value is None else value.Value.Value
    second = (value.SourceTimestamp.replace(tzinfo=UTC) - NOON) / timedelta(seconds=1)
    return second, content, value.StatusCode.value


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(make_cell: Any) -> AsyncIterator[Bench]:
    """A server with values of a minute or so, shared by the tests that only read."""
    async with make_cell(anonymous="read", mes=True, reals=2, long=True, history=RECORDED) as cell:
        it = Bench(cell)
        it.put("real_0", [(n, n / 4, BAD if n == 7 else 0) for n in range(10)])
        it.put("recipe", [(2 * n, n, 0) for n in range(5)])
        it.put("label", [(0, "Ünder".encode(), 0), (1, b"x", BAD), (2, b"SN-7", 0)])
        it.put("profile", [(0, struct.pack("<4f", 1, 2, 3, 4.5), 0)])
        it.put("dwell", [(0, 1_500_000_000, 0), (10, 2_500_000_000, 0)])
        it.put("part_present", [(0, 1, 0), (5, 0, 0)])
        it.put("real_1", [(n / 1000, float(n), 0) for n in range(25_000)])
        async with cell.client() as client:
            it.client = client
            yield it


VALUES = [(n, None if n == 7 else n / 4, BAD if n == 7 else 0) for n in range(10)]


async def test_a_domain_is_read_forward_and_backward_without_its_end(bench: Bench) -> None:
    assert (await bench.raw("real_0", at(2), at(6)))[0] == VALUES[2:6]
    assert (await bench.raw("real_0", at(6), at(2)))[0] == VALUES[6:2:-1]
    assert (await bench.raw("real_0", at(3), at(3)))[0] == VALUES[3:4]
    assert (await bench.raw("real_0", at(6.5), number=2))[0] == VALUES[7:9]
    assert (await bench.raw("real_0", end=at(6.5), number=2))[0] == [VALUES[6], VALUES[5]]


async def test_bounds_are_the_values_at_the_ends_or_the_next_ones_outside(bench: Bench) -> None:
    assert (await bench.raw("real_0", at(2.5), at(4.5), bounds=True))[0] == VALUES[2:6]
    assert (await bench.raw("real_0", at(2), at(4), bounds=True))[0] == VALUES[2:5]
    assert (await bench.raw("real_0", at(4.5), at(2.5), bounds=True))[0] == VALUES[5:1:-1]
    nothing = C.BadBoundNotFound
    got, _ = await bench.raw("real_0", at(-5), at(99), bounds=True)
    assert got == [(-5, None, nothing), *VALUES, (99, None, nothing)]
    got, _ = await bench.raw("real_0", at(99), at(-5), bounds=True)
    assert got == [(99, None, nothing), *VALUES[::-1], (-5, None, nothing)]


@pytest.mark.parametrize("number", [1, 2, 3, 11, 12])
async def test_pages_bring_each_value_once_and_no_more_than_was_asked_for(
    bench: Bench, number: int
) -> None:
    for start, end in ((at(-5), at(99)), (at(99), at(-5))):
        whole, _ = await bench.raw("real_0", start, end, bounds=True)
        got, pages = await bench.raw("real_0", start, end, number, bounds=True)
        assert got == whole
        assert pages == -(-len(whole) // number)


async def test_a_long_domain_comes_in_pages_of_the_servers_own(bench: Bench) -> None:
    got, pages = await bench.raw("real_1", at(0), at(99))
    assert [value for _, value, _ in got] == [float(n) for n in range(25_000)]
    assert pages == 3
    assert len(await bench.node("real_1").read_raw_history(at(0), at(99), 0, False)) == 25_000


async def test_a_continuation_point_serves_once_its_node_and_can_be_released(bench: Bench) -> None:
    details = ua.ReadRawModifiedDetails(False, at(0), at(9), 2, False)

    async def first() -> bytes:
        return (await bench.ask(details, "real_0"))[0].ContinuationPoint

    invalid = C.BadContinuationPointInvalid
    point = await first()
    assert (await bench.ask(details, "recipe", points=[point]))[0].StatusCode.value == invalid
    point = await first()
    assert (await bench.ask(details, "real_0", points=[point]))[0].StatusCode.value == C.Good
    assert (await bench.ask(details, "real_0", points=[point]))[0].StatusCode.value == invalid
    point = await first()
    codes = [
        (await bench.ask(details, "real_0", points=[point], release=True))[0].StatusCode.value
        for _ in range(2)
    ]
    assert codes == [C.Good, invalid]
    points = [await first() for _ in range(limits.MAX_HISTORY_CONTINUATION_POINTS + 1)]
    codes = [
        (await bench.ask(details, "real_0", points=[name]))[0].StatusCode.value
        for name in (points[0], points[-1])
    ]
    assert codes == [invalid, C.Good]


async def test_texts_arrays_and_parts_of_them_come_as_the_tag_has_them(bench: Bench) -> None:
    assert (await bench.raw("label", at(0), at(9)))[0] == [
        (0, "Ünder", 0), (1, None, BAD), (2, "SN-7", 0)
    ]  # fmt: skip
    assert (await bench.raw("label", at(0), at(9), index_range="0:1"))[0] == [
        (0, "Ün", 0), (1, None, BAD), (2, "SN", 0)
    ]  # fmt: skip
    assert (await bench.raw("label", at(0), at(1), index_range="9"))[0] == [
        (0, None, C.BadIndexRangeNoData)
    ]
    assert (await bench.raw("profile", at(0), at(9), index_range="1:2"))[0] == [(0, [2, 3], 0)]
    assert (await bench.raw("dwell", at(0), at(9)))[0] == [(0, 1500.0, 0)]
    assert (await bench.raw("part_present", at(0), at(9)))[0] == [(0, True, 0), (5, False, 0)]


async def test_values_at_moments_lie_on_the_line_or_the_step(bench: Bench) -> None:
    moments = [at(second) for second in (2.5, 2, 7.5, 99, -1)]
    (result,) = await bench.ask(ua.ReadAtTimeDetails(moments), "real_0")
    assert [told(value) for value in result.HistoryData.DataValues] == [
        (2.5, 0.625, INTERPOLATED),
        (2, 0.5, 0),
        (7.5, 1.875, SUB_NORMAL | INTERPOLATED),
        (99, 2.25, SUB_NORMAL | INTERPOLATED),
        (-1, None, NO_DATA),
    ]
    moments = [at(3), at(4)]
    for name, values in (("recipe", [1, 2]), ("part_present", [True, True])):
        (result,) = await bench.ask(ua.ReadAtTimeDetails(moments), name)
        assert [told(value)[1] for value in result.HistoryData.DataValues] == values


async def test_aggregates_come_with_their_types_and_statuses(bench: Bench) -> None:
    async def of(aggregate: str, name: str = "real_0", start: float = 0, end: float = 6, **more):
        return await bench.processed(name, aggregate, at(start), at(end), 4000.0, **more)

    cut = CALCULATED | PARTIAL
    assert await of("Average") == [(0, 0.375, CALCULATED), (4, 1.125, cut)]
    assert await of("Minimum") == [(0, 0.0, CALCULATED), (4, 1.0, cut)]
    assert await of("Maximum") == [(0, 0.75, CALCULATED), (4, 1.25, cut)]
    assert await of("Range") == [(0, 0.75, CALCULATED), (4, 0.25, cut)]
    assert await of("Count") == [(0, 4, CALCULATED), (4, 2, cut)]
    assert await of("TimeAverage") == [(0, 0.5, CALCULATED), (4, 1.25, cut)]
    assert await of("Interpolative", start=0.5) == [
        (0.5, 0.125, INTERPOLATED), (4.5, 1.125, INTERPOLATED)
    ]  # fmt: skip
    assert await of("Start", start=0.5) == [(1, 0.25, 0), (5, 1.25, 0)]
    assert await of("End", start=0.5) == [(4, 1.0, 0), (5, 1.25, 0)]
    mean = pytest.approx((5 + 6 + 8) / 4 / 3)
    assert await of("Average", start=5, end=9) == [(5, mean, SUB_NORMAL | CALCULATED)]
    relaxed = {"PercentDataGood": 50, "PercentDataBad": 60, "UseSlopedExtrapolation": False}
    assert (await of("Average", start=5, end=9, **relaxed))[0][2] == CALCULATED
    assert await of("Average", start=50, end=54) == [(50, None, NO_DATA)]
    assert await of("Average", "dwell", 0, 4) == [(0, 1500.0, CALCULATED)]
    assert await of("Maximum", "recipe", 0, 4) == [(0, 1, CALCULATED)]
    assert await of("End", "label", 0, 4) == [(2, "SN-7", 0)]
    assert await of("Interpolative", "part_present", 5, 9) == [(5, False, 0)]


@pytest.mark.parametrize(
    ("asked", "config", "code"),
    [
        (("real_0", "Median", 1.0), {}, C.BadAggregateNotSupported),
        (("label", "Average", 1.0), {}, C.BadAggregateInvalidInputs),
        (("real_0", "Average", -1.0), {}, C.BadInvalidArgument),
        (("real_0", "Average", float("nan")), {}, C.BadInvalidArgument),
        (("real_0", "Average", 1.0), {"PercentDataGood": 101}, C.BadAggregateConfigurationRejected),
    ],
)
async def test_aggregates_that_cannot_be_are_refused(
    bench: Bench, asked: Any, config: Any, code: int
) -> None:
    name, aggregate, step_ms = asked
    with pytest.raises(ua.UaStatusCodeError) as refused:
        await bench.processed(name, aggregate, at(0), at(4), step_ms, **config)
    assert refused.value.code == code


async def test_each_node_has_its_own_answer(bench: Bench) -> None:
    details = ua.ReadRawModifiedDetails(False, at(0), at(2), 0, False)
    other = bench.client.get_node(ua.ObjectIds.Server_ServerStatus_CurrentTime).nodeid
    names = ("real_0", "air_pressure", other, ua.NodeId("nothing", 4), "recipe")
    results = await bench.ask(details, *names)
    unsupported = C.BadHistoryOperationUnsupported
    assert [result.StatusCode.value for result in results] == [
        C.Good, unsupported, unsupported, C.BadNodeIdUnknown, C.Good
    ]  # fmt: skip
    whole = ua.ReadRawModifiedDetails(False, at(0), at(2))
    (empty,) = await bench.ask(ua.ReadRawModifiedDetails(False, at(50), at(60), 0, False), "recipe")
    assert empty.StatusCode.value == C.GoodNoData
    modified = ua.ReadRawModifiedDetails(True, at(0), at(2))
    unbounded = ua.ReadRawModifiedDetails(False, at(0), NEVER)
    for details, code in ((modified, unsupported), (unbounded, C.BadHistoryOperationInvalid)):
        (result,) = await bench.ask(details, "real_0")
        assert result.StatusCode.value == code
    (result,) = await bench.ask(ua.ReadEventDetails(), "real_0")
    assert result.StatusCode.value == unsupported
    (result,) = await bench.ask(whole, "label", index_range="x")
    assert result.StatusCode.value == C.BadIndexRangeInvalid


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"timestamps": ua.TimestampsToReturn.Server}, C.BadTimestampNotSupported),
        ({"timestamps": ua.TimestampsToReturn.Neither}, C.BadTimestampsToReturnInvalid),
        ({"names": []}, C.BadNothingToDo),
        ({"names": ["real_0"] * 101}, C.BadTooManyOperations),
        ({"details": ua.ReadAtTimeDetails([NOON] * 20_000)}, C.BadTooManyOperations),
    ],
)
async def test_requests_that_cannot_be_are_refused_as_a_whole(
    bench: Bench, change: Any, code: int
) -> None:
    details = change.pop("details", ua.ReadRawModifiedDetails(False, at(0), at(2)))
    names = change.pop("names", ["real_0"])
    with pytest.raises(ua.UaStatusCodeError) as refused:
        await bench.ask(details, *names, **change)
    assert refused.value.code == code


async def test_what_is_recorded_is_not_changed_by_a_client(bench: Bench) -> None:
    details = ua.DeleteRawModifiedDetails()
    details.NodeId = bench.node("real_0").nodeid
    details.StartTime, details.EndTime = at(0), at(9)
    params = ua.HistoryUpdateParameters([details])
    (result,) = await bench.client.uaclient.history_update(params)
    assert result.StatusCode.value == C.BadHistoryOperationUnsupported
    assert len((await bench.raw("real_0", at(0), at(9)))[0]) == 9


async def test_nodes_say_what_is_recorded_and_the_server_what_it_can(bench: Bench) -> None:
    for name, recorded in (("real_0", True), ("recipe", True), ("air_pressure", False)):
        node = bench.node(name)
        level = (await node.read_attribute(ua.AttributeIds.AccessLevel)).Value.Value
        historizing = (await node.read_attribute(ua.AttributeIds.Historizing)).Value.Value
        assert (bool(level & 4), historizing) == (recorded, recorded)
        found = await node.get_referenced_nodes(
            ua.ObjectIds.HasHistoricalConfiguration, ua.BrowseDirection.Forward
        )
        if recorded:
            stepped = await found[0].get_child("0:Stepped")
            assert await stepped.read_value() is (name == "recipe")
            rules = await found[0].get_child(["0:AggregateConfiguration", "0:PercentDataGood"])
            assert await rules.read_value() == 100
        else:
            assert not found
    ids = ua.ObjectIds
    get = bench.client.get_node
    able = ids.HistoryServerCapabilities_AccessHistoryDataCapability
    assert await get(able).read_value() is True
    for folder in (
        ids.HistoryServerCapabilities_AggregateFunctions,
        ids.Server_ServerCapabilities_AggregateFunctions,
    ):
        names = {(await node.read_browse_name()).Name for node in await get(folder).get_children()}
        assert names == {
            "Interpolative", "Average", "TimeAverage", "Minimum", "Maximum", "Range", "Count",
            "Start", "End",
        }  # fmt: skip
    assert await get(ids.Server_ServerCapabilities_MaxHistoryContinuationPoints).read_value() == 100


async def test_other_clients_are_served_while_one_reads_much(bench: Bench) -> None:
    """Turns are counted, not milliseconds: the loop serves others while a thread reads."""
    turns, reading = 0, True

    async def read_on(client: Client) -> None:
        nonlocal turns
        while reading:
            await client.nodes.server_state.read_value()
            turns += 1

    async with bench.cell.client("planner") as other:
        task = asyncio.create_task(read_on(other))
        await bench.raw("real_1", at(0), at(99))
        reading = False
        await task
    assert turns >= 10


async def test_damage_and_a_database_that_is_away_have_their_own_codes(make_cell: Any) -> None:
    async with make_cell(anonymous="read", mes=True, reals=2, long=True, history=RECORDED) as cell:
        it = Bench(cell)
        it.put("real_0", [(0, 1.0, 0)])
        with cell.store.session() as session:
            session.query(HistoryChunk).update({"data": b"rubbish"})
        async with cell.client() as it.client:
            details = ua.ReadRawModifiedDetails(False, at(0), at(2))
            (result,) = await it.ask(details, "real_0")
            assert result.StatusCode.value == C.BadDataLost
