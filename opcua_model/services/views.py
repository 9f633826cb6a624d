"""Services that asyncua leaves incomplete: paged views, and methods that know their caller.

Injected into the internal server. Services know the session that asks, so that access, audit and
continuation points belong to somebody.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from asyncua import ua
from asyncua.server.address_space import AddressSpace, MethodService, ViewService

from cellwright.opcua_model.address_space.builder import COMPONENT
from cellwright.opcua_model.address_space.ids import standard, status_code
from cellwright.opcua_model.security.access import ANYONE, Caller
from cellwright.opcua_model.services import limits

_log = structlog.get_logger(__name__)


class ContinuationPoints:
    """References that did not fit into a Browse answer, of one session; the oldest goes first."""

    def __init__(self) -> None:
        self._held: OrderedDict[bytes, tuple[list[ua.ReferenceDescription], int]] = OrderedDict()

    def put(self, rest: list[ua.ReferenceDescription], most: int) -> bytes:
        """Keep the rest and name it."""
        if len(self._held) >= limits.MAX_BROWSE_CONTINUATION_POINTS:
            self._held.popitem(last=False)
        name = secrets.token_bytes(16)
        self._held[name] = (rest, most)
        return name

    def take(self, name: bytes) -> tuple[list[ua.ReferenceDescription], int] | None:
        """What was kept under that name, once."""
        return self._held.pop(name, None)


class CellViews(ViewService):
    """Browse within the client's maximum, BrowseNext, and reference subtypes looked up once."""

    def __init__(self, aspace: AddressSpace) -> None:
        super().__init__(aspace)
        self._subtypes: dict[ua.NodeId, frozenset[ua.NodeId]] = {}

    def browse_for(
        self, params: ua.BrowseParameters, points: ContinuationPoints
    ) -> list[ua.BrowseResult]:
        """Browse for one session."""
        most = int(params.RequestedMaxReferencesPerNode)
        return [self._page(self._browse(item), most, points) for item in params.NodesToBrowse]

    def next_for(
        self, params: ua.BrowseNextParameters, points: ContinuationPoints
    ) -> list[ua.BrowseResult]:
        """BrowseNext for one session."""
        results = []
        for name in params.ContinuationPoints:
            held = points.take(name)
            result = ua.BrowseResult()
            if held is None:
                result.StatusCode = status_code(ua.StatusCodes.BadContinuationPointInvalid)
            elif not params.ReleaseContinuationPoints:
                result.References, most = held
                result = self._page(result, most, points)
            results.append(result)
        return results

    @staticmethod
    def _page(result: ua.BrowseResult, most: int, points: ContinuationPoints) -> ua.BrowseResult:
        if 0 < most < len(result.References):
            result.ContinuationPoint = points.put(result.References[most:], most)
            result.References = result.References[:most]
        return result

    def _browse(self, desc: ua.BrowseDescription) -> ua.BrowseResult:
        refused = self._refusal(desc)
        if refused is not None:
            result = ua.BrowseResult()
            result.StatusCode = status_code(refused)
            return result
        return super()._browse(desc)

    def _refusal(self, desc: ua.BrowseDescription) -> int | None:
        if desc.NodeId not in self._aspace:
            return ua.StatusCodes.BadNodeIdUnknown
        kind = desc.ReferenceTypeId
        if kind != ua.NodeId():
            node = self._aspace.get(kind)
            if node is None or _class_of(node) != ua.NodeClass.ReferenceType:
                return ua.StatusCodes.BadReferenceTypeIdInvalid
        return None

    def _suitable_reftype(self, ref1: ua.NodeId, ref2: ua.NodeId, subtypes: bool) -> bool:
        if ref1 == ref2 or ref1 == ua.NodeId():
            return True
        if not subtypes:
            return False
        known = self._subtypes.get(ref1)
        if known is None:
            known = self._subtypes[ref1] = frozenset(self._get_sub_ref(ref1))
        return ref2 in known

    def _translate_browsepath_to_nodeid(self, path: ua.BrowsePath) -> ua.BrowsePathResult:
        if not path.RelativePath.Elements:
            result = ua.BrowsePathResult()
            result.StatusCode = status_code(ua.StatusCodes.BadNothingToDo)
            return result
        return super()._translate_browsepath_to_nodeid(path)


def _class_of(node: Any) -> Any:
    return node.attributes[ua.AttributeIds.NodeClass].value.Value.Value


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
class Outcome:
    """What a method gives back; outputs reach the client only when the status is not Bad."""

    outputs: list[ua.Variant] = field(default_factory=list)
    status: int = ua.StatusCodes.Good


@dataclass(frozen=True, slots=True)
class Method:
    """What stands behind a Method node."""

    call: Callable[[Caller, list[Any]], Awaitable[Outcome]]
    """Given the caller and the inputs' plain values."""
    inputs: tuple[Argument, ...] = ()
    outputs: tuple[Argument, ...] = ()
    roles: frozenset[str] = ANYONE


class CellMethods(MethodService):
    """Calls methods on behalf of a user, after roles and arguments were checked."""

    def __init__(self, aspace: AddressSpace) -> None:
        super().__init__(aspace)
        self.methods: dict[ua.NodeId, Method] = {}

    async def call_as(
        self, caller: Caller, requests: list[ua.CallMethodRequest]
    ) -> list[ua.CallMethodResult]:
        """Call one after the other; each has its own result."""
        return [await self._call_one(caller, request) for request in requests]

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
        outcome = await method.call(caller, [item.Value for item in inputs])
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
        if not any(
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
