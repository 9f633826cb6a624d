"""Notifications that we encode ourselves are what the library's codec reads."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import extensionobject_from_binary, struct_to_binary
from hypothesis import given
from hypothesis import strategies as st

from cellwright.opcua_model.services.subscriptions.notifications import encode

MOMENTS = st.datetimes(datetime(1980, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
INTEGERS = {
    ua.VariantType.SByte: (-(2**7), 2**7 - 1),
    ua.VariantType.Byte: (0, 2**8 - 1),
    ua.VariantType.Int16: (-(2**15), 2**15 - 1),
    ua.VariantType.UInt16: (0, 2**16 - 1),
    ua.VariantType.Int32: (-(2**31), 2**31 - 1),
    ua.VariantType.UInt32: (0, 2**32 - 1),
    ua.VariantType.Int64: (-(2**63), 2**63 - 1),
    ua.VariantType.UInt64: (0, 2**64 - 1),
}


def variants() -> st.SearchStrategy[ua.Variant]:
    integers = [
        st.integers(*bounds).map(lambda value, kind=kind: ua.Variant(value, kind))
        for kind, bounds in INTEGERS.items()
    ]
    return st.one_of(
        *integers,
        st.booleans().map(lambda value: ua.Variant(value, ua.VariantType.Boolean)),
        st.floats(width=32, allow_nan=False).map(
            lambda value: ua.Variant(value, ua.VariantType.Float)
        ),
        st.floats(allow_nan=False).map(lambda value: ua.Variant(value, ua.VariantType.Double)),
        st.text(max_size=10).map(lambda value: ua.Variant(value, ua.VariantType.String)),
        st.lists(st.integers(0, 9), max_size=4).map(
            lambda value: ua.Variant(value, ua.VariantType.Int32, is_array=True)
        ),
        st.just(ua.Variant(None, ua.VariantType.Null)),
    )


@st.composite
def items(draw: st.DrawFn) -> ua.MonitoredItemNotification:
    value = ua.DataValue(
        draw(variants()),
        ua.StatusCode(draw(st.integers(0, 2**32 - 1))),
        draw(st.none() | MOMENTS),
        draw(st.none() | MOMENTS),
    )
    return ua.MonitoredItemNotification(draw(st.integers(0, 2**32 - 1)), value)


def plain(item: ua.MonitoredItemNotification) -> tuple[object, ...]:
    value = item.Value
    return (
        item.ClientHandle,
        value.Value.VariantType,
        value.Value.Value,
        value.StatusCode.value,
        value.SourceTimestamp,
        value.ServerTimestamp,
    )


@given(st.lists(items(), max_size=6))
def test_the_library_reads_back_every_item(sent: list[ua.MonitoredItemNotification]) -> None:
    received = extensionobject_from_binary(Buffer(struct_to_binary(encode(sent))))
    assert [plain(item) for item in received.MonitoredItems or []] == [plain(x) for x in sent]


def test_not_a_number_is_sent_as_such() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    value = ua.DataValue(
        ua.Variant(math.nan, ua.VariantType.Double), SourceTimestamp=now, ServerTimestamp=now
    )
    sent = encode([ua.MonitoredItemNotification(1, value)])
    received = extensionobject_from_binary(Buffer(struct_to_binary(sent)))
    assert math.isnan(received.MonitoredItems[0].Value.Value.Value)
