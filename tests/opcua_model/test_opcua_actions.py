"""The MES's actions as OPC UA methods: an order from release to completion, and what is refused."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua import Client, ua
from sqlalchemy import select

from cellwright.mes.definitions import parts
from cellwright.mes.definitions.parts import Step, Who
from cellwright.mes.definitions.tables import OperationKind, PartDefinition
from cellwright.mes.kernel import utc
from cellwright.mes.kernel.actions import OpcUa
from cellwright.mes.orders import creation
from cellwright.mes.orders.job_order import JobOrder
from cellwright.mes.people import accounts
from cellwright.mes.people.credentials import passwords
from cellwright.mes.people.tables import Signature
from cellwright.mes.service.catalogue import ACTIONS
from cellwright.opcua_model.isa95.action_methods import SIGNED

session_loop = pytest.mark.asyncio(loop_scope="session")
ORDERS = "ns=3;s=BladeMarking.MES.WorkOrders"
METHOD = "ns=3;s=BladeMarking.MES.WorkOrder"
CONTROL = "ns=3;s=BladeMarking.MES.WorkOrderControl"


def by_hand(store: Any) -> str:
    """Number of a new order for two blades that are polished and packed by hand."""
    with store.session() as session:
        who = Who("tests", "", utc.now(session))
        part = session.scalars(
            select(PartDefinition).where(PartDefinition.part_number == "BLD-HAND")
        ).one_or_none()
        if part is None:
            part = parts.create_part(
                session, who, part_number="BLD-HAND", revision="", description="", unit="C62",
                critical=False, serial_pattern="", fields={},
            )  # fmt: skip
            steps = [
                Step(
                    sequence=number, name=name, kind=OperationKind.MANUAL, station="",
                    sequential=True, inspection_required=False, work_centre="", setup_s=0, run_s=0,
                    required_skill="", quality_critical=False,
                )
                for number, name in ((10, "Polish"), (20, "Pack"))
            ]  # fmt: skip
            parts.create_routing(session, who, part, steps)
        job = JobOrder("", "BLD-HAND", None, 2)
        return creation.create(session, job, actor="tests", reason="").number


async def ask(client: Client, method: str, **given: Any) -> tuple[bool, str, Any]:
    """Call a method with these inputs; the others are empty."""
    action = next(
        each
        for each in ACTIONS.values()
        if isinstance(each.opcua, OpcUa) and method.removesuffix(SIGNED) == each.opcua.method
    )
    assert action.opcua
    node = client.get_node(f"{CONTROL}.{method}.InputArguments")
    inputs = []
    for argument in await node.read_value():
        value = given.pop(argument.Name, None)
        if argument.DataType == ua.NodeId(ua.ObjectIds.Boolean):
            inputs.append(ua.Variant(value is not False, ua.VariantType.Boolean))
        else:
            inputs.append(ua.Variant(value or "", ua.VariantType.String))
    assert not given, f"{method} does not take {given}"
    accepted, why, document = await client.get_node(CONTROL).call_method(f"3:{method}", *inputs)
    return accepted, why, json.loads(document) if document else None


@session_loop
async def test_an_order_goes_its_way_by_methods(cell: Any) -> None:
    number = by_hand(cell.store)
    async with cell.client("super") as client:
        _, why, _ = await ask(client, "StartOperation", Id=number, OpId="10")
        assert "release" in why
        assert (await ask(client, "Release", Id=number))[2]["status"] == "Released"
        accepted, _, operation = await ask(client, "StartOperation", Id=number, OpId="10")
        assert (accepted, operation["operatorId"]) == (True, "super")
        accepted, why, _ = await ask(
            client, "CompleteOperation", Id=number, OpId="10", QuantityGood="3"
        )
        assert (accepted, "report at most 2" in why) == (False, True)
        await ask(client, "CompleteOperation", Id=number, OpId="10", QuantityGood="2")
        assert (await ask(client, "Hold", Id=number))[2]["status"] == "Held"
        assert not (await ask(client, "StartOperation", Id=number, OpId="20"))[0]
        await ask(client, "Resume", Id=number)
        await ask(client, "StartOperation", Id=number, OpId="20")
        await ask(client, "CompleteOperation", Id=number, OpId="20", QuantityGood="2")
        _, _, order = await ask(client, "Complete", Id=number)
        assert (order["status"], order["quantityGood"], order["progress"]) == ("Completed", 2, 100)


@session_loop
async def test_of_twenty_clients_at_once_one_wins(cell: Any) -> None:
    number = by_hand(cell.store)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(cell.client("super")) for _ in range(20)]
        steps: list[tuple[str, dict[str, str]]] = [
            ("Release", {}),
            ("StartOperation", {"OpId": "10"}),
            ("CompleteOperation", {"OpId": "10", "QuantityGood": "2"}),
        ]
        for method, given in steps:
            answers = await asyncio.gather(
                *(ask(client, method, Id=number, **given) for client in clients)
            )
            assert [accepted for accepted, _, _ in answers].count(True) == 1, method
            assert all(why for accepted, why, _ in answers if not accepted)


@session_loop
async def test_a_change_shows_at_once_in_the_folder(cell: Any) -> None:
    number = by_hand(cell.store)
    async with cell.client("planner") as client:
        await ask(client, "Release", Id=number)
        state = client.get_node(f"{ORDERS}.{number}.State")
        assert await state.read_value() == "RELEASED"
        accepted, _, order = await ask(client, "Update", Id=number, Priority="High", Quantity="5")
        assert (accepted, order["priority"], order["quantity"]) == (True, "High", 5)


@session_loop
async def test_an_order_has_its_methods_and_shows_what_they_changed(cell: Any) -> None:
    number = by_hand(cell.store)
    async with cell.client("planner") as client:
        await ask(client, "Update", Id=number, CustomerOrder="4711", TargetDate="2026-12-24")
        order = client.get_node(f"{ORDERS}.{number}")
        names = {(await each.read_browse_name()).Name for each in await order.get_children()}
        every = {each.opcua.method for each in ACTIONS.values() if isinstance(each.opcua, OpcUa)
                 and each.opcua.owner == "WorkOrderControl"}  # fmt: skip
        assert every <= names

        async def call(method: str, *inputs: str) -> tuple[bool, str]:
            node = await order.get_child(f"3:{method}")
            arguments = await (await node.get_child("0:InputArguments")).read_value()
            assert "Id" not in [each.Name for each in arguments]
            given = [*inputs, *[""] * (len(arguments) - len(inputs))]
            accepted, why, _ = await order.call_method(
                node, *(ua.Variant(each, ua.VariantType.String) for each in given)
            )
            return accepted, why

        async def shown(variable: str) -> Any:
            return await client.get_node(f"{ORDERS}.{number}.{variable}").read_value()

        assert await shown("CustomerOrder") == "4711"
        assert await shown("TargetDate") == datetime(2026, 12, 24, tzinfo=UTC)
        before = await shown("Version")
        assert await call("Release") == (True, "")
        assert (await shown("State"), await shown("Version") > before) == ("RELEASED", True)
        assert await call("Hold") == (True, "")
        assert await shown("HeldBy") == "person"
        accepted, why = await call("StartOperation", "10")
        assert (accepted, "held" in why) == (False, True)
        assert await call("Resume") == (True, "")
        assert await shown("HeldBy") == ""
        assert await call("StartOperation", "10") == (True, "")
        assert await shown("State") == "RUNNING"
        type_ = client.get_node(await order.read_type_definition())
        count = len(await client.get_node(f"{METHOD}.Hold.InputArguments").read_value())
        with pytest.raises(ua.uaerrors.BadMethodInvalid):
            await type_.call_method(ua.NodeId.from_string(f"{METHOD}.Hold"), *[""] * count)
    async with cell.client(None) as client:
        executable = ua.AttributeIds.UserExecutable
        held = await client.get_node(f"{METHOD}.Hold").read_attribute(executable)
        assert held.Value.Value is False


@session_loop
async def test_the_methods_stay_when_an_order_is_shown_no_more(cell: Any) -> None:
    orders = cell.server._work_orders
    first, second = by_hand(cell.store), by_hand(cell.store)
    await cell.server.refresh_mes()
    assert {first, second} <= set(orders._nodes)
    orders._remove({first})
    del orders._elements[first]
    async with cell.client("planner") as client:
        order = client.get_node(f"{ORDERS}.{second}")
        assert await order.get_child("3:Hold") == client.get_node(f"{METHOD}.Hold")
        assert await client.get_node(f"{METHOD}.Hold.InputArguments").read_value()


@session_loop
async def test_who_may_not_is_refused_and_the_unknown_is_named(cell: Any) -> None:
    number = by_hand(cell.store)
    async with cell.client(None) as client:
        with pytest.raises(ua.uaerrors.BadUserAccessDenied):
            await ask(client, "Release", Id=number)
    async with cell.client("op") as client:
        accepted, why, _ = await ask(client, "Release", Id="WO-1999-000001")
        assert (accepted, "there is no work order" in why) == (False, True)
        accepted, why, _ = await ask(client, "Release", Id=number, Version="one")
        assert (accepted, "version" in why) == (False, True)
        accepted, why, _ = await ask(client, "Release", Id=number, Version="7")
        assert (accepted, "is at version 1" in why) == (False, True)


@session_loop
async def test_a_method_takes_a_signature_where_all_is_encrypted(
    cell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = by_hand(cell.store)
    who = Who("tests", "", datetime(2026, 3, 14, 12, tzinfo=UTC))
    with cell.store.session() as session:
        hashed = passwords.STRONG.hash("correct horse 7!")
        accounts.create(
            session, who, username="signer", password_hash=hashed, given=["Production Supervisor"]
        )
    shown: list[str] = []
    methods = cell.server._internal.methods
    monkeypatch.setattr(methods, "audit", lambda *call: shown.append(repr(call)))
    signature = {"SignedBy": "signer", "Password": "correct horse 7!", "Meaning": "approval"}
    async with cell.client("super") as client:
        with pytest.raises(ua.uaerrors.BadUserAccessDenied):
            await ask(client, "ReleaseSigned", Id=number, **{**signature, "Password": "wrong"})
        accepted, why, _ = await ask(client, "ReleaseSigned", Id=number, **signature)
        assert (accepted, why) == (True, "")
    async with cell.client("super", mode=ua.MessageSecurityMode.Sign) as client:
        with pytest.raises(ua.uaerrors.BadSecurityModeInsufficient):
            await ask(client, "HoldSigned", Id=number, **signature)
    assert len(shown) == 3
    assert "horse" not in repr(shown)
    with cell.store.reading() as session:
        row = session.scalars(select(Signature).where(Signature.entity_id == number)).one()
        assert (row.meaning, row.entity_type) == ("approval", "work_order")


def test_every_action_says_how_opc_ua_offers_it_or_why_not() -> None:
    for action in ACTIONS.values():
        assert isinstance(action.opcua, OpcUa) or action.opcua.why, action.name
