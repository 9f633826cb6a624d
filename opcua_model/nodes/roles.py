"""The RoleSet below ServerCapabilities: the roles, and for administrators who has them.

Roles are given in the user file or by the MES, never over OPC UA (OPC 10000-18, 4.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from asyncua import ua
from asyncua.server.address_space import AddressSpace, AttributeValue

from cellwright.opcua_model.address_space.builder import Builder, attribute, replace
from cellwright.opcua_model.address_space.ids import (
    CELL_URI,
    IO_URI,
    TYPES_URI,
    below,
    cell_id,
    standard,
)
from cellwright.opcua_model.address_space.values import utc_now
from cellwright.opcua_model.security.permissions import (
    ANONYMOUS,
    AUTHENTICATED,
    WELL_KNOWN,
    Permissions,
)
from cellwright.opcua_model.security.users import UserRecord

_A = ua.AttributeIds
_T = ua.VariantType
ROLE_SET: Final = standard(ua.ObjectIds.Server_ServerCapabilities_RoleSet)
_ROLE_TYPE: Final = standard(ua.ObjectIds.RoleType)
_RULE: Final = standard(ua.ObjectIds.IdentityMappingRuleType)
_CRITERIA: Final = ua.IdentityCriteriaType
_NAMESPACES: Final = standard(ua.ObjectIds.Server_Namespaces)
_KEPT: Final = "Identities"


def identities_of(space: AddressSpace) -> frozenset[ua.NodeId]:
    """The nodes that only administrators read."""
    return frozenset(
        child.NodeId
        for role in space[ROLE_SET].references
        if role.IsForward and role.NodeClass == ua.NodeClass.Object
        for child in space[role.NodeId].references
        if child.IsForward and child.BrowseName.Name == _KEPT
    )


def build_roles(
    builder: Builder, permissions: Permissions, users: Callable[[], Iterable[UserRecord]]
) -> None:
    """Leave of the standard's roles what is true here, and add those of the cell."""
    space = builder.space
    surplus: list[ua.NodeId] = []
    for role in list(space[ROLE_SET].references):
        if not role.IsForward:
            continue
        if role.NodeClass == ua.NodeClass.Method or (
            role.NodeClass == ua.NodeClass.Object and role.NodeId not in WELL_KNOWN.values()
        ):
            surplus += builder.subtree(role.NodeId)
    for node_id in WELL_KNOWN.values():
        surplus += [
            deep
            for item in space[node_id].references
            if item.IsForward
            and item.NodeClass != ua.NodeClass.ObjectType
            and item.BrowseName.Name != _KEPT
            for deep in builder.subtree(item.NodeId)
        ]
    builder.remove(surplus)
    for name in permissions.roles:
        node_id = permissions.role_id(name)
        if name not in WELL_KNOWN:
            builder.object(ROLE_SET, node_id, name, _ROLE_TYPE)
            builder.property(
                node_id,
                below(node_id, _KEPT),
                _KEPT,
                ua.Variant([], _T.ExtensionObject, is_array=True),
                _RULE,
            )
        _show(space, node_id, _rules(name, users))


def default_rights(builder: Builder, permissions: Permissions) -> None:
    """Tell for each namespace what holds on most of its nodes (OPC 10000-5, 6.3.13)."""
    rights = ua.Variant(permissions.on(), _T.ExtensionObject, is_array=True)
    node = builder.space[standard(ua.ObjectIds.OPCUANamespaceMetadata_DefaultRolePermissions)]
    replace(node, ua.DataValue(rights, SourceTimestamp=builder.made))
    for uri, types in ((TYPES_URI, [ua.IdType.Numeric]), (CELL_URI, []), (IO_URI, [])):
        node_id = cell_id(f"Namespaces.{uri}")
        builder.object(_NAMESPACES, node_id, uri, standard(ua.ObjectIds.NamespaceMetadataType))
        numbers = [int(each) for each in types]
        for name, value, data_type in (
            ("NamespaceUri", ua.Variant(uri, _T.String), "String"),
            ("NamespaceVersion", ua.Variant("", _T.String), "String"),
            ("NamespacePublicationDate", ua.Variant(builder.made, _T.DateTime), "DateTime"),
            ("IsNamespaceSubset", ua.Variant(False, _T.Boolean), "Boolean"),
            ("StaticNodeIdTypes", ua.Variant(numbers, _T.Int32, is_array=True), "IdType"),
            ("StaticNumericNodeIdRange", ua.Variant([], _T.String, is_array=True), "NumericRange"),
            ("StaticStringNodeIdPattern", ua.Variant("", _T.String), "String"),
            ("DefaultRolePermissions", rights, "RolePermissionType"),
            ("DefaultAccessRestrictions", ua.Variant(0, _T.UInt16), "AccessRestrictionType"),
        ):
            data_type_id = standard(getattr(ua.ObjectIds, data_type))
            builder.property(node_id, below(node_id, name), name, value, data_type_id)


def _show(space: AddressSpace, role: ua.NodeId, rules: Callable[[], list[Any]]) -> None:
    for item in space[role].references:
        if item.IsForward and item.BrowseName.Name == _KEPT:
            node = space[item.NodeId]
            held = AttributeValue(ua.DataValue())
            held.value_callback = lambda _, __: ua.DataValue(
                ua.Variant(rules(), _T.ExtensionObject, is_array=True), SourceTimestamp=utc_now()
            )
            node.attributes[_A.Value] = held
            assert attribute(node, _A.ValueRank) == 1


def _rules(name: str, users: Callable[[], Iterable[UserRecord]]) -> Callable[[], list[Any]]:
    """Who has the role (OPC 10000-18, 4.4.4)."""
    whole = {ANONYMOUS: _CRITERIA.Anonymous, AUTHENTICATED: _CRITERIA.AuthenticatedUser}
    if name in whole:
        return lambda: [ua.IdentityMappingRuleType(whole[name], ua.String(""))]
    return lambda: [
        ua.IdentityMappingRuleType(_CRITERIA.UserName, ua.String(user.name))
        for user in users()
        if name in user.roles
    ]
