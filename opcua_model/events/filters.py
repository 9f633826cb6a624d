"""Event filters: checked once when an item is made, asked for every event (OPC 10000-4, 7.22.3).

`compile_filter` gives the verdict clause by clause and, when it is good, an `EventFilter` that
selects fields and judges events. Every element of a where clause is worked out once an event,
from the last to the first, so that no clause can make it slow by pointing at one element twice.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from asyncua import ua

# The classes that the codec makes; those of the same names in `ua` are subclasses of them.
from asyncua.ua import uaprotocol_auto as wire

from cellwright.opcua_model.address_space import ranges
from cellwright.opcua_model.address_space.ids import status_code
from cellwright.opcua_model.events import values
from cellwright.opcua_model.events.like import like
from cellwright.opcua_model.events.record import ALWAYS, EventRecord, Path
from cellwright.opcua_model.events.types import BASE_EVENT, CONDITION, EventTypes

MOST_CLAUSES: Final = 200
"""Fields that a filter may select, and elements that its where clause may have."""
_A = ua.AttributeIds
_OP = ua.FilterOperator
_CODES = ua.StatusCodes
_NULL: Final = ua.Variant(None)

Field = Callable[[EventRecord], ua.Variant]
Values = list[Any]
Operand = Callable[[EventRecord, Values], Any]
"""The operand's value, given the event and what later elements came to."""
Element = Callable[[EventRecord, list[Any]], Any]
"""What an operator makes of its operands."""

_COUNTS: Final[dict[ua.FilterOperator, tuple[int, int]]] = {
    _OP.Equals: (2, 2),
    _OP.IsNull: (1, 1),
    _OP.GreaterThan: (2, 2),
    _OP.LessThan: (2, 2),
    _OP.GreaterThanOrEqual: (2, 2),
    _OP.LessThanOrEqual: (2, 2),
    _OP.Like: (2, 2),
    _OP.Not: (1, 1),
    _OP.Between: (3, 3),
    _OP.InList: (2, MOST_CLAUSES),
    _OP.And: (2, 2),
    _OP.Or: (2, 2),
    _OP.Cast: (2, 2),
    _OP.OfType: (1, 1),
    _OP.BitwiseAnd: (2, 2),
    _OP.BitwiseOr: (2, 2),
}
"""Operators and the number of their operands; InView and RelatedTo are not for events."""


class _RefusedError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(status_code(code).name)
        self.code = code


@dataclass(frozen=True, slots=True)
class EventFilter:
    """A filter that was found right."""

    select: tuple[Field, ...]
    where: tuple[tuple[tuple[Operand, ...], Element], ...]

    def passes(self, record: EventRecord) -> bool:
        """True when the where clause holds; null is not true."""
        if not self.where or record.type in ALWAYS:
            return True
        worked: Values = [None] * len(self.where)
        for index in range(len(self.where) - 1, -1, -1):
            operands, element = self.where[index]
            worked[index] = element(record, [operand(record, worked) for operand in operands])
        return values.truth(worked[0]) is True

    def fields(self, record: EventRecord) -> list[ua.Variant]:
        """The selected fields in their order; null for one that the event does not have."""
        return [field(record) for field in self.select]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a filter. ``filter`` is None when nothing can be done with it."""

    filter: EventFilter | None
    result: wire.EventFilterResult
    code: int = _CODES.Good


def compile_filter(wanted: Any, types: EventTypes) -> Verdict:
    """Check a filter against the types. A field that no event has is refused alone, by its code."""
    result = ua.EventFilterResult()
    if not isinstance(wanted, wire.EventFilter):
        return Verdict(None, result, _CODES.BadEventFilterInvalid)
    clauses = wanted.SelectClauses or []
    elements = wanted.WhereClause.Elements or [] if wanted.WhereClause is not None else []
    if not clauses or max(len(clauses), len(elements)) > MOST_CLAUSES:
        return Verdict(None, result, _CODES.BadEventFilterInvalid)
    select: list[Field] = []
    for clause in clauses:
        try:
            select.append(_selected(clause, types))
            result.SelectClauseResults.append(status_code(_CODES.Good))
        except _RefusedError as error:
            select.append(_nothing)
            result.SelectClauseResults.append(status_code(error.code))
    where, bad = _where(elements, types, result.WhereClauseResult)
    if bad:
        return Verdict(None, result, _CODES.BadEventFilterInvalid)
    return Verdict(EventFilter(tuple(select), tuple(where)), result)


# --- fields ---------------------------------------------------------------------------------------


def _nothing(record: EventRecord) -> ua.Variant:
    return _NULL


def _field(record: EventRecord, path: Path, only: ua.NodeId | None, types: EventTypes) -> Any:
    if only is not None and only not in types.above(record.type):
        return _NULL
    return record.fields.get(path, _NULL)


def _selected(clause: Any, types: EventTypes) -> Field:
    """What gives a field's value. Raises _RefusedError."""
    type_ = clause.TypeDefinitionId
    if type_.is_null():
        only = None
    elif not types.is_event(type_):
        raise _RefusedError(_CODES.BadTypeDefinitionInvalid)
    else:
        only = type_
    path: Path = tuple((step.NamespaceIndex, step.Name or "") for step in clause.BrowsePath or [])
    if not path:
        return _itself(clause, only, types)
    if clause.AttributeId != _A.Value:
        known = 0 < clause.AttributeId <= _A.AccessLevelEx
        raise _RefusedError(_CODES.BadNotSupported if known else _CODES.BadAttributeIdInvalid)
    if not types.has(only or BASE_EVENT, path):
        raise _RefusedError(_CODES.BadNodeIdUnknown)
    if clause.IndexRange:
        try:
            ranges.bounds(clause.IndexRange)
        except ranges.RangeError as error:
            raise _RefusedError(error.code) from error
        return partial(_cut, path=path, only=only, types=types, part=clause.IndexRange)
    return partial(_field, path=path, only=only, types=types)


def _itself(clause: Any, only: ua.NodeId | None, types: EventTypes) -> Field:
    """An empty path is the condition itself (OPC 10000-9, 5.5.2.13)."""
    if clause.AttributeId != _A.NodeId:
        raise _RefusedError(_CODES.BadAttributeIdInvalid)
    if only is not None and CONDITION not in types.above(only) and only != BASE_EVENT:
        raise _RefusedError(_CODES.BadBrowseNameInvalid)
    return _condition


def _condition(record: EventRecord) -> ua.Variant:
    return ua.Variant(record.condition, ua.VariantType.NodeId) if record.condition else _NULL


def _cut(
    record: EventRecord, path: Path, only: ua.NodeId | None, types: EventTypes, part: str
) -> ua.Variant:
    try:
        return ranges.cut(_field(record, path, only, types), part)
    except ranges.RangeError:
        return _NULL


# --- the where clause -----------------------------------------------------------------------------


def _where(
    elements: Sequence[Any], types: EventTypes, result: Any
) -> tuple[list[tuple[tuple[Operand, ...], Element]], bool]:
    made: list[tuple[tuple[Operand, ...], Element]] = []
    bad = False
    for index, element in enumerate(elements):
        verdict = ua.ContentFilterElementResult()
        result.ElementResults.append(verdict)
        try:
            operands = _operands(index, len(elements), element, types, verdict)
            made.append((operands, _element(_OP(element.FilterOperator), types)))
        except _RefusedError as error:
            verdict.StatusCode, bad = status_code(error.code), True
    return made, bad


def _operands(
    index: int, count: int, element: Any, types: EventTypes, verdict: Any
) -> tuple[Operand, ...]:
    operands = list(element.FilterOperands or [])
    try:
        least, most = _COUNTS[_OP(element.FilterOperator)]
    except (KeyError, ValueError) as error:
        known = element.FilterOperator in (_OP.InView, _OP.RelatedTo)
        code = _CODES.BadFilterOperatorUnsupported if known else _CODES.BadFilterOperatorInvalid
        raise _RefusedError(code) from error
    if not least <= len(operands) <= most:
        raise _RefusedError(_CODES.BadFilterOperandCountMismatch)
    made: list[Operand] = []
    for operand in operands:
        try:
            made.append(_operand(index, count, operand, types))
            verdict.OperandStatusCodes.append(status_code(_CODES.Good))
        except _RefusedError as error:
            verdict.OperandStatusCodes.append(status_code(error.code))
    if len(made) < len(operands):
        raise _RefusedError(_CODES.BadFilterOperandInvalid)
    return tuple(made)


def _operand(index: int, count: int, operand: Any, types: EventTypes) -> Operand:
    if isinstance(operand, wire.ElementOperand):
        if not index < operand.Index < count:  # only forward, so there is no circle
            raise _RefusedError(_CODES.BadFilterOperandInvalid)
        return partial(_later, at=operand.Index)
    if isinstance(operand, wire.LiteralOperand):
        return partial(_constant, value=_literal(operand.Value))
    if isinstance(operand, wire.SimpleAttributeOperand):
        return partial(_attribute, field=_selected(operand, types))
    raise _RefusedError(_CODES.BadFilterOperandInvalid)


def _literal(value: ua.Variant) -> Any:
    node_id = value.Value
    # A type is given as a NodeId, and stays one for OfType and Cast.
    return node_id if isinstance(node_id, ua.NodeId) else values.plain(value)


def _later(record: EventRecord, worked: Values, at: int) -> Any:
    return worked[at]


def _constant(record: EventRecord, worked: Values, value: Any) -> Any:
    return value


def _attribute(record: EventRecord, worked: Values, field: Field) -> Any:
    return _literal(field(record))


def _element(operator_: ua.FilterOperator, types: EventTypes) -> Element:
    if operator_ is _OP.OfType:
        return partial(_of_type, types=types)
    if operator_ is _OP.Cast:
        return _cast
    return partial(_worked, operation=_OPERATIONS[operator_])


def _worked(record: EventRecord, operands: list[Any], operation: Callable[..., Any]) -> Any:
    return operation(*map(values.plain, operands))


def _cast(record: EventRecord, operands: list[Any]) -> Any:
    value, target = operands
    if not isinstance(target, ua.NodeId):
        return None
    return values.cast(values.plain(value), target)


def _of_type(record: EventRecord, operands: list[Any], types: EventTypes) -> bool | None:
    """The event's type or one above it (OPC 10000-4, table 118)."""
    wanted = operands[0]
    if not isinstance(wanted, ua.NodeId):
        return None
    return wanted in types.above(record.type)


def _like(text: Any, pattern: Any) -> bool | None:
    if not isinstance(text, str) or not isinstance(pattern, str):
        return None
    return like(text, pattern)


def _not(value: Any) -> bool | None:
    truth = values.truth(value)
    return None if truth is None else not truth


def _and(left: Any, right: Any) -> bool | None:
    pair = (values.truth(left), values.truth(right))
    if False in pair:
        return False
    return None if None in pair else True


def _or(left: Any, right: Any) -> bool | None:
    pair = (values.truth(left), values.truth(right))
    if True in pair:
        return True
    return None if None in pair else False


def _between(value: Any, low: Any, high: Any) -> bool | None:
    return _and(
        values.order(value, low, operator.ge),
        values.order(value, high, operator.le),
    )


def _in_list(value: Any, *members: Any) -> bool | None:
    verdicts = [values.equal(value, member) for member in members]
    if True in verdicts:
        return True
    return None if value is None else False


def _bits(left: Any, right: Any, operation: Callable[[int, int], int]) -> int | None:
    if type(left) is not int or type(right) is not int:
        return None
    return operation(left, right)


_OPERATIONS: Final[dict[ua.FilterOperator, Callable[..., Any]]] = {
    _OP.Equals: values.equal,
    _OP.IsNull: lambda value: value is None,
    _OP.GreaterThan: partial(values.order, test=operator.gt),
    _OP.LessThan: partial(values.order, test=operator.lt),
    _OP.GreaterThanOrEqual: partial(values.order, test=operator.ge),
    _OP.LessThanOrEqual: partial(values.order, test=operator.le),
    _OP.Like: _like,
    _OP.Not: _not,
    _OP.Between: _between,
    _OP.InList: _in_list,
    _OP.And: _and,
    _OP.Or: _or,
    _OP.BitwiseAnd: partial(_bits, operation=operator.and_),
    _OP.BitwiseOr: partial(_bits, operation=operator.or_),
}
