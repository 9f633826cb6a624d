"""The MES's actions as methods: ``MES/WorkOrderControl.Release(Id)``, from their declarations.

The methods stand on one object and take the order's number. Each order has them, too, without
its number: ``MES/WorkOrders/<n>.Hold()`` is one node at the type, to which all orders refer, for
two hundred orders would have six thousand nodes otherwise. Numbers with decimals and dates are
text, so that nothing is rounded on the way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, Final, get_args, get_origin

import msgspec
import structlog
from asyncua import ua

from cellwright.mes.kernel.actions import Access, Action, OpcUa
from cellwright.mes.kernel.errors import Kind, MesError
from cellwright.mes.people.roles import Role, names, permissions, short_name
from cellwright.mes.service.catalogue import ACTIONS
from cellwright.opcua_model.address_space.builder import Builder
from cellwright.opcua_model.address_space.ids import below, cell_id, standard, type_id
from cellwright.opcua_model.isa95.mes_view import MesView
from cellwright.opcua_model.isa95.work_orders import WorkOrders
from cellwright.opcua_model.security.access import ANYONE, Caller
from cellwright.opcua_model.services import limits
from cellwright.opcua_model.services.methods import (
    Argument,
    CellMethods,
    Method,
    MethodOutcome,
    ObjectMethod,
)

_log = structlog.get_logger(__name__)
_T = ua.VariantType
_STRING: Final = standard(ua.ObjectIds.String)
BASE_OBJECT: Final = standard(ua.ObjectIds.BaseObjectType)
_BOOLEAN: Final = standard(ua.ObjectIds.Boolean)
SIGNED: Final = "Signed"
"""Ends the name of the method that takes a signature besides: ``ReleaseSigned``."""
_SIGNATURE: Final = frozenset({"signature"})

_ID: Final = "id"
"""Field of a request that names the order."""
Act = Callable[[Caller, dict[str, Any]], Awaitable[MethodOutcome]]
"""Runs an action for a caller, with the fields of its request."""

_OUTPUTS: Final = (
    Argument("Accepted", _BOOLEAN, _T.Boolean, text="False: nothing has changed"),
    Argument("Answer", _STRING, _T.String, text="Why it was refused; empty when it was not"),
    Argument("Document", _STRING, _T.String, text="What it is about now, as JSON of the REST face"),
)
_SIGNER: Final = (
    Argument("SignedBy", _STRING, _T.String, text="User name of who signs"),
    Argument("Password", _STRING, _T.String, text="Of who signs; kept nowhere"),
    Argument("Meaning", _STRING, _T.String, text="approval, review, responsibility or authorship"),
    Argument("Code", _STRING, _T.String, text="One-time code; empty for who has not enrolled"),
)
_STATUS: Final = {
    Kind.UNAUTHENTICATED: ua.StatusCodes.BadUserAccessDenied,
    Kind.FORBIDDEN: ua.StatusCodes.BadUserAccessDenied,
    Kind.UNAVAILABLE: ua.StatusCodes.BadResourceUnavailable,
    Kind.LIMITED: ua.StatusCodes.BadTooManyOperations,
}
"""Refusals that end the call; the others are told by its outputs, which a Bad call has not."""


def add_action_methods(
    builder: Builder,
    methods: CellMethods,
    mes: MesView,
    *,
    cell: str,
    mes_node: ua.NodeId,
    orders: WorkOrders,
    refresh: Callable[[], Awaitable[None]],
) -> None:
    """Add below ``MES`` the objects with a method for each action that OPC UA offers, and to each
    order those that ask for it."""
    for action in ACTIONS.values():
        if not isinstance(action.opcua, OpcUa):
            continue
        fields = _fields(action.request)
        inputs = tuple(_argument(field) for field in fields)
        owner, name = cell_id(f"{cell}.MES.{action.opcua.owner}"), action.opcua.method
        if owner not in builder.space:
            builder.object(mes_node, owner, action.opcua.owner, BASE_OBJECT)
        act = _acting(action, mes, refresh)
        call = _on_control(act, fields)
        may = _permitted(action.permission)
        made = [(name, action.summary, Method(call, inputs, _OUTPUTS, ANYONE, permitted=may))]
        if set(action.request.__struct_fields__) >= _SIGNATURE and not action.reads:
            text = f"{action.summary} With an electronic signature; only where all is encrypted."
            signed = Method(
                _signing(act, fields),
                inputs + _SIGNER,
                _OUTPUTS,
                ANYONE,
                permitted=may,
                secret=True,
            )
            made.append((name + SIGNED, text, signed))
        for each, text, method in made:
            node_id = below(owner, each)
            builder.method(
                owner,
                node_id,
                each,
                inputs=[item.description() for item in method.inputs],
                outputs=[item.description() for item in _OUTPUTS],
                text=text,
            )
            methods.methods[node_id] = method

        if any(field.name == _ID for field in fields):
            _add_to_orders(
                builder, methods, orders, cell=cell, action=action, fields=fields, act=act
            )


def _add_to_orders(
    builder: Builder,
    methods: CellMethods,
    orders: WorkOrders,
    *,
    cell: str,
    action: Action[Any, Any],
    fields: list[msgspec.structs.FieldInfo],
    act: Act,
) -> None:
    """The same method at the type of orders, without the number of the order that it stands on."""
    assert isinstance(action.opcua, OpcUa)
    name = action.opcua.method
    others = [field for field in fields if field.name != _ID]
    inputs = tuple(_argument(field) for field in others)
    node_id = cell_id(f"{cell}.MES.WorkOrder.{name}")
    builder.method(
        type_id("WorkOrderType"),
        node_id,
        name,
        inputs=[item.description() for item in inputs],
        outputs=[item.description() for item in _OUTPUTS],
        text=action.summary,
    )
    orders.add_method(node_id)

    async def call(caller: Caller, owner: ua.NodeId, values: list[Any]) -> MethodOutcome:
        number = orders.number_of(owner)
        if number is None:
            return MethodOutcome(status=ua.StatusCodes.BadMethodInvalid)
        return await act(caller, {_ID: number, **_given(others, values)})

    methods.methods[node_id] = ObjectMethod(
        call, inputs, _OUTPUTS, ANYONE, permitted=_permitted(action.permission)
    )


def _permitted(permission: str) -> frozenset[str]:
    """Roles, by their names on this server, that the action's permission lets in."""
    if permission == Access.PUBLIC:
        return ANYONE
    every = permission == Access.SIGNED_IN
    administrator = permission == Access.ADMINISTRATOR
    return frozenset(
        short_name(role)
        for role in Role
        if every
        or (administrator and role is Role.ADMINISTRATOR)
        or permission in permissions([role])
    )


def mes_caller(caller: Caller) -> dict[str, Any]:
    """Who calls, in the words of the MES's `Caller`; a role that it does not know gives nothing."""
    roles: frozenset[str] = frozenset()
    if not caller.user.anonymous:
        for role in caller.user.roles:
            try:
                roles |= frozenset(names([role]))
            except MesError:
                continue
    return {
        "username": caller.actor,
        "printed_name": caller.actor,
        "roles": roles,
        "permissions": permissions(roles),
        "authentication": "" if caller.user.anonymous else "opcua",
        "session": caller.session_id,
        "address": caller.session_name,
    }


def _fields(request: type[msgspec.Struct]) -> list[msgspec.structs.FieldInfo]:
    """What the method takes, required ones first."""
    found = [
        field
        for field in msgspec.structs.fields(request)
        if field.name not in _SIGNATURE and not _is_collection(field.type)
    ]
    return sorted(found, key=lambda field: not field.required)


def _is_collection(kind: Any) -> bool:
    return get_origin(kind) in (dict, list)


def _argument(field: msgspec.structs.FieldInfo) -> Argument:
    name = field.encode_name[:1].upper() + field.encode_name[1:]
    if field.type is bool:
        return Argument(name, _BOOLEAN, _T.Boolean)
    words = [
        str(member.value)
        for kind in (get_args(field.type) or (field.type,))
        if isinstance(kind, type) and issubclass(kind, Enum)
        for member in kind
    ]
    text = " or ".join(words) + "; empty: as it is" if words else ""
    if not field.required and not words:
        text = "Empty: none, or as it is"
    return Argument(name, _STRING, _T.String, text=text)


def _given(fields: list[msgspec.structs.FieldInfo], values: list[Any]) -> dict[str, Any]:
    """What was given, by the names that requests have; empty text is nothing."""
    return {
        field.encode_name: value
        for field, value in zip(fields, values, strict=True)
        if value not in ("", None)
    }


def _on_control(
    act: Act, fields: list[msgspec.structs.FieldInfo]
) -> Callable[[Caller, list[Any]], Awaitable[MethodOutcome]]:
    async def call(caller: Caller, values: list[Any]) -> MethodOutcome:
        return await act(caller, _given(fields, values))

    return call


def _acting(action: Action[Any, Any], mes: MesView, refresh: Callable[[], Awaitable[None]]) -> Act:
    async def act(caller: Caller, given: dict[str, Any]) -> MethodOutcome:
        try:
            request = msgspec.convert(given, action.request, strict=False)
            answer = await mes.act(action, request, mes_caller(caller))
        except msgspec.ValidationError as error:
            return _outcome(accepted=False, why=str(error))
        except MesError as error:
            _log.warning(
                "action refused", action=action.name, actor=caller.actor, why=error.message
            )
            status = _STATUS.get(error.kind)
            if status is not None:
                return MethodOutcome(status=status)
            return _outcome(accepted=False, why=error.message)
        except TimeoutError:
            _log.error("no answer from the MES", action=action.name, limit_s=limits.MES_TIMEOUT_S)
            return MethodOutcome(status=ua.StatusCodes.BadTimeout)
        await refresh()
        return _outcome(accepted=True, document=msgspec.json.encode(answer).decode())

    return act


def _signing(
    act: Act, fields: list[msgspec.structs.FieldInfo]
) -> Callable[[Caller, list[Any]], Awaitable[MethodOutcome]]:
    """The call of a method whose last inputs are the signature."""

    async def call(caller: Caller, inputs: list[Any]) -> MethodOutcome:
        if not caller.encrypted:
            return MethodOutcome(status=ua.StatusCodes.BadSecurityModeInsufficient)
        own, (username, password, meaning, code) = inputs[: -len(_SIGNER)], inputs[-len(_SIGNER) :]
        signature = {
            "username": username or "", "password": password or "", "meaning": meaning or "",
            "otp": code or "",
        }  # fmt: skip
        return await act(caller, {**_given(fields, own), "signature": signature})

    return call


def _outcome(*, accepted: bool, why: str = "", document: str = "") -> MethodOutcome:
    return MethodOutcome(
        [
            ua.Variant(accepted, _T.Boolean),
            ua.Variant(why, _T.String),
            ua.Variant(document, _T.String),
        ]
    )
