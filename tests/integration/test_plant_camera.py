"""What the plant's camera shows, read by zxing-cpp after a light blur as an independent oracle."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from random import Random

import numpy as np
import numpy.typing as npt
import pytest
import zxingcpp

from plant import PlantProcess, symbol
from plant.hand import Hand
from plant.render import PX_PER_MM, Renderer, View
from plant.symbol import PITCH_MM, Dot

MODULE_PX = PITCH_MM * PX_PER_MM
CONTENTS = ("SN-2025-000417", "[)>\x1e06\x1d17V1AB23\x1d1P99887\x1dS00012\x1e\x04")


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(1280, 1024, 1)


def blur(gray: npt.NDArray[np.uint8], sigma: float) -> npt.NDArray[np.uint8]:
    """Separable Gaussian."""
    reach = int(3 * sigma) + 1
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2).astype(np.float32)
    kernel /= kernel.sum()
    padded = np.pad(gray.astype(np.float32), reach, mode="edge")
    rows = sum(k * padded[:, i : i + gray.shape[1]] for i, k in enumerate(kernel))
    both = sum(k * rows[i : i + gray.shape[0]] for i, k in enumerate(kernel))
    return np.asarray(both).astype(np.uint8)


def read(gray: npt.NDArray[np.uint8]) -> list[str]:
    """Contents of all Data Matrix symbols after a blur of 0.3 modules."""
    found = zxingcpp.read_barcodes(blur(gray, 0.3 * MODULE_PX), zxingcpp.BarcodeFormat.DataMatrix)
    return [barcode.bytes.decode() for barcode in found]


def view(dots: Sequence[Dot], seed: int) -> View:
    """A blade laid down as blades are."""
    random = Random(seed)
    shift = (random.uniform(-0.8, 0.8), random.uniform(-0.8, 0.8))
    return View(seed, random.uniform(-2, 2), *shift, dots)


@pytest.mark.parametrize("fill", [0.8, 0.9, 1.0])
def test_good_marks_read_as_what_was_peened(renderer: Renderer, fill: float) -> None:
    for seed in range(6):
        content = CONTENTS[seed % 2]
        dots = symbol.plan(content, ("SN 00012", "P 99887"), fill, seed)
        assert read(renderer.render(view(dots, seed), seed)) == [content]


def test_a_mark_of_a_pin_that_stopped_does_not_read_as_the_content(renderer: Renderer) -> None:
    for seed in range(6):
        content = CONTENTS[seed % 2]
        dots = symbol.plan(content, (), 0.9, seed, missing_pin=True)
        assert content not in read(renderer.render(view(dots, seed), seed))


def test_a_wrong_dot_is_corrected_by_the_reader_and_really_wrong(renderer: Renderer) -> None:
    for seed in range(4):
        good = symbol.plan(CONTENTS[0], (), 0.9, seed)
        wrong = symbol.plan(CONTENTS[0], (), 0.9, seed, wrong_dot=True)
        assert places(good) != places(wrong)
        assert len(places(good) ^ places(wrong)) == 2
        assert read(renderer.render(view(wrong, seed), seed)) == [CONTENTS[0]]


def places(dots: Sequence[Dot]) -> set[tuple[int, int]]:
    """Modules on which the dots lie; symbols have an even number of modules."""
    return {(round(dot.y / PITCH_MM - 0.5), round(dot.x / PITCH_MM - 0.5)) for dot in dots}


def test_an_empty_nest_and_an_unmarked_blade_show_no_symbol(renderer: Renderer) -> None:
    nest = renderer.render(None, 1)
    blade = renderer.render(view((), 3), 2)
    assert nest.shape == blade.shape == (1024, 1280)
    assert blade.mean() > nest.mean() + 50
    assert read(nest) == read(blade) == []


def test_two_exposures_of_a_blade_differ_by_noise_only(renderer: Renderer) -> None:
    dots = symbol.plan(CONTENTS[0], (), 0.9, 1)
    first, second = (renderer.render(view(dots, 1), frame).astype(int) for frame in (1, 2))
    difference = np.abs(first - second)
    assert 0 < difference.mean() < 10


def test_dots_outside_the_picture_are_not_drawn_and_do_no_harm(renderer: Renderer) -> None:
    dots = [Dot(x, y, 0.5) for x in (-30.0, 0.0, 30.0) for y in (-30.0, 0.0, 30.0)]
    frame = renderer.render(view(dots, 5), 1).astype(int)
    bare = renderer.render(view((), 5), 1).astype(int)
    assert 0 < np.count_nonzero(np.abs(frame - bare) > 60) < (0.5 * PX_PER_MM * 1.3) ** 2


def test_the_camera_shows_what_was_peened_and_only_when_triggered() -> None:
    faults = ("missing_pin@2", "wrong_content@3")
    with PlantProcess(speed=20, faults=faults) as plant, Hand(plant) as hand:
        for number in (1, 2, 3):
            content = f"SN-2025-{number:06d}"
            hand.clamp_next()
            assert read(hand.look().gray) == []
            before = time.time_ns()
            hand.mark(content, content)
            frame = hand.look()
            assert before < frame.utc_ns < time.time_ns()
            marked = plant.wait_for("marked", part=number)
            expected = [] if number == 2 else [marked["content"]]
            assert read(frame.gray) == expected
            assert (expected == [content]) == (number == 1)
            framed = plant.wait_for("framed", frame=frame.number)
            assert (framed["part"], framed["dots"]) == (number, marked["dots"])
            hand.release(good=number == 1)
        assert plant.status()["events"]["framed"] == 6


@pytest.mark.realtime
def test_figures_of_drawing_a_frame(renderer: Renderer) -> None:
    dots = symbol.plan(CONTENTS[1], ("SN 00012", "P 99887"), 0.9, 1)
    times = []
    for frame in range(20):
        begin = time.perf_counter_ns()
        gray = renderer.render(view(dots, frame), frame)
        times.append((time.perf_counter_ns() - begin) / 1e6)
    print(f"drawing 1280 x 1024: median {statistics.median(times):.1f} ms, max {max(times):.1f} ms")
    assert gray.dtype == np.uint8
