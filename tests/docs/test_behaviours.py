"""The page of behaviours names the tests that prove them, as they are now."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import behaviours

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def folder_with(tmp_path: Path, decorator: str) -> Path:
    text = f"import pytest\n\n@{decorator}\nasync def test_it():\n    pass\n"
    (tmp_path / "test_one.py").write_text(text)
    return tmp_path


def test_the_page_of_behaviours_is_what_the_marked_tests_say_now():
    page = (REFERENCE / behaviours.PAGE).read_text(encoding="utf-8")
    assert page == behaviours.page(behaviours.marks()), "run: make docs"


def test_no_test_claims_a_behaviour_that_is_not_on_the_list():
    assert behaviours.unknown(behaviours.marks()) == []


def test_each_behaviour_has_a_test():
    proved = {mark.number for mark in behaviours.marks()}
    assert set(range(1, len(behaviours.BEHAVIOURS) + 1)) - proved == set()


def test_each_behaviour_is_one_paragraph_and_has_a_row_with_its_tests():
    page = behaviours.page(behaviours.marks())
    assert len(behaviours.BEHAVIOURS) == len(set(behaviours.BEHAVIOURS)) == 22
    for number, sentence in enumerate(behaviours.BEHAVIOURS, 1):
        assert "|" not in sentence
        assert page.count(f"| {number} | {sentence} |") == 1


def test_marks_are_read_from_the_files_with_name_and_place(tmp_path: Path):
    folder = folder_with(tmp_path, "pytest.mark.behaviour(3, 6)")
    found = behaviours.marks(folder)
    assert [(mark.number, mark.test, mark.file.name, mark.line) for mark in found] == [
        (3, "test_it", "test_one.py", 3),
        (6, "test_it", "test_one.py", 3),
    ]
    row = "| `test_it` | [test_one.py](../../tests/test_one.py) |"
    assert behaviours.page(found, folder).count(row) == 2


@pytest.mark.parametrize(
    "decorator",
    ["pytest.mark.behaviour", "pytest.mark.behaviour()", "pytest.mark.behaviour('6')"],
)
def test_a_mark_without_a_number_is_refused_with_its_place(tmp_path: Path, decorator: str):
    with pytest.raises(behaviours.MarkError, match=r"test_one.py:3: .*write its number"):
        behaviours.marks(folder_with(tmp_path, decorator))


@pytest.mark.parametrize("number", [0, 23])
def test_a_number_that_no_behaviour_has_is_told_with_its_place(tmp_path: Path, number: int):
    found = behaviours.marks(folder_with(tmp_path, f"pytest.mark.behaviour({number})"))
    (told,) = behaviours.unknown(found)
    assert f"test_one.py:3: there is no behaviour {number}" in told
