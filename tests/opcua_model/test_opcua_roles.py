"""Who may what, as attributes of the nodes, and as the services do it."""

from __future__ import annotations

import asyncio
from typing import Any

import argon2
import pytest
from asyncua import Client, ua
from asyncua.ua import ObjectIds as O

from cellwright.mes.kernel import utc
from cellwright.mes.people import accounts
from cellwright.mes.people.accounts import Who
from cellwright.opcua_model.address_space.ids import cell_id, io_id, standard

pytestmark = pytest.mark.asyncio(loop_scope="session")

RECIPE = io_id("BladeMarking.IO.Memory.recipe")
PRESSURE = io_id("BladeMarking.IO.Inputs.remote_io.air_pressure")
START = cell_id("BladeMarking.Controller.Resources.PLC1.MethodSet.Start")
RELEASE = cell_id("BladeMarking.MES.WorkOrderControl.Release")
P = ua.PermissionType
CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


async def attribute(client: Client, node: ua.NodeId, wanted: ua.AttributeIds) -> Any:
    """Value or the name of a bad status."""
    request = ua.ReadParameters(
        NodesToRead=[ua.ReadValueId(node, wanted)], TimestampsToReturn=ua.TimestampsToReturn.Both
    )
    [found] = await client.uaclient.read(request)
    return found.Value.Value if found.StatusCode.is_good() else found.StatusCode.name


async def rights(client: Client, node: ua.NodeId, *, mine: bool = False) -> dict[int | str, Any]:
    wanted = ua.AttributeIds.UserRolePermissions if mine else ua.AttributeIds.RolePermissions
    found = await attribute(client, node, wanted)
    assert isinstance(found, list), found
    return {each.RoleId.Identifier: each.Permissions for each in found}


async def test_role_permissions_say_who_may_read_write_and_call(cell: Any) -> None:
    async with cell.client("chief") as client:
        on_tag = await rights(client, RECIPE)
        assert on_tag[O.WellKnownRole_Operator] & P.Write
        assert not on_tag[O.WellKnownRole_Anonymous] & P.Write
        assert on_tag[O.WellKnownRole_Anonymous] & P.Read
        assert not any(each & P.Write for each in (await rights(client, PRESSURE)).values())
        on_method = await rights(client, START)
        callers = {role for role, bits in on_method.items() if bits & P.Call}
        assert callers == {
            O.WellKnownRole_Operator, O.WellKnownRole_Supervisor, O.WellKnownRole_SecurityAdmin,
        }  # fmt: skip


async def test_only_administrators_see_the_rights_of_others(cell: Any) -> None:
    async with cell.client() as client, cell.client(None) as stranger:
        all_of = ua.AttributeIds.RolePermissions
        for each in (client, stranger):
            assert await attribute(each, RECIPE, all_of) == "BadUserAccessDenied"
        mine = await rights(client, RECIPE, mine=True)
        assert set(mine) == {O.WellKnownRole_AuthenticatedUser, O.WellKnownRole_Operator}
        assert set(await rights(stranger, RECIPE, mine=True)) == {O.WellKnownRole_Anonymous}
        restrictions = ua.AttributeIds.AccessRestrictions
        assert await attribute(client, RECIPE, restrictions) == 0
        assert await attribute(client, cell_id("nowhere"), all_of) == "BadNodeIdUnknown"


@pytest.mark.parametrize("user", [None, "op", "planner", "super", "chief"])
async def test_what_a_user_may_write_is_what_the_attribute_says(cell: Any, user: str) -> None:
    async with cell.client(user) as client:
        mine = await rights(client, RECIPE, mine=True)
        may = any(bits & P.Write for bits in mine.values())
        value = ua.DataValue(ua.Variant(7, ua.VariantType.Int16))
        request = ua.WriteParameters([ua.WriteValue(RECIPE, ua.AttributeIds.Value, Value=value)])
        [status] = await client.uaclient.write(request)
        assert status.is_good() is may
        level = await attribute(client, RECIPE, ua.AttributeIds.UserAccessLevel)
        assert bool(level & 2) is may


@pytest.mark.parametrize("user", [None, "op", "planner", "super", "chief"])
@pytest.mark.parametrize("method", [START, RELEASE], ids=["start", "release"])
async def test_what_a_user_may_call_is_what_the_attributes_say(
    cell: Any, user: str, method: ua.NodeId
) -> None:
    async with cell.client(user) as client:
        mine = await rights(client, method, mine=True)
        may = any(bits & P.Call for bits in mine.values())
        assert await attribute(client, method, ua.AttributeIds.UserExecutable) is may
        if not may:
            owner = cell_id(str(method.Identifier).rpartition(".")[0])
            inputs = [ua.Variant("", ua.VariantType.String)]
            arguments = await client.get_node(method).get_child("0:InputArguments")
            count = len(await arguments.read_value())
            [result] = await client.uaclient.call(
                [ua.CallMethodRequest(owner, method, inputs * count)]
            )
            assert result.StatusCode.name in ("BadUserAccessDenied", "Good")
            if result.StatusCode.is_good():  # the MES refuses, and says so in the outputs
                assert result.OutputArguments[0].Value is False


async def test_the_role_set_names_the_roles_and_their_users_to_administrators(cell: Any) -> None:
    async with cell.client("chief") as chief, cell.client() as client:
        role_set = chief.get_node(standard(O.Server_ServerCapabilities_RoleSet))
        children = await role_set.get_children()
        names = {(await each.read_browse_name()).Name for each in children}
        assert {"Anonymous", "Operator", "SecurityAdmin", "Planner"} <= names
        assert "ConfigureAdmin" not in names
        assert not [each for each in children if await each.read_node_class() == 4]
        operator = standard(O.WellKnownRole_Operator_Identities)
        found = await chief.get_node(operator).read_value()
        assert {each.Criteria for each in found} >= {"op", "foreman"}
        refused = await attribute(client, operator, ua.AttributeIds.Value)
        assert refused == "BadUserAccessDenied"
        seen = await client.get_node(standard(O.WellKnownRole_Operator)).get_children()
        assert seen == []
        assert not await rights(client, operator, mine=True)


async def test_who_has_a_role_reaches_nobody_else_by_a_path_or_a_subscription(cell: Any) -> None:
    operator = standard(O.WellKnownRole_Operator_Identities)
    async with cell.client() as client:
        with pytest.raises(ua.uaerrors.BadNoMatch):
            await client.get_node(standard(O.WellKnownRole_Operator)).get_child("0:Identities")
        subscription = await client.create_subscription(100, Silent())
        nodes = [client.get_node(each) for each in (operator, RECIPE, operator)]
        made = await subscription.subscribe_data_change(nodes)
        assert [isinstance(each, int) for each in made] == [False, True, False]
        assert made[0].value == ua.StatusCodes.BadUserAccessDenied
        assert await subscription.subscribe_data_change(nodes[:1]) == [made[0]]


async def test_an_administrator_who_is_none_any_more_gets_nothing_more(cell: Any) -> None:
    hashed = CHEAP.hash("a password")
    with cell.store.session() as session:
        who = Who("tests", "", utc.now(session))
        accounts.create(session, who, username="boss", password_hash=hashed, given=["Admin"])
    async with cell.client("boss", "a password") as client:
        assert await client.get_node(standard(O.WellKnownRole_Operator_Identities)).read_value()
        with cell.store.session() as session:
            boss = accounts.find(session, "boss", lock=True)
            accounts.change(session, who, boss, {"roles": ["Operator"]})
        async with asyncio.timeout(20):
            while any(each.user.name == "boss" for each in cell.server._internal.sessions):
                await asyncio.sleep(0.02)


async def test_each_namespace_tells_what_holds_on_most_of_its_nodes(cell: Any) -> None:
    async with cell.client() as client:
        spaces = await client.get_node(standard(O.Server_Namespaces)).get_children()
        uris = [await (await each.get_child("0:NamespaceUri")).read_value() for each in spaces]
        assert set(uris) >= set((await client.get_namespace_array())[2:])
        for each in spaces:
            default = await (await each.get_child("0:DefaultRolePermissions")).read_value()
            named = {rule.RoleId.Identifier: rule.Permissions for rule in default}
            assert named[O.WellKnownRole_Anonymous] == P.Browse | P.Read | P.ReceiveEvents


class Silent:
    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        """Nothing is done with it."""
