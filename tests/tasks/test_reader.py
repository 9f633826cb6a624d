"""Reading drawn dot-peen marks: what is read, where it is found, and what is never read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cellwright.tasks.symbology.data_matrix import modules
from cellwright.tasks.vision.reader import read_marks, shrink, soften
from support.campaign import examples
from tasks.marks import Look, draw, empty

CONTENT = "1AB23/B-17/S000123"


@pytest.mark.parametrize("module", [6, 9, 14, 20])
@pytest.mark.parametrize("fill", [0.75, 0.9, 1.0])
def test_dot_peen_marks_on_brushed_metal_are_read(module: float, fill: float) -> None:
    for seed in range(2):
        look = Look(module=module, fill=fill, rotation_deg=(-4.0, 3.0)[seed])
        [found] = read_marks(draw(CONTENT, look, seed).gray)
        assert found.text == CONTENT
        assert found.size == modules(CONTENT).shape
        assert found.format == "Data Matrix"
        assert 0 <= found.unused_error_correction <= 1


@pytest.mark.parametrize("rotation", [0, 45, 90, 135, 180, 250, 315])
def test_marks_are_read_in_any_direction(rotation: float) -> None:
    [found] = read_marks(draw(CONTENT, Look(rotation_deg=rotation), 3).gray)
    assert found.text == CONTENT


@pytest.mark.parametrize(
    "look",
    [
        Look(invert=True, background=80),
        Look(highlight=0.6),
        Look(noise=12, texture=15),
        Look(gradient=60),
        Look(contrast=45),
        Look(jitter=0.08),
        Look(blur=3.0),
    ],
    ids=["light dots", "highlights", "noise", "gradient", "contrast", "jitter", "blur"],
)
def test_hard_looks_are_read(look: Look) -> None:
    for seed in range(3):
        [found] = read_marks(draw(CONTENT, look, seed).gray)
        assert found.text == CONTENT


def test_corners_are_in_frame_pixels_from_the_top_left() -> None:
    drawn = draw(CONTENT, Look(module=14, rotation_deg=10), 1, centre=(400, 300))
    [found] = read_marks(drawn.gray)
    assert np.abs(found.quad - drawn.quad).max() < 1.5 * 14


def test_metal_without_a_mark_gives_no_reading() -> None:
    for seed in range(6):
        look = Look(texture=5 + 4 * seed, noise=2 + 2 * seed)
        assert read_marks(empty(look, seed)) == []


def test_a_mark_outside_the_frame_is_not_invented() -> None:
    assert read_marks(draw(CONTENT, Look(), 1, centre=(1275, 500)).gray) == []


@examples(25)
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=90)))
def test_any_frame_of_any_size_is_survived(gray: np.ndarray) -> None:
    assert isinstance(read_marks(gray), list)


@pytest.mark.parametrize(
    "frame", [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float64), np.zeros(4, np.uint8)]
)
def test_another_type_of_frame_is_refused(frame: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8"):
        read_marks(frame)


@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=4, max_side=12)),
    st.integers(2, 4),
)
def test_shrinking_takes_the_mean_of_a_square(gray: np.ndarray, factor: int) -> None:
    height, width = gray.shape[0] // factor, gray.shape[1] // factor
    part = gray[: factor * height, : factor * width].astype(int)
    blocks = part.reshape(height, factor, width, factor)
    assert np.array_equal(shrink(gray, factor), blocks.sum(axis=(1, 3)) // factor**2)


@given(hnp.arrays(np.uint8, (6, 7)))
def test_softening_is_the_binomial_filter(gray: np.ndarray) -> None:
    kernel = np.outer([1, 2, 1], [1, 2, 1])
    soft = soften(gray)
    for row in range(1, 5):
        for column in range(1, 6):
            around = gray[row - 1 : row + 2, column - 1 : column + 2].astype(int)
            assert soft[row, column] == (around * kernel).sum() // 16
    assert soft[0, 0] == gray[0, 0]


@given(st.integers(0, 255))
def test_softening_keeps_an_even_surface(level: int) -> None:
    assert (soften(np.full((5, 5), level, np.uint8)) == level).all()
