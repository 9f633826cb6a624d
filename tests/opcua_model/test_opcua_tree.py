"""What a client finds: the whole tree, readable to the last variable, under names that last."""

from __future__ import annotations

from typing import Any

import pytest
from asyncua import Client, ua
from asyncua.ua.uaerrors import BadNothingToDo, BadTooManyOperations

from cellwright.io.plan import (
    BAD_NO_COMMUNICATION,
    GOOD,
    GOOD_LOCAL_OVERRIDE,
    UNCERTAIN_LAST_USABLE,
)
from cellwright.mes.orders import work_orders
from cellwright.mes.orders.work_orders import JobOrder

pytestmark = pytest.mark.asyncio(loop_scope="session")

IO = "ns=4;s=BladeMarking.IO"
HONEST_TAG_QUALITIES = {GOOD, 0x4092_0000}


async def walk(client: Client) -> dict[ua.NodeId, ua.ReferenceDescription]:
    """Every node that hierarchical references reach from Root, types included."""
    found: dict[ua.NodeId, ua.ReferenceDescription] = {}
    pending = [ua.NodeId(ua.ObjectIds.RootFolder)]
    while pending:
        batch, pending = pending[:200], pending[200:]
        params = ua.BrowseParameters()
        params.RequestedMaxReferencesPerNode = 0
        for node_id in batch:
            item = ua.BrowseDescription()
            item.NodeId = node_id
            item.BrowseDirection = ua.BrowseDirection.Forward
            item.ReferenceTypeId = ua.NodeId(ua.ObjectIds.HierarchicalReferences)
            item.IncludeSubtypes = True
            item.ResultMask = ua.BrowseResultMask.All
            params.NodesToBrowse.append(item)
        for result in await client.uaclient.session.browse(params):
            assert result.StatusCode.is_good()
            for reference in result.References:
                if reference.NodeId not in found:
                    found[reference.NodeId] = reference
                    pending.append(reference.NodeId)
    return found


async def read(client: Client, nodes: list[ua.NodeId], attribute: Any) -> list[ua.DataValue]:
    params = ua.ReadParameters()
    params.TimestampsToReturn = ua.TimestampsToReturn.Both
    for node_id in nodes:
        item = ua.ReadValueId()
        item.NodeId = node_id
        item.AttributeId = attribute
        params.NodesToRead.append(item)
    values: list[ua.DataValue] = await client.uaclient.session.read(params)
    return values


async def test_every_variable_below_root_reads_without_a_bad_status(cell: Any) -> None:
    with cell.store.session() as session:  # an order without start and end
        job = JobOrder("TREE-1", "BLD-7421", "C", 1)
        work_orders.store(session, job, actor="tests", reason="")
    await cell.server.refresh_mes()
    async with cell.client() as client:
        found = await walk(client)
        variables = [
            node_id
            for node_id, reference in found.items()
            if reference.NodeClass == ua.NodeClass.Variable
        ]
        values = await read(client, variables, ua.AttributeIds.Value)
        ours = {
            node_id.to_string(): value
            for node_id, value in zip(variables, values, strict=True)
            if node_id.NamespaceIndex > 1
        }
        bad = {
            node_id.to_string(): value.StatusCode.name
            for node_id, value in zip(variables, values, strict=True)
            if value.StatusCode.is_bad()
        }
    assert not bad
    assert len(variables) > 2500
    assert f"{IO}.Inputs.remote_io.part_present" in ours
    assert all(
        value.StatusCode.value in HONEST_TAG_QUALITIES and value.Value.Value is not None
        for name, value in ours.items()
    )


async def test_the_server_object_has_no_variable_without_a_value(cell: Any) -> None:
    async with cell.client() as client:
        found = await walk(client)
        pending, below = [ua.NodeId(ua.ObjectIds.Server)], []
        while pending:
            node = client.get_node(pending.pop())
            for reference in await node.get_children_descriptions():
                pending.append(reference.NodeId)
                if reference.NodeClass == ua.NodeClass.Variable:
                    below.append(reference.NodeId)
        values = await read(client, below, ua.AttributeIds.Value)
    null = [
        found[node_id].BrowseName.Name
        for node_id, value in zip(below, values, strict=True)
        if value.Value.Value is None
    ]
    assert not null
    assert len(below) > 60


async def test_namespaces_stand_in_their_fixed_order(cell: Any) -> None:
    async with cell.client() as client:
        assert await client.get_namespace_array() == [
            "http://opcfoundation.org/UA/",
            "urn:cellwright:Plant1:BladeMarking",
            "urn:cellwright:types",
            "urn:cellwright:cell",
            "urn:cellwright:io",
        ]


@pytest.mark.parametrize(
    "path",
    [
        ["3:Machines", "3:BladeMarking", "3:Identification", "3:Manufacturer"],
        ["3:Machines", "3:BladeMarking", "3:MachineryBuildingBlocks", "3:MachineryItemState"],
        ["3:Machines", "3:BladeMarking", "3:Status", "3:CurrentState"],
        ["3:Machines", "3:BladeMarking", "3:Marking", "3:mark", "4:busy"],
        ["3:Machines", "3:BladeMarking", "3:Vision", "3:inspect", "4:read"],
        ["3:Machines", "3:BladeMarking", "3:JobManagement", "3:JobOrderControl", "3:Store"],
        ["3:Machines", "3:BladeMarking", "3:MES", "3:WorkOrders"],
        ["3:Controller", "3:Resources", "3:PLC1", "3:Tasks", "3:mark", "3:Jitter"],
        ["3:Controller", "3:Resources", "3:PLC1", "3:System", "3:state"],
        ["4:IO", "4:Inputs", "4:remote_io", "4:air_pressure", "0:EURange"],
        ["4:IO", "4:Outputs", "4:remote_io", "4:clamp_close"],
        ["4:IO", "4:Memory", "4:recipe"],
    ],
)
async def test_a_browse_path_leads_to_the_node(cell: Any, path: list[str]) -> None:
    async with cell.client() as client:
        node = await client.nodes.objects.get_child(path)
        assert (await node.read_browse_name()).Name == path[-1].partition(":")[2]


async def test_an_analog_tag_tells_its_range_and_unit(cell: Any) -> None:
    async with cell.client() as client:
        node = client.get_node(f"{IO}.Inputs.remote_io.air_pressure")
        assert await node.read_type_definition() == ua.NodeId(ua.ObjectIds.AnalogUnitRangeType)
        limits = await (await node.get_child("0:EURange")).read_value()
        unit = await (await node.get_child("0:EngineeringUnits")).read_value()
        assert (limits.Low, limits.High) == (0.0, 10.0)
        assert unit.UnitId == int.from_bytes(b"BAR", "big")
        assert unit.DisplayName.Text == "bar"
        assert (await node.read_description()).Text == "Pressure of the clamp's supply"


async def test_a_value_carries_quality_and_source_timestamp(cell: Any) -> None:
    async with cell.client() as client:
        node = client.get_node(f"{IO}.Inputs.remote_io.air_pressure")
        for quality in (UNCERTAIN_LAST_USABLE, GOOD_LOCAL_OVERRIDE, GOOD):
            cell.image.set("air_pressure", 6.25, quality)
            await cell.server.publish()
            value = await node.read_data_value(raise_on_bad_status=False)
            assert value.StatusCode.value == quality
            assert value.Value.Value == 6.25
            assert value.SourceTimestamp.timestamp() == pytest.approx(cell.image.utc_ns / 1e9)


async def test_a_bad_value_is_null_and_says_why(cell: Any) -> None:
    async with cell.client() as client:
        node = client.get_node(f"{IO}.Inputs.remote_io.air_pressure")
        cell.image.set("air_pressure", 6.25, BAD_NO_COMMUNICATION)
        await cell.server.publish()
        value = await node.read_data_value(raise_on_bad_status=False)
        assert value.StatusCode.value == BAD_NO_COMMUNICATION
        assert value.Value.Value is None
        cell.image.set("air_pressure", 6.0)
        await cell.server.publish()
        assert await node.read_value() == 6.0


async def test_time_is_a_duration_in_milliseconds(cell: Any) -> None:
    async with cell.client() as client:
        node = client.get_node(f"{IO}.Memory.dwell")
        cell.image.set("dwell", 1_500_000_000)
        await cell.server.publish()
        assert await node.read_value() == 1500.0
        assert await node.read_data_type() == ua.NodeId(ua.ObjectIds.Duration)


async def test_an_index_range_cuts_an_array(cell: Any) -> None:
    cell.image.set("profile", [1.0, 2.0, 3.0, 4.0])
    await cell.server.publish()
    async with cell.client() as client:
        results = {}
        for text in ("1:2", "3", "9", "x", "2:1"):
            params = ua.ReadParameters()
            item = ua.ReadValueId()
            item.NodeId = ua.NodeId.from_string(f"{IO}.Memory.profile")
            item.AttributeId = ua.AttributeIds.Value
            item.IndexRange = text
            params.NodesToRead = [item]
            (results[text],) = await client.uaclient.session.read(params)
    assert results["1:2"].Value.Value == [2.0, 3.0]
    assert results["3"].Value.Value == [4.0]
    assert results["9"].StatusCode.value == ua.StatusCodes.BadIndexRangeNoData
    assert results["x"].StatusCode.value == ua.StatusCodes.BadIndexRangeInvalid
    assert results["2:1"].StatusCode.value == ua.StatusCodes.BadIndexRangeInvalid


async def test_a_bad_array_keeps_its_status_when_a_part_of_it_is_read(cell: Any) -> None:
    cell.image.set("profile", [1.0, 2.0, 3.0, 4.0], BAD_NO_COMMUNICATION)
    await cell.server.publish()
    async with cell.client() as client:
        params = ua.ReadParameters()
        item = ua.ReadValueId()
        item.NodeId = ua.NodeId.from_string(f"{IO}.Memory.profile")
        item.AttributeId = ua.AttributeIds.Value
        item.IndexRange = "1:2"
        params.NodesToRead = [item]
        (found,) = await client.uaclient.session.read(params)
    assert found.StatusCode.value == BAD_NO_COMMUNICATION
    assert found.SourceTimestamp is not None


async def test_browse_gives_pages_and_lets_go_of_them(cell: Any) -> None:
    async with cell.client() as client:
        session = client.uaclient.session
        params = ua.BrowseParameters()
        params.RequestedMaxReferencesPerNode = 2
        item = ua.BrowseDescription()
        item.NodeId = ua.NodeId.from_string("ns=3;s=BladeMarking")
        item.BrowseDirection = ua.BrowseDirection.Forward
        item.ReferenceTypeId = ua.NodeId(ua.ObjectIds.HierarchicalReferences)
        item.IncludeSubtypes = True
        item.ResultMask = ua.BrowseResultMask.All
        params.NodesToBrowse = [item]
        (page,) = await session.browse(params)
        names = [reference.BrowseName.Name for reference in page.References]
        assert len(names) == 2
        (again,) = await session.browse(params)
        while page.ContinuationPoint:
            following = ua.BrowseNextParameters()
            following.ReleaseContinuationPoints = False
            following.ContinuationPoints = [page.ContinuationPoint]
            (page,) = await session.browse_next(following)
            assert len(page.References) <= 2
            names += [reference.BrowseName.Name for reference in page.References]
        assert {"Identification", "Status", "MES", "Marking", "Vision"} <= set(names)
        release = ua.BrowseNextParameters()
        release.ReleaseContinuationPoints = True
        release.ContinuationPoints = [again.ContinuationPoint]
        await session.browse_next(release)
        release.ReleaseContinuationPoints = False
        (gone,) = await session.browse_next(release)
        assert gone.StatusCode.value == ua.StatusCodes.BadContinuationPointInvalid


async def test_advertised_limits_are_enforced(cell: Any) -> None:
    async with cell.client() as client:
        most = await client.get_node(
            ua.NodeId(ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead)
        ).read_value()
        node = ua.NodeId(ua.ObjectIds.Server_ServiceLevel)
        assert len(await read(client, [node] * most, ua.AttributeIds.Value)) == most
        with pytest.raises(BadTooManyOperations):
            await read(client, [node] * (most + 1), ua.AttributeIds.Value)
        with pytest.raises(BadNothingToDo):
            await read(client, [], ua.AttributeIds.Value)
        for register in (client.uaclient.register_nodes, client.uaclient.unregister_nodes):
            await register([node])
            with pytest.raises(BadTooManyOperations):
                await register([ua.NodeId(1)] * 10_001)
            with pytest.raises(BadNothingToDo):
                await register([])


async def test_diagnostics_count_sessions_and_subscriptions(cell: Any) -> None:
    async with cell.client() as client:
        cell.server._standard.refresh()
        before = await client.get_node(
            ua.NodeId(ua.ObjectIds.Server_ServerDiagnostics_ServerDiagnosticsSummary)
        ).read_value()
    async with cell.client() as client, cell.client("planner") as other:
        await other.create_subscription(100, None)
        cell.server._standard.refresh()
        summary = await client.get_node(
            ua.NodeId(ua.ObjectIds.Server_ServerDiagnostics_ServerDiagnosticsSummary)
        ).read_value()
        sessions = await client.get_node(
            ua.NodeId(
                ua.ObjectIds.Server_ServerDiagnostics_SessionsDiagnosticsSummary_SessionDiagnosticsArray
            )
        ).read_value()
    assert summary.CurrentSessionCount == before.CurrentSessionCount + 1
    assert summary.CurrentSubscriptionCount == before.CurrentSubscriptionCount + 1
    assert summary.CumulatedSessionCount == before.CumulatedSessionCount + 2
    assert len(sessions) == summary.CurrentSessionCount


async def test_task_statistics_and_cell_state_follow_the_image(cell: Any) -> None:
    async with cell.client() as client:
        statistics = cell.image.image.statistics
        for _ in range(9):
            statistics.reset(1)
        statistics.record(1, 50_000, 3_000_000)
        for _ in range(6):
            statistics.record(1, 0, 2_000_000)
        statistics.overran(1, 1)
        statistics.skipped(1, 2)
        statistics.watchdog_hit(1, 3)
        statistics.ran_late(1, 4)
        statistics.omitted(1, 5)
        statistics.timed_out(1, 6)
        statistics.answered_late(1, 8)
        cell.image.set("sys.state", 2)
        cell.server._due_ns["diagnostics"] = 0
        await cell.server.publish()
        task = "ns=3;s=BladeMarking.Controller.Resources.PLC1.Tasks.mark"
        expected = {"CycleTime": 2.0, "MaxCycleTime": 3.0, "Jitter": 0.05, "Load": 10.0, "Runs": 7}
        expected |= {"Overruns": 1, "Skips": 2, "WatchdogHits": 3, "LateRuns": 4, "Omitted": 5}
        expected |= {"JobTimeouts": 6, "LateAnswers": 8, "Resets": 9}
        for name, value in expected.items():
            assert await client.get_node(f"{task}.{name}").read_value() == pytest.approx(value)
        status = client.get_node("ns=3;s=BladeMarking.Status.CurrentState")
        assert (await status.read_value()).Text == "Execute"
        assert (
            await client.get_node(
                "ns=3;s=BladeMarking.MachineryBuildingBlocks.MachineryItemState"
            ).read_value()
            == 3
        )


async def test_every_variable_is_whole(cell: Any) -> None:
    """A client that shows attributes finds a type with a name, times, and AccessLevelEx."""
    space, read = cell.server._internal.aspace, cell.server._internal.aspace.read_attribute_value
    attributes = ua.AttributeIds
    lacking = []
    for node_id in list(space.keys()):
        if read(node_id, attributes.NodeClass).Value.Value != ua.NodeClass.Variable:
            continue
        level = read(node_id, attributes.AccessLevel).Value.Value
        extended = read(node_id, attributes.AccessLevelEx)
        data_type = read(node_id, attributes.DataType).Value.Value
        name = read(data_type, attributes.DisplayName)
        value = read(node_id, attributes.Value)
        if (
            extended.Value is None
            or extended.Value.Value != level
            or extended.Value.VariantType is not ua.VariantType.UInt32
            or name.Value is None
            or value.SourceTimestamp is None
        ):
            lacking.append(node_id.to_string())
    assert lacking == []
