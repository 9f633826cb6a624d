"""Whatever is in the file, the compiler answers with a plan or with complaints inside the file."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.plan import plan as plans
from cellwright.runtime.config import check_file
from support.config_corpus import BROKEN, copy_bench

PIECES = [
    *(b": - [ ] { } , # & * ! | > ' \" % @ ` ~ < \n \r \t \\ / . 0 1 - _".split(b" ")),
    b"\n",
    b"  ",
    b"\t",
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    "\u2028".encode(),
    "ü".encode(),
    b"<<: *word",
    b"&a",
    b"*a",
    b"*word",
    b"!!str",
    b"---\n",
    b"...\n",
    b"? ",
    b"null",
    b"true",
    b"99999999999999999999999999",
    b"1e999",
    b"-1",
    b"0x",
    b"[0]",
    b"sys.cycle",
    b"STRING(0)",
    b"10ms",
]


@st.composite
def mutations(draw, size):
    """Edits of a text of ``size`` bytes: (start, end, replacement) or two lines to swap."""
    place = st.integers(0, size)
    edit = st.tuples(
        place, st.integers(0, 12), st.one_of(st.sampled_from(PIECES), st.binary(max_size=6))
    )
    swap = st.tuples(place, place)
    return draw(st.lists(st.one_of(edit, swap), min_size=1, max_size=4))


def mutate(data: bytes, edits) -> bytes:
    for edit in edits:
        if len(edit) == 2:
            lines = data.split(b"\n")
            one, two = edit[0] % len(lines), edit[1] % len(lines)
            lines[one], lines[two] = lines[two], lines[one]
            data = b"\n".join(lines)
        else:
            start, length, piece = edit
            data = data[:start] + piece + data[start + length :]
    return data


def assert_answer(path, data: bytes) -> None:
    path.write_bytes(data)
    report = check_file(path)
    assert (report.plan is None) == any(p.severity == "error" for p in report.problems)
    lines = re.split("\r\n|\r|\n", data.decode("utf-8", "replace"))
    for problem in report.problems:
        assert 1 <= problem.line <= len(lines)
        # The byte order mark is no character of the first line.
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
        assert "\n" not in str(problem)
        assert str(problem).encode("utf-8")
    if report.plan is not None:
        assert plans.load(plans.dump(report.plan)) == report.plan


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return copy_bench(tmp_path_factory.mktemp("bench"))


GOOD = (BROKEN.parent / "cells" / "bench" / "cell.yaml").read_bytes()


@given(mutations(len(GOOD)))
def test_a_mutated_cell_gives_a_plan_or_complaints_inside_the_file(bench, edits):
    assert_answer(bench.with_name("mutated.yaml"), mutate(GOOD, edits))


SMALL = (BROKEN / "bind_to_unknown_tag.yaml").read_bytes()


@given(mutations(len(SMALL)))
def test_a_mutated_broken_cell_gives_complaints_inside_the_file(bench, edits):
    assert_answer(bench.with_name("mutated.yaml"), mutate(SMALL, edits))


@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")),
    )
)
def test_any_bytes_at_all_give_complaints_inside_the_file(bench, data):
    assert_answer(bench.with_name("bytes.yaml"), data)


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=True),
        st.sampled_from(["io.coils[0]", "10ms", "INT", "hold", "press", "part_present", "a b", ""]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["type", "in", "raw", "eng", "x"]), inner, max_size=3),
    ),
    max_leaves=6,
)


def flow(value) -> str:
    """A value as YAML flow text."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    if value is None:
        return "null"
    if isinstance(value, str):
        return f'"{value}"'
    return str(value).lower()


PLACES = sorted(set(re.findall(rb"(?<=: )[^\s{},\[\]#\"]+(?=[,}\n])", GOOD)))


@given(st.sampled_from(PLACES), VALUES)
def test_any_value_at_any_key_gives_a_plan_or_complaints(bench, place, value):
    data = GOOD.replace(b": " + place, b": " + flow(value).encode(), 1)
    assert_answer(bench.with_name("values.yaml"), data)
