"""Tags are nodes that are made when somebody asks: none is kept, and no folder grows long."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from asyncua import ua
from asyncua.ua.uaerrors import BadAttributeIdInvalid

from cellwright.io.plan import Direction, Plan
from cellwright.opcua_model.address_space.tag_paths import TagPaths
from cellwright.opcua_model.errors import ModelError
from cellwright.opcua_model.nodes.tag_nodes import TagNodes
from support.opcua_support import cell_plan

pytestmark = pytest.mark.asyncio(loop_scope="session")

REALS = 450
IO = "BladeMarking.IO"
DEVICE = f"{IO}.Inputs.remote_io"
_A = ua.AttributeIds


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def long(make_cell: Any) -> AsyncIterator[Any]:
    """A cell with more tags at one device than a folder shows."""
    async with make_cell(anonymous="read", reals=REALS) as running:
        yield running


def node_id(path: str) -> ua.NodeId:
    return ua.NodeId(path, 4)


async def below(client: Any, parent: ua.NodeId) -> list[ua.ReferenceDescription]:
    found: list[ua.ReferenceDescription] = await client.get_node(parent).get_references(
        ua.ObjectIds.Organizes, ua.BrowseDirection.Forward
    )
    return found


async def test_a_long_list_of_tags_lies_in_folders_of_two_hundred(long: Any) -> None:
    async with long.client() as client:
        pending, tags, folders = [node_id(IO)], {}, {}
        while pending:
            parent = pending.pop()
            children = await below(client, parent)
            folders[parent.Identifier] = len(children)
            for child in children:
                if child.NodeClass == ua.NodeClass.Variable:
                    assert child.NodeId not in tags
                    tags[child.NodeId] = parent
                else:
                    pending.append(child.NodeId)
        plan = long.server._plan
        wanted = [tag for tag in plan.tags if tag.direction is not Direction.SYSTEM]
        assert {one.Identifier for one in tags} == {TagPaths(plan).path(tag) for tag in wanted}
        assert max(folders.values()) <= 200
        assert [name for name in folders if name.startswith(DEVICE + ".")] == [
            f"{DEVICE}.401-600",
            f"{DEVICE}.201-400",
            f"{DEVICE}.1-200",
        ]
        assert tags[node_id(f"{DEVICE}.real_449")] == node_id(f"{DEVICE}.401-600")
        (up,) = await client.get_node(node_id(f"{DEVICE}.real_449")).get_references(
            ua.ObjectIds.Organizes, ua.BrowseDirection.Inverse
        )
        assert (up.NodeId, up.BrowseName) == (
            node_id(f"{DEVICE}.401-600"),
            ua.QualifiedName("401-600", 4),
        )
        shown = await client.get_node(node_id(f"{DEVICE}.401-600")).read_display_name()
        assert shown.Text == "real_398 … real_449"


async def test_a_tag_is_not_kept_as_a_node(long: Any, cell: Any) -> None:
    kept = [len(dict.keys(one.server._internal.aspace._nodes)) for one in (long, cell)]
    assert kept[0] - kept[1] <= 3, "the folders"


async def test_looking_at_one_tag_makes_no_other(
    long: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    describe = TagNodes.describe

    def counted(self: TagNodes, kind: ua.NodeId, tag: Any, node: ua.NodeId) -> Any:
        made.append(tag.name)
        return describe(self, kind, tag, node)

    monkeypatch.setattr(TagNodes, "describe", counted)
    space = long.server._internal.aspace
    assert len(space[node_id(f"{DEVICE}.real_7")].references) == 2
    assert len(space[node_id(f"{DEVICE}.air_pressure.EURange")].references) == 2
    assert made == ["air_pressure"]


async def test_a_tag_has_all_its_attributes_and_properties(long: Any) -> None:
    attributes = [_A.NodeId, _A.NodeClass, _A.BrowseName, _A.DisplayName, _A.Description,
                  _A.WriteMask, _A.UserWriteMask, _A.DataType, _A.ValueRank, _A.AccessLevel,
                  _A.UserAccessLevel, _A.AccessLevelEx, _A.MinimumSamplingInterval,
                  _A.Historizing]  # fmt: skip
    pressure = node_id(f"{DEVICE}.air_pressure")
    async with long.client() as client:
        node = client.get_node(pressure)
        values = await node.read_attributes(attributes)
        assert [(each.Value.Value, each.Value.VariantType.name) for each in values] == [
            (pressure, "NodeId"),
            (ua.NodeClass.Variable, "Int32"),
            (ua.QualifiedName("air_pressure", 4), "QualifiedName"),
            (ua.LocalizedText("air_pressure"), "LocalizedText"),
            (ua.LocalizedText("Pressure of the clamp's supply"), "LocalizedText"),
            (0, "UInt32"),
            (0, "UInt32"),
            (ua.NodeId(ua.ObjectIds.Float), "NodeId"),
            (-1, "Int32"),
            (1, "Byte"),
            (1, "Byte"),
            (1, "UInt32"),
            (10.0, "Double"),
            (False, "Boolean"),
        ]
        with pytest.raises(BadAttributeIdInvalid):
            await node.read_array_dimensions()
        profile = client.get_node(node_id(f"{IO}.Memory.profile"))
        assert await profile.read_array_dimensions() == [4]
        assert (await node.read_type_definition()) == ua.NodeId(ua.ObjectIds.AnalogUnitRangeType)
        properties = {
            item.BrowseName.Name: await client.get_node(item.NodeId).read_data_value()
            for item in await node.get_references(ua.ObjectIds.HasProperty)
        }
        assert list(properties) == ["EURange", "InstrumentRange", "EngineeringUnits"]
        eu = properties["EURange"]
        assert (eu.Value.Value.Low, eu.Value.Value.High) == (0.0, 10.0)
        assert eu.SourceTimestamp is not None
        range_ = client.get_node(node_id(f"{DEVICE}.air_pressure.EURange"))
        (owner,) = await range_.get_references(ua.ObjectIds.HasProperty, ua.BrowseDirection.Inverse)
        assert (owner.NodeId, owner.NodeClass) == (pressure, ua.NodeClass.Variable)


@pytest.mark.parametrize(
    "path",
    [
        f"{IO}.Inputs.real_1",
        f"{IO}.Outputs.remote_io.real_1",
        f"{DEVICE}.real_1.EURange",
        f"{DEVICE}.air_pressure.Unit",
        f"{IO}.Memory.remote_io.real_1",
        f"{IO}.Memory",
        f"{IO}.",
        "",
        "BladeMarking.Controller.Resources.PLC1.System.",
    ],
)
async def test_only_a_whole_path_names_a_tag(long: Any, path: str) -> None:
    paths = long.server._tags.paths
    assert paths.index_of(node_id(path)) is None
    space = long.server._internal.aspace
    assert (node_id(path) in space) is (path in (f"{IO}.Memory",))
    assert space.get(ua.NodeId(f"{DEVICE}.real_1", 3)) is None
    assert paths.index_of(ua.NodeId(7, 4)) is None


async def test_tags_under_one_path_are_refused_at_the_start(tmp_path: Path, make_cell: Any) -> None:
    plan = cell_plan(tmp_path)

    def named(old: str, new: str, **more: Any) -> Plan:
        return msgspec.structs.replace(
            plan,
            tags=tuple(
                msgspec.structs.replace(tag, name=new, **more) if tag.name == old else tag
                for tag in plan.tags
            ),
        )

    TagPaths(plan)
    with pytest.raises(ModelError, match=r"air_pressure\.EURange.*rename one"):
        TagPaths(named("part_present", "air_pressure.EURange"))
    with pytest.raises(ModelError, match=r"'remote_io\.air_pressure' and 'air_pressure'"):
        TagPaths(named("mark.busy", "remote_io.air_pressure", direction=Direction.INPUT))
