"""Canonical JSON: the examples of RFC 8785 and its appendix B, and what it must never lose."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.mes import audit
from cellwright.mes.orders.work_order_states import WorkOrderState

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), JSON))
def test_canonical_json_is_sorted_compact_and_loses_nothing(value):
    made = audit.canonical(value)
    assert json.loads(made) == value
    assert audit.canonical(dict(reversed(list(value.items())))) == made
    plain = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert json.loads(plain) == json.loads(made)
    assert len(made) <= len(plain) * 6


def test_numbers_that_json_lacks_are_kept_by_name():
    assert audit.canonical({"a": float("nan"), "b": [float("-inf")]}) == '{"a":"nan","b":["-inf"]}'


def test_the_example_of_the_standard():
    """RFC 8785, 3.2.2 to 3.2.4."""
    value = json.loads(
        '{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],'
        r'"string": "\u20ac$\u000F\u000aA\u0027\u0042\u0022\u005c\\\"\/",'
        '"literals": [null, true, false]}'
    )
    assert audit.canonical(value).encode() == bytes.fromhex(
        "7b226c69746572616c73223a5b6e756c6c2c747275652c66616c73655d2c226e756d62657273223a5b3333333333"
        "333333332e333333333333332c31652b33302c342e352c302e3030322c31652d32375d2c22737472696e67223a22"
        "e282ac245c75303030665c6e4127425c225c5c5c5c5c222f227d"
    )


def test_keys_are_sorted_by_their_utf16_code_units():
    """RFC 8785, 3.2.3."""
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    made = json.loads(audit.canonical(dict.fromkeys(keys, 1)), object_pairs_hook=list)
    assert [key for key, _ in made] == [
        "\r",
        "1",
        "\u0080",
        "\u00f6",
        "\u20ac",
        "\U0001f600",
        "\ufb33",
    ]


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("c340000000000000", "-9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("44b52d02c7e14af7", "1.0000000000000001e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef4f", "999999999999999900000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("41b3de4355555554", "333333333.33333325"),
        ("41b3de4355555555", "333333333.3333333"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
        ("43143ff3c1cb0959", "1424953923781206.2"),
    ],
)
def test_numbers_are_written_as_the_standard_lists_them(bits, text):
    """RFC 8785, appendix B."""
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert audit.canonical([number]) == f"[{text}]"


def test_what_json_numbers_cannot_hold_becomes_text():
    value = {
        "big": 2**60,
        "amount": Decimal("0.10"),
        "at": datetime(2026, 3, 14, tzinfo=UTC),
        "state": WorkOrderState.RUNNING,
    }
    assert json.loads(audit.canonical(value)) == {
        "big": str(2**60),
        "amount": "0.10",
        "at": "2026-03-14T00:00:00+00:00",
        "state": "RUNNING",
    }
