"""Data Matrix symbols: their structure, and that they hold what they should."""

from __future__ import annotations

import numpy as np
import pytest
import zxingcpp
from hypothesis import given
from hypothesis import strategies as st

from cellwright.tasks.symbology.data_matrix import MAX_MODULES, SymbolError, modules

#: ISO/IEC 16022, table 7: sides of the square ECC 200 symbols.
SIDES = {10, 12, 14, 16, 18, 20, 22, 24, 26, 32, 36, 40, 44, 48, 52, 64, 72, 80, 88, 96, 104, 120,
         132, 144}  # fmt: skip
CONTENTS = st.text(st.characters(min_codepoint=1, max_codepoint=127), min_size=1, max_size=120)


def read_back(matrix: np.ndarray) -> str:
    image = np.kron(np.where(np.pad(matrix, 3), 0, 255), np.ones((6, 6))).astype(np.uint8)
    [found] = zxingcpp.read_barcodes(image, text_mode=zxingcpp.TextMode.Plain)
    return found.text


@given(CONTENTS)
def test_every_content_makes_a_square_symbol_with_its_finder_that_reads_back(content: str) -> None:
    matrix = modules(content)
    side = len(matrix)
    assert matrix.shape == (side, side)
    assert side in SIDES
    assert matrix[:, 0].all()
    assert matrix[-1].all()
    assert matrix[0, ::2].all()
    assert not matrix[0, 1::2].any()
    assert matrix[1::2, -1].all()
    assert not matrix[0::2, -1].any()
    assert read_back(matrix) == content


def test_a_known_symbol_has_its_known_modules() -> None:
    """ "123456" is 10 x 10; codewords 142 164 186 114 25 5 88 102 (ISO/IEC 16022, annex O)."""
    rows = [
        "1010101010",
        "1100101101",
        "1100000100",
        "1100011101",
        "1100001000",
        "1000001111",
        "1110110000",
        "1111011001",
        "1001110100",
        "1111111111",
    ]
    expected = np.array([[cell == "1" for cell in row] for row in rows])
    assert np.array_equal(modules("123456"), expected)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [("", "empty"), ("Größe", "ASCII only"), ("x" * 5000, "shorten the content")],
)
def test_content_that_no_symbol_holds_is_refused_with_the_reason(
    content: str, complaint: str
) -> None:
    with pytest.raises(SymbolError, match=complaint):
        modules(content)


def test_the_modules_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValueError, match="read-only"):
        modules("S1")[0, 0] = False


def test_the_largest_symbol_is_144_modules() -> None:
    assert len(modules("7" * 3000)) == MAX_MODULES
