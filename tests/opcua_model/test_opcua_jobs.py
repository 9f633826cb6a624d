"""Job orders over OPC UA: stored, started, moved and seen, with the MES's own rules."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua import Client, ua
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.messages import PartArrived, SerialRequested
from cellwright.mes.kernel.errors import MesError
from cellwright.mes.orders.work_orders import WorkOrderState
from cellwright.mes.shopfloor import consumer
from cellwright.opcua_model.address_space.values import NO_TIME
from cellwright.opcua_model.isa95 import job_orders, mes_view
from cellwright.opcua_model.isa95.job_control import (
    CANNOT_ACCEPT,
    INVALID_REQUEST,
    INVALID_STATE,
    NO_ERROR,
    UNKNOWN_ORDER,
)
from cellwright.opcua_model.isa95.structures import (
    ISA95JobOrderDataType,
    ISA95MaterialDataType,
    ISA95ParameterDataType,
    ISA95WorkMasterDataType,
)

session_loop = pytest.mark.asyncio(loop_scope="session")
CONTROL = "ns=3;s=BladeMarking.JobManagement.JobOrderControl"
RESULTS = "ns=3;s=BladeMarking.JobManagement.JobOrderResults"


def order(job_order_id: str, part: str = "BLD-7421", quantity: str = "3") -> ISA95JobOrderDataType:
    return ISA95JobOrderDataType(
        JobOrderID=job_order_id,
        Description=[ua.LocalizedText("Blades for the test")],
        WorkMasterID=[ISA95WorkMasterDataType(ID=part)],
        Priority=4,
        MaterialRequirements=[
            ISA95MaterialDataType(MaterialUse=job_orders.PRODUCED, Quantity=quantity)
        ],
    )


async def call(client: Client, method: str, argument: Any, comment: str = "because") -> int:
    if isinstance(argument, str):
        first = ua.Variant(argument, ua.VariantType.String)
    else:
        first = ua.Variant(argument, ua.VariantType.ExtensionObject)
    status: int = await client.get_node(CONTROL).call_method(
        f"3:{method}",
        first,
        ua.Variant([ua.LocalizedText(comment)], ua.VariantType.LocalizedText, is_array=True),
    )
    return status


async def listed(client: Client, job_order_id: str) -> Any:
    values = await client.get_node(f"{CONTROL}.JobOrderList").read_value()
    return next(item for item in values if item.JobOrder.JobOrderID == job_order_id)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


@session_loop
async def test_a_stored_and_started_order_shows_at_once_in_list_and_folder(cell: Any) -> None:
    async with cell.client("planner") as client:
        assert await call(client, "StoreAndStart", order("JOB-1")) == NO_ERROR
        entry = await listed(client, "JOB-1")
        assert [state.StateText.Text for state in entry.State] == ["Running"]
        assert [state.StateNumber for state in entry.State] == [3]
        assert entry.JobOrder.WorkMasterID[0].ID == "BLD-7421"
        assert entry.JobOrder.MaterialRequirements[0].Quantity == "3"
        assert entry.JobOrder.Priority == 4
        number = entry.JobOrder.JobOrderParameters[0].Value.Value
        twins = f"ns=3;s=BladeMarking.MES.WorkOrders.{number}"
        for name, value in {
            "JobOrderID": "JOB-1",
            "State": "RUNNING",
            "StateNumber": 3,
            "Quantity": 3,
            "Good": 0,
            "Description": "Blades for the test",
            "Progress": 0.0,
            "Serials": [],
        }.items():
            assert await client.get_node(f"{twins}.{name}").read_value() == value


@session_loop
async def test_an_order_runs_through_its_states_by_the_methods(cell: Any) -> None:
    seen = []
    async with cell.client("planner") as planner, cell.client("op") as operator:
        assert await call(planner, "Store", order("JOB-2")) == NO_ERROR
        for method in ("Start", "Pause", "Resume", "Abort"):
            seen.append([s.StateText.Text for s in (await listed(operator, "JOB-2")).State])
            assert await call(operator, method, "JOB-2") == NO_ERROR
        seen.append([s.StateText.Text for s in (await listed(operator, "JOB-2")).State])
    assert seen == [
        ["AllowedToStart", "Ready"],
        ["Running"],
        ["Interrupted", "Held"],
        ["Running"],
        ["Aborted"],
    ]


@session_loop
async def test_the_mes_s_refusals_are_bits_while_the_call_stays_good(cell: Any) -> None:
    async with cell.client("planner") as client:
        assert await call(client, "Start", "NO-SUCH-JOB") == UNKNOWN_ORDER
        assert await call(client, "Store", order("JOB-3")) == NO_ERROR
        assert await call(client, "Store", order("JOB-3")) == CANNOT_ACCEPT
        assert await call(client, "Resume", "JOB-3") == INVALID_STATE
        assert await call(client, "Store", order("JOB-4", part="BLD-0000")) == CANNOT_ACCEPT
        assert await call(client, "Store", order("JOB-5", part="NO-PART")) == CANNOT_ACCEPT
        assert await call(client, "Store", order("JOB-6", quantity="0")) == INVALID_REQUEST
        assert await call(client, "Store", order("JOB-7", quantity="many")) == INVALID_REQUEST
        assert await call(client, "Store", order("")) == INVALID_REQUEST


@session_loop
async def test_only_the_roles_of_the_role_table_may_create_orders(cell: Any) -> None:
    async with cell.client("op") as client:
        with pytest.raises(ua.UaStatusCodeError) as caught:
            await call(client, "StoreAndStart", order("JOB-8"))
        assert caught.value.code == ua.StatusCodes.BadUserAccessDenied


def _table_of_texts() -> ua.Variant:
    """An array of two dimensions where one is declared."""
    row = [ua.LocalizedText("a"), ua.LocalizedText("b")]
    return ua.Variant([row, row], ua.VariantType.LocalizedText, Dimensions=[2, 2], is_array=True)


@session_loop
async def test_wrong_arguments_are_told_one_by_one(cell: Any) -> None:
    comment = ua.Variant([], ua.VariantType.LocalizedText, is_array=True)
    codes = []
    async with cell.client("planner") as client:
        for arguments in (
            [ua.Variant("JOB-1")],
            [ua.Variant("JOB-1"), comment, comment],
            [ua.Variant(5), comment],
            [ua.Variant("JOB-1"), ua.Variant("text")],
            [ua.Variant("JOB-1"), _table_of_texts()],
        ):
            with pytest.raises(ua.UaStatusCodeError) as caught:
                await client.get_node(CONTROL).call_method("3:Start", *arguments)
            codes.append(caught.value.code)
        foreign = ua.Variant(ua.Range(0.0, 1.0), ua.VariantType.ExtensionObject)
        with pytest.raises(ua.UaStatusCodeError) as caught:
            await client.get_node(CONTROL).call_method("3:Store", foreign, comment)
        codes.append(caught.value.code)
        with pytest.raises(ua.UaStatusCodeError) as caught:
            await client.nodes.objects.call_method(
                ua.NodeId.from_string(f"{CONTROL}.Start"), ua.Variant("JOB-1"), comment
            )
        codes.append(caught.value.code)
    assert codes == [
        ua.StatusCodes.BadArgumentsMissing,
        ua.StatusCodes.BadTooManyArguments,
        ua.StatusCodes.BadInvalidArgument,
        ua.StatusCodes.BadInvalidArgument,
        ua.StatusCodes.BadInvalidArgument,
        ua.StatusCodes.BadInvalidArgument,
        ua.StatusCodes.BadMethodInvalid,
    ]


@session_loop
async def test_the_audit_names_the_user_and_the_comment(cell: Any) -> None:
    from sqlalchemy import select  # noqa: PLC0415

    from cellwright.mes.audit.tables import AuditRecord  # noqa: PLC0415

    async with cell.client("planner") as client:
        assert await call(client, "Store", order("JOB-9"), "rush order") == NO_ERROR
    with cell.store.reading() as session:
        records = session.scalars(
            select(AuditRecord).where(AuditRecord.correlation_id == "JOB-9")
        ).all()
        assert {(record.actor, record.reason) for record in records} >= {("planner", "rush order")}


@session_loop
async def test_parts_appear_under_their_order(cell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with cell.client("planner") as client:
        for view in cell.server._work_orders.state.orders:
            if view.state is WorkOrderState.RUNNING:
                assert await call(client, "Abort", view.job_order_id) == NO_ERROR
        assert await call(client, "StoreAndStart", order("JOB-10", quantity="2")) == NO_ERROR
        number = (await listed(client, "JOB-10")).JobOrder.JobOrderParameters[0].Value.Value
        utc_ns = int(datetime.now(UTC).timestamp() * 1e9)
        with cell.store.session() as session:
            for sequence, event in enumerate(
                (
                    PartArrived(task="mark", utc_ns=utc_ns, part_id="boot-1"),
                    SerialRequested(task="mark", utc_ns=utc_ns, part_id="boot-1", station="mark"),
                ),
                1,
            ):
                consumer.consume(session, "scan", sequence, event)
        node = client.get_node(f"ns=3;s=BladeMarking.MES.WorkOrders.{number}.PartIDs")
        async with asyncio.timeout(30):
            while await node.read_value() != ["boot-1"]:
                await asyncio.sleep(0.05)
        response, status = await client.get_node(RESULTS).call_method(
            "3:RequestJobResponseByJobOrderID", ua.Variant("JOB-10")
        )
        # The window of all orders is full of others: the method reads the parts all the same.
        monkeypatch.setattr(mes_view, "MAX_UNITS_OF_ALL", 0)
        async with asyncio.timeout(30):
            while await node.read_value():
                await asyncio.sleep(0.05)
        again, _ = await client.get_node(RESULTS).call_method(
            "3:RequestJobResponseByJobOrderID", ua.Variant("JOB-10")
        )
    assert again == response
    assert status == NO_ERROR
    assert response.JobOrderID == "JOB-10"
    serial = response.MaterialActuals[0].MaterialSublotID
    assert serial.startswith("SN")
    assert {item.ID: item.Value.Value for item in response.JobResponseData}["InProcess"] == 1


@session_loop
async def test_an_order_that_is_not_shown_any_more_is_still_answered_for(
    cell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cell.client("planner") as client:
        assert await call(client, "Store", order("JOB-12")) == NO_ERROR
        assert await call(client, "Cancel", "JOB-12") == NO_ERROR
        monkeypatch.setattr(mes_view, "MAX_ORDERS", 1)
        assert await call(client, "Store", order("JOB-13")) == NO_ERROR
        await until(lambda: cell.server._work_orders.find("JOB-12") is None)
        ask = client.get_node(RESULTS).call_method
        response, status = await ask(
            "3:RequestJobResponseByJobOrderID", ua.Variant("JOB-12", ua.VariantType.String)
        )
        _, unknown = await ask(
            "3:RequestJobResponseByJobOrderID", ua.Variant("JOB-99", ua.VariantType.String)
        )
        assert await call(client, "Cancel", "JOB-13") == NO_ERROR
    assert (status, unknown) == (NO_ERROR, UNKNOWN_ORDER)
    assert response.JobOrderID == "JOB-12"


@session_loop
async def test_a_read_that_began_before_an_order_was_stored_does_not_take_it_away_again(
    cell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, go_on, read = cell.server, threading.Event(), mes_view.MesView._read
    began = []

    def late(self: mes_view.MesView) -> mes_view.MesState:
        state = read(self)
        began.append(state)
        if len(began) == 1:
            assert go_on.wait(30)
        return state

    async with cell.client("planner") as client:
        monkeypatch.setattr(mes_view.MesView, "_read", late)
        try:
            await until(lambda: bool(began))
            assert await call(client, "Store", order("JOB-14")) == NO_ERROR
            assert server._work_orders.find("JOB-14") is not None
            assert len(began) > 1
            old = server._mes_task
        finally:
            go_on.set()
        await asyncio.wait_for(asyncio.shield(old), 30)
        server._show_mes()
        assert server._work_orders.find("JOB-14") is not None
        assert await call(client, "Cancel", "JOB-14") == NO_ERROR


@session_loop
async def test_a_mes_that_fails_leaves_what_was_shown(
    cell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cell.client("planner") as client:
        assert await call(client, "Store", order("JOB-11")) == NO_ERROR

        def broken() -> None:
            raise MesError("store_unreachable", "the database is away")

        monkeypatch.setattr(cell.server._mes, "_read", broken)
        await cell.server.refresh_mes()
        assert (await listed(client, "JOB-11")).JobOrder.JobOrderID == "JOB-11"


def test_a_structure_that_says_too_little_is_refused_with_a_reason() -> None:
    complete = order("J")
    assert job_orders.from_client(complete).quantity == 3
    for change, told in (
        ({"JobOrderID": None}, "give the order an id"),
        ({"WorkMasterID": None}, "exactly one entry"),
        ({"WorkMasterID": [ISA95WorkMasterDataType(ID="A")] * 2}, "exactly one entry"),
        ({"MaterialRequirements": None}, "not a number"),
        ({"JobOrderParameters": [ISA95ParameterDataType(ID="x")]}, "one plain value"),
        (
            {
                "JobOrderParameters": [
                    ISA95ParameterDataType(ID="x", Value=ua.Variant("1")),
                    ISA95ParameterDataType(ID="x", Value=ua.Variant("2")),
                ]
            },
            "given twice",
        ),
    ):
        given_order = order("J")
        for name, value in change.items():
            setattr(given_order, name, value)
        with pytest.raises(job_orders.JobOrderError, match=told):
            job_orders.from_client(given_order)


def test_quantity_and_revision_may_come_as_parameters() -> None:
    given_order = order("J")
    given_order.MaterialRequirements = None
    given_order.JobOrderParameters = [
        ISA95ParameterDataType(ID="Quantity", Value=ua.Variant(12)),
        ISA95ParameterDataType(ID="Revision", Value=ua.Variant("C")),
        ISA95ParameterDataType(ID="heat", Value=ua.Variant("H77")),
    ]
    job = job_orders.from_client(given_order)
    assert (job.quantity, job.revision, job.parameters) == (12, "C", {"heat": "H77"})


@given(st.text(max_size=30))
def test_any_quantity_text_is_a_whole_number_or_a_refusal(text: str) -> None:
    try:
        quantity = job_orders.from_client(order("J", quantity=text)).quantity
    except job_orders.JobOrderError:
        return
    assert isinstance(quantity, int)


@pytest.mark.parametrize("text", ["1e5000", "-1e5000", "1e9999999", "9" * 5000, "1e-9999999"])
def test_a_quantity_that_would_take_hours_to_write_out_is_refused(text: str) -> None:
    with pytest.raises(job_orders.JobOrderError, match="number"):
        job_orders.from_client(order("J", quantity=text))


def test_a_time_at_an_end_of_the_calendar_is_no_time() -> None:
    planned = ua.DateTime(2026, 11, 20, tzinfo=UTC)
    for start, end, expected in (
        (planned, NO_TIME, (planned, None)),
        (NO_TIME, planned, (None, planned)),
        (planned, ua.DateTime.max.replace(tzinfo=UTC), (planned, None)),
    ):
        given_order = order("J")
        given_order.StartTime, given_order.EndTime = start, end
        job = job_orders.from_client(given_order)
        assert (job.start_utc, job.end_utc) == expected


def test_every_state_of_the_mes_has_a_state_of_the_job_order() -> None:
    assert set(job_orders.STATES) == set(WorkOrderState)
