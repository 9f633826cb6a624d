"""The YAML reader knows where everything stands and cannot be made to hang."""

from __future__ import annotations

import pytest

from cellwright.io.files.located_yaml import read
from cellwright.io.files.problems import MAX_PROBLEMS, Mark, Problems, nearest
from cellwright.runtime.config import check_file


@pytest.fixture
def load(tmp_path):
    def load(text):
        path = tmp_path / "cell.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        problems = Problems(str(path))
        return read(path, problems), problems.ordered()

    return load


def test_every_key_and_value_knows_its_place(load):
    root, _ = load("cell:\n  name: Bench\n  list: [1, {deep: 2}]\n")
    assert root.at(("cell", "name"), key=True) == Mark(2, 3)
    assert root.at(("cell", "name")) == Mark(2, 9)
    assert root.at(("cell", "list", 1, "deep")) == Mark(3, 20)


def test_a_missing_key_is_placed_at_its_mapping(load):
    root, _ = load("cell:\n  name: Bench\n")
    assert root.at(("cell", "site"), key=True) == Mark(1, 1)


def test_columns_count_characters_and_not_bytes(load):
    root, _ = load('a: {"äöü–😀": 1, b: 2}\n')
    assert root.at(("a", "b"), key=True) == Mark(1, 17)


def test_a_byte_order_mark_moves_no_column(load):
    root, problems = load(b"\xef\xbb\xbfcell: {name: A}\n")
    assert problems == []
    assert root.at(("cell",), key=True) == Mark(1, 1)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("off", "off"),
        ("none", "none"),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-12", -12),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 17),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("'12'", "12"),
        ("10ms", "10ms"),
        (".inf", ".inf"),
        ("2026-11-20", "2026-11-20"),
    ],
)
def test_plain_scalars_follow_the_core_schema_of_yaml_1_2(load, text, value):
    root, _ = load(f"a: {text}\n")
    found = root.plain()["a"]
    assert found == value
    assert type(found) is type(value)


def test_merge_keys_give_way_to_keys_of_the_mapping_itself(load):
    root, problems = load("a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: [*a, *b], x: 0}\n")
    assert problems == []
    assert root.plain()["c"] == {"x": 0, "y": 2, "z": 4}


def test_all_equal_keys_are_told_with_the_line_of_the_first(load):
    _, problems = load("a: 1\nb: 2\na: 3\na: 4\n")
    assert [(p.line, p.column) for p in problems] == [(3, 1), (4, 1)]
    assert all("line 1 has it already" in p.why for p in problems)


@pytest.mark.parametrize(
    "text",
    ['a: "\\UFFFFFFFF"', 'a: "\\U00110000"', "%YAML 1.x\n---\na: 1", "a: \x07"],
)
def test_what_the_yaml_library_stumbles_over_is_one_complaint(load, text):
    root, problems = load(text)
    assert root is None
    assert len(problems) == 1


def test_a_folder_and_a_missing_file_are_complaints(tmp_path):
    for path in (tmp_path, tmp_path / "none.yaml"):
        problems = Problems(str(path))
        assert read(path, problems) is None
        (problem,) = problems.found
        assert (problem.line, problem.column) == (1, 1)
        assert "cellwright init" in problem.remedy


def test_a_huge_file_is_refused_unread(load):
    root, (problem,) = load(b"a: 1\n" * (1 << 20))
    assert root is None
    assert problem.what == "the file is too large"


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1_000_000,
        "? " * 100_000,
        "a: &a [" + "1, " * 1000 + "]\nb: [" + "*a, " * 5000 + "]\n",
        "a: &a [[[[[[[[[[1]]]]]]]]]]\nb: &b [[[[[[[[[[*a]]]]]]]]]]\nc: [[[[[[*b]]]]]]\n",
    ],
    ids=["brackets", "question marks", "wide aliases", "deep aliases"],
)
def test_bombs_are_refused_with_one_complaint(load, text):
    root, problems = load(text)
    assert root is None
    assert len(problems) == 1


def test_a_file_full_of_errors_gives_a_bounded_list_of_them(tmp_path):
    path = tmp_path / "cell.yaml"
    path.write_text(
        "cell: {name: A}\nscan: {base: 10ms}\ntags:\n"
        + "".join(f"  tag_{number}: {{type: INTT, memory: true}}\n" for number in range(2000))
    )
    report = check_file(path)
    assert report.plan is None
    assert len(report.problems) == MAX_PROBLEMS


def test_a_suggestion_names_the_nearest_or_lists_what_there_is():
    assert nearest("retian", ["retain", "range"]) == "did you mean 'retain'?"
    assert nearest("IO", ["io"]) == "did you mean 'io'?"
    assert nearest("zzz", ["b", "a"]) == "known are a, b"
    assert nearest("zzz", []) == "none is declared"
    many = [f"tag_{number}" for number in range(5000)]
    assert nearest("vavle_open", [*many, "valve_open"]) == "did you mean 'valve_open'?"
