"""Services that asyncua leaves incomplete: paged views, and methods that know their caller.

Injected into the internal server. Services know the session that asks, so that access, audit and
continuation points belong to somebody.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import Any

import structlog
from asyncua import ua
from asyncua.server.address_space import AddressSpace, ViewService

from cellwright.opcua_model.address_space.ids import status_code
from cellwright.opcua_model.services import limits

_log = structlog.get_logger(__name__)


class ContinuationPoints:
    """References that did not fit into a Browse answer, of one session.

    Those of earlier requests give way, the oldest first; never one of the present request, whose
    answer would name it and be wrong (OPC 10000-4, 5.9.2.4).
    """

    def __init__(self) -> None:
        self._held: OrderedDict[bytes, tuple[list[ua.ReferenceDescription], int]] = OrderedDict()
        self._present: set[bytes] = set()

    def begin(self) -> None:
        """Another request begins."""
        self._present.clear()

    def put(self, rest: list[ua.ReferenceDescription], most: int) -> bytes | None:
        """Keep the rest and name it; None when this request has used up all places."""
        if len(self._held) >= limits.MAX_BROWSE_CONTINUATION_POINTS:
            oldest = next((name for name in self._held if name not in self._present), None)
            if oldest is None:
                return None
            del self._held[oldest]
        name = secrets.token_bytes(16)
        self._held[name] = (rest, most)
        self._present.add(name)
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
        self,
        params: ua.BrowseParameters,
        points: ContinuationPoints,
        hidden: frozenset[ua.NodeId] = frozenset(),
    ) -> list[ua.BrowseResult]:
        """Browse for one session, whose user may not see what is ``hidden``."""
        most = int(params.RequestedMaxReferencesPerNode)
        results = []
        for item in params.NodesToBrowse:
            result = self._browse(item)
            if hidden:
                result.References = [
                    each for each in result.References if each.NodeId not in hidden
                ]
            results.append(self._page(result, most, points))
        return results

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
            name = points.put(result.References[most:], most)
            if name is None:
                refused = ua.BrowseResult()
                refused.StatusCode = status_code(ua.StatusCodes.BadNoContinuationPoints)
                return refused
            result.ContinuationPoint = name
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
