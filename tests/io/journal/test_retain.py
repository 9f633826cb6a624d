"""Retained values on real files: damage at any byte, writers killed at any instant."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import time
import zlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.journal.retain import (
    FILES,
    FORMAT_VERSION,
    HEADER,
    MAGIC,
    WITH_CRC32,
    Restored,
    RetainedValue,
    RetainError,
    RetainStore,
    fit,
    pack,
)
from cellwright.io.plan import Code, TagType, Value, integer_range
from cellwright.native import lib
from support.campaign import sample, times
from support.forked import process

LAYOUT = bytes(range(32))
LIVES = times(60)
INT = TagType(Code.INT)
OLD = {"count": RetainedValue(INT, 1), "name": RetainedValue(TagType(Code.STRING, 10), "old")}
NEW = {"count": RetainedValue(INT, 2), "name": RetainedValue(TagType(Code.STRING, 10), "new")}


def saved_twice(folder: Path) -> RetainStore:
    store = RetainStore(folder)
    store.save(OLD, LAYOUT)
    store.save(NEW, LAYOUT)
    return RetainStore(folder)


def test_a_first_start_has_no_values_and_nothing_to_complain_about(tmp_path: Path) -> None:
    assert RetainStore(tmp_path).load() == Restored({}, 0, bytes(32), ())


def test_the_newest_values_come_back_after_a_restart(tmp_path: Path) -> None:
    restored = saved_twice(tmp_path).load()
    assert restored == Restored(NEW, 2, LAYOUT, ())


def test_saves_alternate_between_the_two_files(tmp_path: Path) -> None:
    store = RetainStore(tmp_path)
    before: tuple[bytes, ...] = ()
    for number in range(6):
        store = RetainStore(tmp_path) if number == 3 else store
        assert store.save({"n": RetainedValue(INT, number)}, LAYOUT) == number + 1
        after = tuple(
            (tmp_path / name).read_bytes() if (tmp_path / name).exists() else b"" for name in FILES
        )
        if before:
            assert sum(a != b for a, b in zip(before, after, strict=True)) == 1
        before = after
        assert RetainStore(tmp_path).load().values["n"].value == number


def scalars(code: Code, length: int) -> st.SearchStrategy[bool | int | float | str]:
    if code is Code.BOOL:
        return st.booleans()
    if code is Code.STRING:
        return st.text(max_size=length // 4)
    if code in (Code.REAL, Code.LREAL):
        return st.floats(allow_nan=False, width=32 if code is Code.REAL else 64)
    return st.integers(*integer_range(code))


@st.composite
def retained(draw: st.DrawFn) -> RetainedValue:
    code = draw(st.sampled_from(list(Code)))
    length = draw(st.integers(1, 40)) if code is Code.STRING else 0
    if draw(st.booleans()):
        count = draw(st.integers(1, 5))
        value: Value = draw(st.lists(scalars(code, length), min_size=count, max_size=count))
        return RetainedValue(TagType(code, length, count, is_array=True), value)
    return RetainedValue(TagType(code, length), draw(scalars(code, length)))


@given(values=st.dictionaries(st.text(min_size=1, max_size=20), retained(), max_size=10))
def test_values_of_every_type_come_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, RetainedValue]
) -> None:
    folder = tmp_path_factory.mktemp("retain")
    RetainStore(folder).save(values, LAYOUT)
    restored = RetainStore(folder).load()
    assert restored.values == values
    fitted = fit(restored, {name: saved.type for name, saved in values.items()}, LAYOUT)
    assert fitted.values == {name: saved.value for name, saved in values.items()}
    assert fitted.notes == ()


@pytest.mark.campaign
@pytest.mark.behaviour(17)
def test_a_file_cut_off_anywhere_gives_the_other_one(tmp_path: Path) -> None:
    saved_twice(tmp_path)
    newest = tmp_path / FILES[1]
    whole = newest.read_bytes()
    for size in sample(range(len(whole)), 40):
        newest.write_bytes(whole[:size])
        restored = RetainStore(tmp_path).load()
        assert restored.values == OLD
        assert str(newest) in restored.notes[0]
        assert restored.notes[-1] == "the retained values are those of save 1"


@pytest.mark.campaign
def test_any_flipped_bit_gives_the_other_file(tmp_path: Path) -> None:
    saved_twice(tmp_path)
    newest = tmp_path / FILES[1]
    whole = newest.read_bytes()
    for place in sample(range(len(whole) * 8), 100):
        damaged = bytearray(whole)
        damaged[place >> 3] ^= 1 << (place & 7)
        newest.write_bytes(damaged)
        assert RetainStore(tmp_path).load().values == OLD


def test_bytes_behind_the_end_are_damage_too(tmp_path: Path) -> None:
    saved_twice(tmp_path)
    newest = tmp_path / FILES[1]
    newest.write_bytes(newest.read_bytes() + b"\0")
    assert RetainStore(tmp_path).load().values == OLD


@given(first=st.binary(max_size=120), second=st.binary(max_size=120))
def test_two_files_of_rubbish_give_initial_values_and_say_so(
    tmp_path_factory: pytest.TempPathFactory, first: bytes, second: bytes
) -> None:
    folder = tmp_path_factory.mktemp("retain")
    for name, data in zip(FILES, (first, second), strict=True):
        (folder / name).write_bytes(data)
    store = RetainStore(folder)
    restored = store.load()
    assert restored.values == {}
    assert "all start with their initial values" in restored.notes[-1]
    assert len(restored.notes) == 3
    store.save(NEW, LAYOUT)
    assert RetainStore(folder).load().values == NEW


def test_a_damaged_file_is_the_one_written_next(tmp_path: Path) -> None:
    saved_twice(tmp_path)
    (tmp_path / FILES[1]).write_bytes(b"damaged")
    untouched = (tmp_path / FILES[0]).read_bytes()
    assert RetainStore(tmp_path).save(NEW, LAYOUT) == 2
    assert (tmp_path / FILES[0]).read_bytes() == untouched
    assert RetainStore(tmp_path).load() == Restored(NEW, 2, LAYOUT, ())


@pytest.mark.parametrize(
    "payload",
    [
        b"\x93",
        msgspec.msgpack.encode({"x": ((99, 0, 1, False), 5)}),
        msgspec.msgpack.encode({"x": 5}),
        msgspec.msgpack.encode([1, 2]),
    ],
)
def test_a_whole_file_with_a_strange_content_is_not_used(tmp_path: Path, payload: bytes) -> None:
    saved_twice(tmp_path)
    (tmp_path / FILES[1]).write_bytes(whole_file(FORMAT_VERSION, payload))
    restored = RetainStore(tmp_path).load()
    assert restored.values == OLD
    assert "content is not understood" in restored.notes[0]


def test_a_file_of_a_later_format_is_not_used(tmp_path: Path) -> None:
    saved_twice(tmp_path)
    (tmp_path / FILES[1]).write_bytes(whole_file(FORMAT_VERSION + 1, b"\x80"))
    assert "has format 3" in RetainStore(tmp_path).load().notes[0]


def test_a_file_of_the_format_with_the_older_check_is_still_read(tmp_path: Path) -> None:
    """An update of the program must not cost a cell its retained values."""
    new = pack(NEW, LAYOUT, 7)
    head = bytearray(new[: HEADER.size - 4])
    head[8:12] = WITH_CRC32.to_bytes(4, "little")
    old = bytes(head) + zlib.crc32(bytes(head) + new[HEADER.size :]).to_bytes(4, "little")
    (tmp_path / FILES[0]).write_bytes(old + new[HEADER.size :])
    store = RetainStore(tmp_path)
    assert store.load() == Restored(NEW, 7, LAYOUT, ())
    assert store.save(OLD, LAYOUT) == 8
    assert RetainStore(tmp_path).load().values == OLD
    (tmp_path / FILES[1]).unlink()
    (tmp_path / FILES[0]).write_bytes(old + new[HEADER.size : -1] + b"\xff")
    assert "checksum is wrong" in RetainStore(tmp_path).load().notes[0]


@pytest.mark.behaviour(17)
def test_a_changed_layout_keeps_what_fits_by_name_and_type() -> None:
    restored = Restored(
        {
            "kept": RetainedValue(INT, 5),
            "retyped": RetainedValue(INT, 6),
            "gone": RetainedValue(INT, 7),
            "impossible": RetainedValue(INT, 99_999),
        },
        4,
        LAYOUT,
        (),
    )
    types = {
        "kept": INT,
        "retyped": TagType(Code.DINT),
        "impossible": INT,
        "added": TagType(Code.BOOL),
    }
    fitted = fit(restored, types, bytes(32))
    assert fitted.values == {"kept": 5}
    said = "\n".join(fitted.notes)
    assert "1 of 4 retained values are kept" in said
    assert "retyped (was INT, is DINT)" in said
    assert "added (not saved)" in said
    assert "impossible (INT holds" in said
    assert "not retained any more: gone" in said


def test_a_first_start_is_no_changed_layout(tmp_path: Path) -> None:
    assert fit(RetainStore(tmp_path).load(), {"new": INT}, LAYOUT).notes == ()


def test_another_layout_with_the_same_tags_is_reported(tmp_path: Path) -> None:
    types = {"count": INT, "name": TagType(Code.STRING, 10)}
    fitted = fit(saved_twice(tmp_path).load(), types, bytes(32))
    assert fitted.values == {"count": 2, "name": "new"}
    assert fitted.notes == ("the layout has changed: 2 of 2 retained values are kept",)


def whole_file(version: int, payload: bytes) -> bytes:
    head = HEADER.pack(MAGIC, version, len(payload), 9, LAYOUT, 0)[:-4]
    data = head + payload
    return head + lib.cw_crc32c(0, data, len(data)).to_bytes(4, "little") + payload


def numbered(number: int) -> dict[str, RetainedValue]:
    """A set that is consistent only if all parts are of the same save; its size varies."""
    kind = TagType(Code.LINT)
    return {f"tag{i}": RetainedValue(kind, number) for i in range(40 + number % 7)}


@pytest.mark.campaign
@pytest.mark.behaviour(17)
def test_a_writer_killed_at_any_instant_leaves_whole_values_and_loses_no_finished_save(
    tmp_path: Path,
) -> None:
    chance = random.Random(11)
    last = rounds = 0
    # Longer lives where the disk is so slow that a save hardly ever ends before the kill.
    while rounds < LIVES or last <= LIVES // 4:
        rounds += 1
        receive, send = os.pipe()

        def save_for_ever(start: int = last, pipe: int = send) -> None:
            store = RetainStore(tmp_path)
            for number in range(start + 1, start + 100_000):
                store.save(numbered(number), LAYOUT)
                os.write(pipe, number.to_bytes(8, "little"))

        with process(save_for_ever):
            os.close(send)
            time.sleep(chance.uniform(0, 0.012 if rounds <= LIVES else 0.2))
        with open(receive, "rb") as finished:
            data = finished.read()
        confirmed = int.from_bytes(data[-8:], "little") if data else last
        restored = RetainStore(tmp_path).load()
        if restored.generation == 0:
            assert not data
            assert last == 0
            continue
        numbers = {saved.value for saved in restored.values.values()}
        assert len(numbers) == 1, "values of two saves are mixed"
        (number,) = numbers
        assert isinstance(number, int)
        assert restored.values == numbered(number)
        assert confirmed <= number <= confirmed + 1
        last = number


def test_a_full_disk_spares_the_values_saved_before(tmp_path: Path) -> None:
    saved_twice(tmp_path)
    told = tmp_path / "told"

    def save_too_much() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        store = RetainStore(tmp_path)
        large = {f"tag{i}": RetainedValue(INT, i) for i in range(1000)}
        for _ in range(3):
            with contextlib.suppress(RetainError):
                store.save(large, LAYOUT)
        try:
            store.save(large, LAYOUT)
        except RetainError as error:
            told.write_text(str(error))

    with process(save_too_much) as child:
        _, status = os.waitpid(child, 0)
    assert status == 0
    restored = RetainStore(tmp_path).load()
    assert restored.values == NEW
    assert "File too large" in told.read_text()
    assert str(tmp_path / FILES[0]) in told.read_text()
    assert RetainStore(tmp_path).save(OLD, LAYOUT) == 3


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(RetainError, match=r"nowhere/retain-a\.bin: No such file or directory"):
        RetainStore(tmp_path / "nowhere").save(NEW, LAYOUT)


def test_a_file_that_cannot_be_read_is_an_error_and_no_first_start(tmp_path: Path) -> None:
    (tmp_path / FILES[0]).mkdir()
    with pytest.raises(RetainError, match="cannot read the retained values"):
        RetainStore(tmp_path).load()


def test_a_wrong_layout_hash_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        RetainStore(tmp_path).save(NEW, b"short")


def test_ten_thousand_values_are_restored(tmp_path: Path) -> None:
    values = {f"area.tag{i}": RetainedValue(TagType(Code.LREAL), i / 3) for i in range(10_000)}
    RetainStore(tmp_path).save(values, LAYOUT)
    types = {name: saved.type for name, saved in values.items()}
    begin = time.perf_counter()
    fitted = fit(RetainStore(tmp_path).load(), types, LAYOUT)
    taken_ms = (time.perf_counter() - begin) * 1000
    print(f"\nretain: 10,000 values restored in {taken_ms:.1f} ms")
    assert len(fitted.values) == 10_000
