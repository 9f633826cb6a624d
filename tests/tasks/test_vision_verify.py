"""The verdict: every wrong module is found, and no good mark is rejected."""

from __future__ import annotations

import numpy as np
import pytest
import zxingcpp
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from cellwright.tasks.symbology.data_matrix import SymbolError, modules
from cellwright.tasks.vision.grid import centres, fit_grid
from cellwright.tasks.vision.reader import read_marks
from cellwright.tasks.vision.verify import Limits, MarkVerdict, Verification, verify
from support.campaign import examples
from tasks.marks import Drawn, Look, draw, empty

CONTENT = "1AB23/B-17/S000123"
SIDE = len(modules(CONTENT))


def judge(drawn: Drawn, expected: str = CONTENT, limits: Limits | None = None) -> Verification:
    return verify(drawn.gray, read_marks(drawn.gray), expected, limits)


@pytest.mark.parametrize("module", [6, 10, 14, 22])
@pytest.mark.parametrize("fill", [0.75, 0.9, 1.0])
def test_a_good_mark_is_ok_with_no_wrong_module(module: float, fill: float) -> None:
    found = judge(draw(CONTENT, Look(module=module, fill=fill, rotation_deg=2), 1))
    assert found.verdict is MarkVerdict.OK, found
    assert (found.read, found.module_errors, found.unused_error_correction) == (CONTENT, 0, 1.0)
    assert found.reason == ""


@examples(25, suppress_health_check=list(HealthCheck))
@given(
    st.integers(0, SIDE - 1),
    st.integers(0, SIDE - 1),
    st.sampled_from([8.0, 14.0]),
    st.sampled_from([0.78, 0.95]),
    st.sampled_from([-3.0, 1.0, 95.0]),
)
def test_one_missing_or_wrong_dot_is_found_wherever_it_is(
    row: int, column: int, module: float, fill: float, rotation: float
) -> None:
    look = Look(module=module, fill=fill, rotation_deg=rotation)
    drawn = draw(CONTENT, look, row * SIDE + column, flip=((row, column),), size=(640, 512))
    found = judge(drawn)
    assert found.verdict is not MarkVerdict.OK
    if found.read:
        assert (found.verdict, found.wrong_modules) == (MarkVerdict.NOT_OK, ((row, column),))
        assert f"({row}, {column})" in found.reason


def test_as_many_wrong_modules_as_allowed_are_accepted() -> None:
    drawn = draw(CONTENT, Look(), 2, flip=((5, 5), (9, 12)))
    assert judge(drawn, limits=Limits(max_module_errors=2)).verdict is MarkVerdict.OK
    found = judge(drawn, limits=Limits(max_module_errors=1))
    assert (found.verdict, found.module_errors) == (MarkVerdict.NOT_OK, 2)


def test_too_little_unused_error_correction_is_rejected() -> None:
    drawn = draw(CONTENT, Look(), 2, flip=((5, 5), (9, 12)))
    limits = Limits(max_module_errors=5, min_unused_error_correction=0.95)
    found = judge(drawn, limits=limits)
    assert found.verdict is MarkVerdict.NOT_OK
    assert "unused error correction" in found.reason
    assert found.unused_error_correction is not None
    assert found.unused_error_correction < 0.95


def test_another_content_is_rejected_and_both_are_named() -> None:
    found = judge(draw("1AB23/B-17/S000124", Look(), 3))
    assert found.verdict is MarkVerdict.NOT_OK
    assert "S000124" in found.reason
    assert "S000123" in found.reason


def test_no_reading_is_not_decidable() -> None:
    gray = empty(Look(), 4)
    found = verify(gray, read_marks(gray), CONTENT)
    assert (found.verdict, found.reason) == (MarkVerdict.NOT_DECIDABLE, "no symbol was read")


def test_light_dots_on_dark_metal_are_compared_as_well() -> None:
    look = Look(invert=True, background=80)
    assert judge(draw(CONTENT, look, 5)).verdict is MarkVerdict.OK
    found = judge(draw(CONTENT, look, 5, flip=((7, 3),)))
    assert found.wrong_modules == ((7, 3),)


def test_a_mirrored_mark_is_compared_as_well() -> None:
    drawn = draw(CONTENT, Look(), 6, flip=((7, 3),))
    mirrored = np.ascontiguousarray(drawn.gray[:, ::-1])
    found = verify(mirrored, read_marks(mirrored), CONTENT)
    assert found.wrong_modules == ((7, 3),)


def other_codewords() -> np.ndarray:
    """CONTENT in base 256 encodation, as a controller with an encoder of its own may choose."""
    barcode = zxingcpp.create_barcode(
        CONTENT.encode(), zxingcpp.BarcodeFormat.DataMatrix, force_square=True
    )
    encoded = np.array(barcode.to_image(scale=1, add_quiet_zones=False)) == 0
    assert encoded.shape == (SIDE, SIDE)
    assert np.mean(encoded != modules(CONTENT)) > 0.3
    return encoded


def test_the_same_text_in_other_codewords_is_ok_when_nothing_is_wrong() -> None:
    found = judge(draw(CONTENT, Look(), 7, encoded=other_codewords()))
    assert (found.verdict, found.module_errors) == (MarkVerdict.OK, 0), found


@pytest.mark.parametrize("place", [(9, 9), (3, 14), (0, 5), (8, 0), (SIDE - 1, 7), (6, SIDE - 1)])
def test_one_wrong_dot_is_found_in_other_codewords_too(place: tuple[int, int]) -> None:
    found = judge(draw(CONTENT, Look(), 7, encoded=other_codewords(), flip=(place,)))
    assert (found.verdict, found.module_errors) == (MarkVerdict.NOT_OK, 1), found


def test_a_symbol_of_another_size_is_rejected() -> None:
    barcode = zxingcpp.create_barcode("AB" * 10, zxingcpp.BarcodeFormat.DataMatrix)
    small = np.array(barcode.to_image(scale=8))
    gray = np.full((512, 640), 255, np.uint8)
    gray[100 : 100 + small.shape[0], 100 : 100 + small.shape[1]] = small
    found = verify(gray, read_marks(gray), "AB" * 10)
    assert small.shape[0] != small.shape[1]
    assert found.verdict is MarkVerdict.NOT_OK
    assert "modules" in found.reason


def test_too_little_contrast_is_not_decidable() -> None:
    drawn = draw(CONTENT, Look(), 8)
    [reading] = read_marks(drawn.gray)
    flat = np.full_like(drawn.gray, 128)
    found = verify(flat, [reading], CONTENT)
    assert found.verdict is MarkVerdict.NOT_DECIDABLE
    assert "contrast" in found.reason


def test_an_order_that_cannot_be_a_symbol_is_an_error_of_the_caller() -> None:
    with pytest.raises(SymbolError):
        verify(empty(), [], "")


def test_the_grid_is_fitted_from_corners_that_are_half_a_module_off() -> None:
    drawn = draw(CONTENT, Look(module=14, rotation_deg=5), 9)
    rng = np.random.default_rng(1)
    for _ in range(5):
        start = drawn.quad + rng.uniform(-7, 7, (4, 2))
        fit = fit_grid(drawn.gray, start, drawn.modules)
        assert np.array_equal(fit.dark, drawn.modules)
        assert np.abs(fit.quad - drawn.quad).max() < 0.4 * 14


@given(st.integers(2, 30))
def test_module_centres_of_a_square_are_evenly_spaced(side: int) -> None:
    quad = np.array([(0, 0), (side, 0), (side, side), (0, side)], float)
    x, y = centres(quad, side)
    assert np.allclose(x[0], np.arange(side) + 0.5)
    assert np.allclose(y[:, 0], np.arange(side) + 0.5)
    assert np.allclose(x, y.T)
