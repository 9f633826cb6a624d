"""The language of event filters: operators, null, conversions, and filters that are wrong."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua import ua
from asyncua.server.address_space import AddressSpace
from hypothesis import given
from hypothesis import strategies as st

from cellwright.opcua_model.address_space import standard_cache
from cellwright.opcua_model.address_space.ids import standard
from cellwright.opcua_model.events.filters import MOST_CLAUSES, EventFilter, compile_filter
from cellwright.opcua_model.events.like import like
from cellwright.opcua_model.events.record import SERVER, Base, EventRecord
from cellwright.opcua_model.events.types import EventTypes

OP = ua.FilterOperator
ALARM = standard(ua.ObjectIds.ExclusiveLevelAlarmType)
BASE = standard(ua.ObjectIds.BaseEventType)


@pytest.fixture(scope="module")
def types() -> EventTypes:
    space = AddressSpace()
    standard_cache.fill(space)
    return EventTypes(space)


@pytest.fixture
def record() -> EventRecord:
    base = Base(ALARM, b"1" * 16, ua.DateTime(2026, 1, 2, tzinfo=UTC), "Door 7 open", 700)
    return EventRecord(ALARM, frozenset({SERVER}), base.fields())


def field(*names: str, of: ua.NodeId = BASE) -> ua.SimpleAttributeOperand:
    return ua.SimpleAttributeOperand(
        of, [ua.QualifiedName(name, 0) for name in names], ua.AttributeIds.Value
    )


def literal(value: Any, kind: ua.VariantType | None = None) -> ua.LiteralOperand:
    return ua.LiteralOperand(ua.Variant(value, kind))


def where(*elements: tuple[ua.FilterOperator, list[Any]]) -> ua.EventFilter:
    out = ua.EventFilter()
    out.SelectClauses = [field("EventId")]
    out.WhereClause.Elements = [ua.ContentFilterElement(op, list(ops)) for op, ops in elements]
    return out


def made(wanted: ua.EventFilter, types: EventTypes) -> EventFilter:
    verdict = compile_filter(wanted, types)
    assert verdict.filter is not None, verdict.result
    return verdict.filter


SEVERITY = field("Severity")
MESSAGE = field("Message")
NOTHING = field("AckedState", "Id")


@pytest.mark.parametrize(
    ("operator", "operands", "passes"),
    [
        (OP.Equals, [SEVERITY, literal(700)], True),
        (OP.Equals, [SEVERITY, literal("700")], True),
        (OP.Equals, [SEVERITY, literal(700.5)], False),
        (OP.Equals, [NOTHING, literal(True)], False),
        (OP.IsNull, [NOTHING], True),
        (OP.IsNull, [SEVERITY], False),
        (OP.GreaterThan, [SEVERITY, literal(699)], True),
        (OP.GreaterThan, [SEVERITY, literal(700)], False),
        (OP.LessThan, [SEVERITY, literal("701.5")], True),
        (OP.GreaterThanOrEqual, [SEVERITY, literal(700)], True),
        (OP.LessThanOrEqual, [SEVERITY, literal(699)], False),
        (OP.GreaterThan, [SEVERITY, literal("high")], False),
        (OP.Like, [MESSAGE, literal("Door % open")], True),
        (OP.Like, [MESSAGE, literal("Door [0-6] open")], False),
        (OP.Not, [literal(False)], True),
        (OP.Not, [NOTHING], False),
        (OP.Between, [SEVERITY, literal(1), literal(1000)], True),
        (OP.Between, [SEVERITY, literal(1000), literal(1)], False),
        (OP.InList, [SEVERITY, literal(1), literal(700)], True),
        (OP.InList, [SEVERITY, literal(1), literal(2)], False),
        (OP.And, [literal(True), literal(True)], True),
        (OP.And, [literal(True), NOTHING], False),
        (OP.Or, [NOTHING, literal(True)], True),
        (OP.Or, [NOTHING, literal(False)], False),
        (OP.OfType, [literal(ALARM, ua.VariantType.NodeId)], True),
        (OP.OfType, [literal(standard(ua.ObjectIds.ConditionType), ua.VariantType.NodeId)], True),
        (OP.OfType, [literal(standard(ua.ObjectIds.AuditEventType), ua.VariantType.NodeId)], False),
        (OP.OfType, [literal("ConditionType")], False),
        (OP.BitwiseAnd, [SEVERITY, literal(4)], True),
        (OP.BitwiseAnd, [SEVERITY, literal(1)], False),
        (OP.BitwiseOr, [literal(0), literal(0)], False),
        (OP.Cast, [literal("1"), literal(ua.NodeId(1), ua.VariantType.NodeId)], True),
        (OP.Cast, [literal("no"), literal(ua.NodeId(6), ua.VariantType.NodeId)], False),
        (OP.GreaterThan, [field("Time"), literal("2026-01-01T00:00:00Z")], True),
        (OP.LessThan, [field("Time"), literal(datetime(2026, 1, 1, tzinfo=UTC))], False),
        (OP.Equals, [field("SourceNode"), literal(SERVER, ua.VariantType.NodeId)], True),
        (OP.Equals, [field("SourceNode"), literal("i=2253")], True),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_an_operator_judges_as_part_4_says(
    operator: ua.FilterOperator,
    operands: list[Any],
    passes: bool,
    types: EventTypes,
    record: EventRecord,
) -> None:
    assert made(where((operator, operands)), types).passes(record) is passes


def test_elements_point_forward_and_are_worked_out_once(
    types: EventTypes, record: EventRecord
) -> None:
    count = MOST_CLAUSES
    doubled = [
        (OP.And, [ua.ElementOperand(index + 1), ua.ElementOperand(index + 1)])
        for index in range(count - 1)
    ]
    filter_ = made(where(*doubled, (OP.Equals, [literal(1), literal(1)])), types)
    before = time.process_time()
    assert filter_.passes(record)
    assert time.process_time() - before < 1.0  # a tree of 2 to the 199th would never end


@pytest.mark.parametrize(
    ("element", "code"),
    [
        ((OP.Equals, [literal(1)]), "BadFilterOperandCountMismatch"),
        ((OP.InView, [literal(1)]), "BadFilterOperatorUnsupported"),
        ((OP.RelatedTo, [literal(1)] * 6), "BadFilterOperatorUnsupported"),
        ((OP.Not, [ua.ElementOperand(0)]), "BadFilterOperandInvalid"),
        ((OP.Not, [ua.ElementOperand(7)]), "BadFilterOperandInvalid"),
        ((OP.Not, [ua.AttributeOperand()]), "BadFilterOperandInvalid"),
        ((OP.IsNull, [field("NoSuchField")]), "BadFilterOperandInvalid"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0].name,
)
def test_a_wrong_where_clause_is_refused_at_its_element(
    element: Any, code: str, types: EventTypes
) -> None:
    verdict = compile_filter(where(element), types)
    assert verdict.filter is None
    assert verdict.code == ua.StatusCodes.BadEventFilterInvalid
    assert verdict.result.WhereClauseResult.ElementResults[0].StatusCode.name == code


@pytest.mark.parametrize(
    ("clause", "code"),
    [
        (field("Severity"), "Good"),
        (field("AckedState", "Id"), "Good"),  # some event below BaseEventType has it
        (field("AckedState", "Id", of=ALARM), "Good"),
        (field("NoSuchField"), "BadNodeIdUnknown"),
        (field("Severity", of=SERVER), "BadTypeDefinitionInvalid"),
        (ua.SimpleAttributeOperand(ALARM, [], ua.AttributeIds.NodeId), "Good"),
        (ua.SimpleAttributeOperand(BASE, [], ua.AttributeIds.Value), "BadAttributeIdInvalid"),
        (
            ua.SimpleAttributeOperand(
                BASE, [ua.QualifiedName("Message", 0)], ua.AttributeIds.Value, "3:1"
            ),
            "BadIndexRangeInvalid",
        ),
    ],
    ids=[
        "field", "below", "nested", "unknown", "no-event-type", "condition", "no-attribute",
        "range",
    ],
)  # fmt: skip
def test_each_field_has_its_own_verdict(clause: Any, code: str, types: EventTypes) -> None:
    wanted = ua.EventFilter()
    wanted.SelectClauses = [field("EventId"), clause]
    verdict = compile_filter(wanted, types)
    assert [each.name for each in verdict.result.SelectClauseResults] == ["Good", code]
    assert verdict.filter is not None


@pytest.mark.parametrize("wanted", [None, ua.DataChangeFilter(), ua.EventFilter()])
def test_what_is_no_filter_is_refused(wanted: Any, types: EventTypes) -> None:
    assert compile_filter(wanted, types).code == ua.StatusCodes.BadEventFilterInvalid


def test_a_field_of_another_type_is_null(types: EventTypes, record: EventRecord) -> None:
    wanted = ua.EventFilter()
    audit = standard(ua.ObjectIds.AuditEventType)
    wanted.SelectClauses = [field("Severity", of=audit), field("Severity", of=ALARM)]
    fields = made(wanted, types).fields(record)
    assert [each.Value for each in fields] == [None, 700]


@pytest.mark.parametrize(
    ("text", "pattern", "matches"),
    [
        ("", "", True),
        ("", "%", True),
        ("abc", "a_c", True),
        ("abc", "a_", False),
        ("a%c", "a\\%c", True),
        ("abc", "a\\%c", False),
        ("x", "[^a-m]", True),
        ("c", "[^a-m]", False),
        ("]", "[\\]]", True),
        ("[ab", "[ab", True),
        ("abcabc", "%abc", True),
    ],
)
def test_like(text: str, pattern: str, matches: bool) -> None:
    assert like(text, pattern) is matches


@given(st.text("ab%_", max_size=30), st.text("ab", max_size=30))
def test_like_agrees_with_a_regular_expression(pattern: str, text: str) -> None:
    wanted = pattern.replace("%", ".*").replace("_", ".")
    assert like(text, pattern) is bool(re.fullmatch(wanted, text))


def test_no_pattern_makes_like_slow() -> None:
    before = time.process_time()
    assert not like("a" * 10_000, "%a" * 100 + "b")
    assert time.process_time() - before < 2.0
