"""What people type as a value: taken as the tag holds it, or refused with what it takes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from cellwright.runtime.cell.tag_lookup import parse_value
from cellwright.runtime.cli.live.forces import _beyond_range
from cellwright.runtime.config import check_file
from cellwright.runtime.config.tasks.timing import SHORTEST_BASE_NS
from support.plans import make_tag


@pytest.mark.parametrize("text", ["1e400", "-1e400", "1" * 400, "1" * 400 + ".0"])
@pytest.mark.parametrize("kind", ["REAL", "LREAL"])
def test_a_number_that_no_tag_holds_is_refused_and_does_not_become_infinity(
    kind: str, text: str
) -> None:
    with pytest.raises(ValueError, match=r"larger than any number|so large a number"):
        parse_value(make_tag("level", kind), text)


def test_so_is_one_in_a_list() -> None:
    with pytest.raises(ValueError, match="larger than any number"):
        parse_value(make_tag("levels", "ARRAY[0..1] OF LREAL"), "[1, 1e400]")


def test_infinity_is_a_value_for_whoever_types_it() -> None:
    assert parse_value(make_tag("level", "LREAL"), "-inf") == -math.inf


def test_a_force_beyond_the_range_says_so() -> None:
    tag = make_tag("pressure", "REAL", range=(0.0, 10.0), unit="bar")
    assert _beyond_range(tag, 10.0) == ""
    assert _beyond_range(tag, 10.5) == " (outside its range, 0 to 10 bar)"
    assert _beyond_range(make_tag("free", "REAL"), 1e9) == ""


@pytest.mark.parametrize(("base", "right"), [("1us", False), ("99us", False), ("100us", True)])
def test_a_base_interval_that_no_computer_keeps_is_refused(
    tmp_path: Path, base: str, right: bool
) -> None:
    file = tmp_path / "cell.yaml"
    file.write_text(f"cell: {{name: Fast}}\nscan: {{base: {base}}}\ntags: {{}}\n")
    found = [str(problem) for problem in check_file(file).problems]
    told = [text for text in found if "shorter than the runtime can keep" in text]
    assert bool(told) is not right
    assert SHORTEST_BASE_NS == 100_000
    if told:
        assert f"{file}:2:14: the base interval {base}" in told[0]
        assert "write 100us or more" in told[0]
