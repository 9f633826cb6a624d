"""What is recorded comes back bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cellwright.mes.history.batch import Batch, Kind, divided, joined, merged
from cellwright.mes.history.codec import decode, encode
from cellwright.mes.kernel.errors import MesError

KIND = {1: Kind.FLOAT, 2: Kind.FLOAT, 3: Kind.INTEGER, 4: Kind.UNSIGNED, 5: Kind.TEXT}
FLOATS = st.floats(width=64) | st.decimals(-1000, 1000, places=2).map(float)
VALUES = {
    Kind.FLOAT: FLOATS,
    Kind.INTEGER: st.integers(-(2**63), 2**63 - 1),
    Kind.UNSIGNED: st.integers(0, 2**64 - 1),
    Kind.TEXT: st.binary(max_size=6),
}
ROW = st.sampled_from(sorted(KIND)).flatmap(
    lambda tag: st.tuples(
        st.just(tag),
        st.integers(-(2**62), 2**62) | st.integers(0, 5),
        st.sampled_from([0, 0x40900000, 0x80310000]),
        VALUES[KIND[tag]],
    )
)
ROWS = st.lists(ROW, max_size=40)


def batch_of(rows) -> Batch:
    """Columns of (tag, time, status, value)."""
    texts: list[bytes] = []
    bits = []
    for tag, _, _, value in rows:
        if KIND[tag] is Kind.TEXT:
            bits.append(len(texts))
            texts.append(value)
        elif KIND[tag] is Kind.FLOAT:
            bits.append(int(np.float64(value).view(np.uint64)))
        else:
            bits.append(value % 2**64)
    return Batch(
        np.array([row[0] for row in rows], np.uint32),
        np.array([KIND[row[0]] for row in rows], np.uint8),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.uint32),
        np.array(bits, np.uint64),
        texts,
    )


def rows_of(batch: Batch):
    """The same with the bits for the value, and the bytes of a text."""
    return [
        (tag, time, status, batch.texts[bits] if kind == Kind.TEXT else bits)
        for tag, kind, time, status, bits in zip(
            batch.tag.tolist(),
            batch.kind.tolist(),
            batch.time.tolist(),
            batch.status.tolist(),
            batch.bits.tolist(),
            strict=True,
        )
    ]


@given(ROWS)
@example([(1, 0, 0, -0.0), (1, 1, 0, 0.1), (1, 2, 0, float("nan"))])
@example([(2, n, 0, 20 + n / 100) for n in range(40)])
def test_what_is_encoded_comes_back_bit_for_bit(rows):
    batch = merged([batch_of(rows)])
    assert rows_of(decode(encode(batch))[0]) == rows_of(batch)


def test_long_columns_come_back_too():
    count = 9_000
    batch = batch_of(
        [
            (tag, n * 50_000_000, 0, n * tag / 7 if tag < 3 else n)
            for tag in (1, 3)
            for n in range(count)
        ]
    )
    assert rows_of(decode(encode(batch))[0]) == rows_of(batch)


@given(st.lists(ROWS, max_size=4))
def test_merging_sorts_and_keeps_of_equal_times_what_came_last(parts):
    wanted = {}
    for part in parts:
        for row in rows_of(batch_of(part)):
            wanted[row[:2]] = row
    assert rows_of(merged(map(batch_of, parts))) == [wanted[key] for key in sorted(wanted)]


@given(ROWS)
def test_dividing_loses_no_row_and_gives_each_its_span_and_block(rows):
    batch = batch_of(rows)
    parts = list(divided(batch, 7, 2))
    for begin, block, part in parts:
        assert all(begin <= time < begin + 7 for time in part.time.tolist())
        assert set((part.tag // 2).tolist()) == {block}
    assert len({part[:2] for part in parts}) == len(parts)
    assert sorted(map(str, rows_of(joined(part for *_, part in parts)))) == sorted(
        map(str, rows_of(batch))
    )


@pytest.mark.parametrize("damage", [lambda data: data[:9], lambda data: b"\2" + data[1:]])
def test_damage_and_an_unknown_form_are_told(damage):
    data = encode(batch_of([(1, n, 0, n / 3) for n in range(20)]))
    flipped = bytearray(data)
    flipped[-1] ^= 1
    for bad in (damage(data), bytes(flipped), b""):
        with pytest.raises(MesError, match="of the history cannot be read") as caught:
            decode(bad)
        assert caught.value.code == "history_damaged"


@given(ROWS, st.integers(0, 3))
def test_further_columns_come_back_too(rows, shift):
    batch = merged([batch_of(rows)])
    near = np.roll(batch.bits, shift)
    count = np.arange(len(batch), dtype=np.uint64)
    again, columns = decode(encode(batch, [near, batch.bits], [count]))
    assert rows_of(again) == rows_of(batch)
    plain = batch.kind != Kind.TEXT
    for column, wanted in zip(columns, (near, batch.bits, count), strict=True):
        assert column[plain].tolist() == wanted[plain].tolist()
