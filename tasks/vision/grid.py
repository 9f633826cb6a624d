"""Fits a symbol's module grid to a frame and samples the modules.

Called by `verify` with a reading's corners, which are good to about half a module, and the modules
that should be there. It measures; what a difference means is decided elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from cellwright.tasks.vision.reader import Gray, Quad

Floats = npt.NDArray[np.float64]
Modules = npt.NDArray[np.bool_]

APERTURE: Final = 0.5
"""Side of the square over which a module is averaged, in modules."""
_STEPS: Final = (0.5, 0.25, 0.12, 0.06, 0.03)
"""Corner movements tried one after another, in modules."""
_ORDERS: Final = (
    *((0, 1, 2, 3), (1, 2, 3, 0), (2, 3, 0, 1), (3, 0, 1, 2)),
    *((0, 3, 2, 1), (3, 2, 1, 0), (2, 1, 0, 3), (1, 0, 3, 2)),
)
_RESEMBLES: Final = 0.4
"""Least correlation of a symbol with the pattern that it shows, before the grid is fitted."""
_ROUNDS: Final = 3
"""Fits of a symbol of unknown codewords, each to what the one before has shown."""
_MARGIN: Final = 2.0
"""Border of the crop around the symbol, in modules."""


@dataclass(frozen=True, slots=True)
class GridFit:
    """A fitted grid: ``values`` float64[n, n] mean grey of each module, ``dark`` bool[n, n]."""

    quad: Quad
    values: Floats
    dark: Modules
    margin: Floats
    """Distance of each module from the threshold: 1 is the mean of its kind, 0 undecidable."""
    contrast: float
    """Mean light minus mean dark module, grey levels; negative for light dots on a dark ground."""
    noise: float
    """Standard deviation of the modules around the mean of their kind, grey levels."""


def fit_grid(gray: Gray, quad: Quad, wanted: Modules) -> GridFit:
    """Refine ``quad`` (see `MarkReading.quad`) until ``wanted`` bool[n, n] is seen best.

    When less than three quarters of the modules agree with ``wanted`` at first, the grid is
    fitted to what is there instead, so that a symbol of other codewords is sampled correctly too.
    """
    side = wanted.shape[0]
    crop = _Crop(gray, quad, side)
    pattern = wanted
    _, dark, _ = _classify(crop.sample(quad, side), wanted)
    if np.mean(dark == wanted) >= 0.75:
        quad = _refine(crop, quad, pattern)
    else:
        mask, known = finder_mask(side), finder(side)
        for _ in range(_ROUNDS):
            pattern = np.where(mask, known, dark)
            quad = _refine(crop, quad, pattern)
            _, dark, _ = _classify(crop.sample(quad, side), pattern)
    values = crop.sample(quad, side)
    threshold, dark, contrast = _classify(values, pattern)
    half = contrast / 2 if contrast else 1.0
    margin = np.abs(values - threshold) / abs(half)
    sign = np.where(dark, -1.0, 1.0)
    noise = float(np.std(values - threshold - sign * half))
    return GridFit(quad, values, dark, margin, contrast, noise)


def orient(gray: Gray, quad: Quad, wanted: Modules) -> Quad:
    """``quad`` with its corners in the order in which ``wanted`` bool[n, n] is seen best.

    Decoders differ in which corner they call the first, in particular for mirrored symbols. A
    symbol of other codewords resembles ``wanted`` in no order; its corners stay as they are.
    """
    side = len(wanted)
    crop = _Crop(gray, quad, side)
    signs = _signs(wanted)
    best, found = _RESEMBLES, quad
    for order in _ORDERS:
        turned = quad[list(order)]
        score = _score(crop.sample(turned, side), signs)
        if score > best:
            best, found = score, turned
    return found


class _Crop:
    """The part of a frame around a symbol under a box filter, sampled bilinearly."""

    def __init__(self, gray: Gray, quad: Quad, side: int) -> None:
        edges = np.linalg.norm(np.roll(quad, -1, axis=0) - quad, axis=1)
        module = float(edges.mean()) / side
        height, width = gray.shape
        low = np.floor(quad.min(axis=0) - _MARGIN * module).astype(int)
        high = np.ceil(quad.max(axis=0) + _MARGIN * module).astype(int) + 1
        x0, y0 = np.clip(low, 0, (width - 2, height - 2))
        x1, y1 = np.clip(high, (x0 + 2, y0 + 2), (width, height))
        self._origin = np.array((x0, y0), np.float64)
        self._box = _box(gray[y0:y1, x0:x1], round(APERTURE * module / 2 - 0.25))

    def sample(self, quad: Quad, side: int) -> Floats:
        """Mean grey at the module centres, float64[side, side]."""
        x, y = centres(quad - self._origin, side)
        height, width = self._box.shape
        x = np.clip(x, 0, width - 1.001)
        y = np.clip(y, 0, height - 1.001)
        column, row = x.astype(np.intp), y.astype(np.intp)
        right, down = x - column, y - row
        flat = self._box.ravel()
        place = row * width + column
        upper = flat[place] * (1 - right) + flat[place + 1] * right
        place += width
        lower = flat[place] * (1 - right) + flat[place + 1] * right
        result: Floats = upper * (1 - down) + lower * down
        return result


def _box(gray: Gray, radius: int) -> npt.NDArray[np.float32]:
    """Mean over (2 radius + 1) squared pixels, by an integral image; borders repeat."""
    if radius <= 0:
        return gray.astype(np.float32)
    padded = np.pad(gray, radius, mode="edge")
    integral = np.zeros((padded.shape[0] + 1, padded.shape[1] + 1), np.int64)
    np.cumsum(np.cumsum(padded, axis=0, dtype=np.int64), axis=1, out=integral[1:, 1:])
    span = 2 * radius + 1
    total = (
        integral[span:, span:]
        - integral[:-span, span:]
        - integral[span:, :-span]
        + integral[:-span, :-span]
    )
    return (total / (span * span)).astype(np.float32)


def homography(quad: Quad) -> Floats:
    """The 3 x 3 map from the unit square to ``quad`` (top left, top right, bottom right, ...)."""
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = quad
    dx1, dx2, dx3 = x1 - x2, x3 - x2, x0 - x1 + x2 - x3
    dy1, dy2, dy3 = y1 - y2, y3 - y2, y0 - y1 + y2 - y3
    area = dx1 * dy2 - dx2 * dy1
    if abs(area) < 1e-9:
        raise ValueError("the corners of the symbol lie on one line")
    g = (dx3 * dy2 - dx2 * dy3) / area
    h = (dx1 * dy3 - dx3 * dy1) / area
    return np.array(
        [
            [x1 - x0 + g * x1, x3 - x0 + h * x3, x0],
            [y1 - y0 + g * y1, y3 - y0 + h * y3, y0],
            [g, h, 1.0],
        ]
    )


def centres(quad: Quad, side: int) -> tuple[Floats, Floats]:
    """x and y of the module centres, float64[side, side] each."""
    matrix = homography(quad)
    steps = (np.arange(side) + 0.5) / side
    u, v = steps[None, :], steps[:, None]
    depth = matrix[2, 0] * u + matrix[2, 1] * v + 1.0
    x: Floats = (matrix[0, 0] * u + matrix[0, 1] * v + matrix[0, 2]) / depth
    y: Floats = (matrix[1, 0] * u + matrix[1, 1] * v + matrix[1, 2]) / depth
    return x, y


def finder_mask(side: int) -> Modules:
    """Where the outer finder lies, bool[side, side]."""
    mask = np.zeros((side, side), bool)
    mask[0] = mask[-1] = True
    mask[:, 0] = mask[:, -1] = True
    return mask


def finder(side: int) -> Modules:
    """Outer finder of a Data Matrix (ISO/IEC 16022, 5.2): bars left and below, clock the rest."""
    pattern = np.zeros((side, side), bool)
    pattern[0, ::2] = True
    pattern[1::2, -1] = True
    pattern[:, 0] = pattern[-1] = True
    return pattern


def _signs(pattern: Modules) -> Floats:
    """The pattern with mean 0 and power 1, light modules positive."""
    signs: Floats = np.where(pattern, -1.0, 1.0)
    signs -= signs.mean()
    signs /= np.sqrt((signs * signs).sum())
    return signs


def _score(values: Floats, signs: Floats) -> float:
    """Correlation of the modules with the pattern, either polarity."""
    centred = values - values.mean()
    power = float(np.sqrt((centred * centred).sum()))
    return abs(float((centred * signs).sum())) / power if power > 0 else 0.0


def _refine(crop: _Crop, quad: Quad, pattern: Modules) -> Quad:
    """Move corners, one at a time and all together, as long as the correlation rises."""
    side = pattern.shape[0]
    signs = _signs(pattern)
    across = (quad[1] - quad[0] + quad[2] - quad[3]) / (2 * side)
    down = (quad[3] - quad[0] + quad[2] - quad[1]) / (2 * side)
    best = _score(crop.sample(quad, side), signs)
    everyone = np.ones((4, 1))
    groups = [everyone] + [np.eye(4)[:, [corner]] for corner in range(4)]
    for step in _STEPS:
        for _ in range(4):
            moved = False
            for group in groups:
                for shift in (across, down, -across, -down):
                    candidate = quad + group * (shift * step)
                    score = _score(crop.sample(candidate, side), signs)
                    if score > best + 1e-6:
                        best, quad, moved = score, candidate, True
            if not moved:
                break
    return quad


def _classify(values: Floats, pattern: Modules) -> tuple[Floats, Modules, float]:
    """Threshold float64[n, n], dark modules and contrast.

    The light is taken as linear over the symbol: a plane and one step between dark and light
    modules, fitted to what the pattern says, and once more to what was found.
    """
    side = values.shape[0]
    steps = np.linspace(-1, 1, side)
    ones = np.ones((side, side))
    x, y = ones * steps[None, :], ones * steps[:, None]
    threshold, contrast, dark = ones * values.mean(), 0.0, pattern
    for kind in (pattern, None):
        if kind is None and not 0 < dark.mean() < 1:
            break
        light = np.where(dark if kind is None else kind, -0.5, 0.5)
        design = np.stack([ones, x, y, light], axis=-1).reshape(-1, 4)
        solution, *_ = np.linalg.lstsq(design, values.ravel(), rcond=None)
        plane = solution[0] + solution[1] * x + solution[2] * y
        if kind is None and abs(solution[3]) < abs(contrast) / 2:
            break
        threshold, contrast = plane, float(solution[3])
        dark = (values < plane) if contrast > 0 else (values > plane)
    return threshold, dark, contrast
