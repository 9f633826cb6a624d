"""Methods of the address space: their arguments, their call, their answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from asyncua import ua
from asyncua.server.address_space import AddressSpace, MethodService

from cellwright.opcua_model.address_space.builder import COMPONENT
from cellwright.opcua_model.address_space.ids import standard, status_code
from cellwright.opcua_model.security.access import ANYONE, Caller
from cellwright.opcua_model.services.views import _log


@dataclass(frozen=True, slots=True)
class Argument:
    """One input or output of a method; ``structure`` is the class that a structure must be."""

    name: str
    data_type: ua.NodeId
    variant: ua.VariantType
    is_array: bool = False
    structure: type | None = None
    text: str = ""

    def description(self) -> ua.Argument:
        """The standard's description of the argument."""
        out = ua.Argument()
        out.Name = ua.String(self.name)
        out.DataType = self.data_type
        out.ValueRank = ua.Int32(1 if self.is_array else -1)
        out.ArrayDimensions = [ua.UInt32(0)] if self.is_array else []
        out.Description = ua.LocalizedText(self.text)
        return out

    def takes(self, value: ua.Variant) -> bool:
        """True when the variant is of the declared type; null is an empty array or string."""
        if value.Value is None:
            return self.is_array or self.variant is ua.VariantType.String
        if value.VariantType is not self.variant or bool(value.is_array) is not self.is_array:
            return False
        if len(value.Dimensions or ()) > 1:
            return False
        if self.structure is None:
            return True
        items = value.Value if self.is_array else [value.Value]
        return all(isinstance(item, self.structure) for item in items)


@dataclass(frozen=True, slots=True)
class MethodOutcome:
    """What a method gives back; outputs reach the client only when the status is not Bad."""

    outputs: list[ua.Variant] = field(default_factory=list)
    status: int = ua.StatusCodes.Good


@dataclass(frozen=True, slots=True)
class Method:
    """What stands behind a Method node."""

    call: Callable[[Caller, list[Any]], Awaitable[MethodOutcome]]
    """Given the caller and the inputs' plain values."""
    inputs: tuple[Argument, ...] = ()
    outputs: tuple[Argument, ...] = ()
    roles: frozenset[str] = ANYONE
    secret: bool = False
    """True: no record shows its inputs, because a password is among them."""
    permitted: frozenset[str] | None = None
    """Roles that what stands behind it will let call; None: those above."""

    @property
    def callers(self) -> frozenset[str]:
        """Roles whose call is not refused for who they are; empty: everybody's."""
        return self.roles if self.permitted is None else self.permitted

    def on(self, owner: ua.NodeId) -> bool:
        """True for an object that has the method without a reference that says so."""
        return False

    async def invoke(self, caller: Caller, owner: ua.NodeId, inputs: list[Any]) -> MethodOutcome:
        """Call it on an object that has it."""
        return await self.call(caller, inputs)


OnObject = Callable[[Caller, ua.NodeId, list[Any]], Awaitable[MethodOutcome]]
"""Given the caller, the object and the inputs' plain values."""


@dataclass(frozen=True, slots=True)
class ObjectMethod(Method):
    """A method of a type, called on any of its instances."""

    call: OnObject  # type: ignore[assignment] # it is told the object, too
    owns: Callable[[ua.NodeId], bool] = lambda owner: False
    """True for its instances, and for what lies below them and has the method."""

    def on(self, owner: ua.NodeId) -> bool:
        """True for an instance."""
        return self.owns(owner)

    async def invoke(self, caller: Caller, owner: ua.NodeId, inputs: list[Any]) -> MethodOutcome:
        """Call it on an instance."""
        return await self.call(caller, owner, inputs)


Audit = Callable[[Caller, ua.CallMethodRequest, ua.CallMethodResult], None]
"""Told of every call, after it."""


class CellMethods(MethodService):
    """Calls methods on behalf of a user, after roles and arguments were checked."""

    def __init__(self, aspace: AddressSpace) -> None:
        super().__init__(aspace)
        self.methods: dict[ua.NodeId, Method] = {}
        self.audit: Audit | None = None

    async def call_as(
        self, caller: Caller, requests: list[ua.CallMethodRequest]
    ) -> list[ua.CallMethodResult]:
        """Call one after the other; each has its own result."""
        results = []
        for request in requests:
            result = await self._call_one(caller, request)
            results.append(result)
            if self.audit is not None:
                self.audit(caller, self._to_show(request), result)
        return results

    def _to_show(self, request: ua.CallMethodRequest) -> ua.CallMethodRequest:
        method = self.methods.get(request.MethodId)
        return replace(request, InputArguments=[]) if method and method.secret else request

    async def _call_one(self, caller: Caller, request: ua.CallMethodRequest) -> ua.CallMethodResult:
        result = ua.CallMethodResult()
        inputs = list(request.InputArguments or [])
        method = self.methods.get(request.MethodId)
        refused = self._refusal(caller, request, method)
        if refused is None and method is not None:
            refused = _argument_refusal(method, inputs, result)
        if refused is not None or method is None:
            result.StatusCode = status_code(refused or ua.StatusCodes.BadMethodInvalid)
            return result
        outcome = await method.invoke(caller, request.ObjectId, [item.Value for item in inputs])
        result.StatusCode = status_code(outcome.status)
        result.OutputArguments = outcome.outputs
        _log.info(
            "method called",
            method=str(request.MethodId.Identifier),
            actor=caller.actor,
            session=caller.session_id,
            status=result.StatusCode.name,
        )
        return result

    def _refusal(
        self, caller: Caller, request: ua.CallMethodRequest, method: Method | None
    ) -> int | None:
        owner = self._aspace.get(request.ObjectId)
        if owner is None:
            return ua.StatusCodes.BadNodeIdUnknown
        if request.MethodId not in self._aspace:
            return ua.StatusCodes.BadMethodInvalid
        if not (method is not None and method.on(request.ObjectId)) and not any(
            item.NodeId == request.MethodId and item.IsForward and item.ReferenceTypeId == COMPONENT
            for item in owner.references
        ):
            return ua.StatusCodes.BadMethodInvalid
        if method is None:
            return ua.StatusCodes.BadNotImplemented
        if not caller.user.may(method.roles):
            _log.warning(
                "method refused", method=str(request.MethodId.Identifier), actor=caller.actor
            )
            return ua.StatusCodes.BadUserAccessDenied
        return None


def _argument_refusal(
    method: Method, inputs: list[ua.Variant], result: ua.CallMethodResult
) -> int | None:
    if len(inputs) < len(method.inputs):
        return ua.StatusCodes.BadArgumentsMissing
    if len(inputs) > len(method.inputs):
        return ua.StatusCodes.BadTooManyArguments
    verdicts = [
        status_code(
            ua.StatusCodes.Good if argument.takes(value) else ua.StatusCodes.BadTypeMismatch
        )
        for argument, value in zip(method.inputs, inputs, strict=True)
    ]
    result.InputArgumentResults = verdicts
    if all(verdict.is_good() for verdict in verdicts):
        return None
    return ua.StatusCodes.BadInvalidArgument


UINT32 = standard(ua.ObjectIds.UInt32)
