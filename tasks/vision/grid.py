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
_MOVES: Final = 12
"""Most movements of one size."""
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
    quad = _orient(crop, quad, wanted)
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

    def sample(self, quads: Floats, side: int) -> Floats:
        """Mean grey at the module centres of ``quads`` [..., 4, 2]: float64[..., side, side]."""
        x, y = centres(quads - self._origin, side)
        height, width = self._box.shape
        np.clip(x, 0, width - 1.001, out=x)
        np.clip(y, 0, height - 1.001, out=y)
        place = y.astype(np.intp)
        down = y - place
        column = x.astype(np.intp)
        right = x - column
        place *= width
        place += column
        flat = self._box.ravel()
        upper = flat[place]
        upper += (flat[place + 1] - upper) * right
        place += width
        lower = flat[place]
        lower += (flat[place + 1] - lower) * right
        lower -= upper
        lower *= down
        upper += lower
        return upper


def _box(gray: Gray, radius: int) -> Floats:
    """Mean over (2 radius + 1) squared pixels, by an integral image; borders repeat."""
    if radius <= 0:
        return gray.astype(np.float64)
    padded = np.pad(gray, radius, mode="edge")
    integral = np.zeros((padded.shape[0] + 1, padded.shape[1] + 1), np.int32)
    np.cumsum(np.cumsum(padded, axis=0, dtype=np.int32), axis=1, out=integral[1:, 1:])
    span = 2 * radius + 1
    total = (
        integral[span:, span:]
        - integral[:-span, span:]
        - integral[span:, :-span]
        + integral[:-span, :-span]
    )
    mean: Floats = total / (span * span)
    return mean


def centres(quads: Floats, side: int) -> tuple[Floats, Floats]:
    """x and y of the module centres of ``quads`` [..., 4, 2], float64[..., side, side] each.

    The map is the homography that takes the unit square to the quad (top left, top right, bottom
    right, bottom left). Raises ValueError when the corners lie on one line.
    """
    x0, x1, x2, x3 = (quads[..., corner, 0, None, None] for corner in range(4))
    y0, y1, y2, y3 = (quads[..., corner, 1, None, None] for corner in range(4))
    dx1, dx2, dx3 = x1 - x2, x3 - x2, x0 - x1 + x2 - x3
    dy1, dy2, dy3 = y1 - y2, y3 - y2, y0 - y1 + y2 - y3
    area = dx1 * dy2 - dx2 * dy1
    if np.abs(area).min() < 1e-9:
        raise ValueError("the corners of the symbol lie on one line")
    g = (dx3 * dy2 - dx2 * dy3) / area
    h = (dx1 * dy3 - dx3 * dy1) / area
    steps = (np.arange(side) + 0.5) / side
    u, v = steps[None, :], steps[:, None]
    depth = g * u + (h * v + 1.0)
    x: Floats = ((x1 - x0 + g * x1) * u + ((x3 - x0 + h * x3) * v + x0)) / depth
    y: Floats = ((y1 - y0 + g * y1) * u + ((y3 - y0 + h * y3) * v + y0)) / depth
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


def _scores(values: Floats, signs: Floats) -> Floats:
    """Correlation of the modules with the pattern, either polarity: [..., n, n] to [...]."""
    centred = values - values.mean(axis=(-2, -1), keepdims=True)
    power = np.sqrt((centred * centred).sum(axis=(-2, -1)))
    product = np.abs((centred * signs).sum(axis=(-2, -1)))
    scores: Floats = product / np.where(power > 0, power, 1.0)
    return scores


def _orient(crop: _Crop, quad: Quad, wanted: Modules) -> Quad:
    """``quad`` with its corners in the order in which ``wanted`` is seen best.

    Decoders differ in which corner they call the first, in particular for mirrored symbols. A
    symbol of other codewords resembles ``wanted`` in no order; its corners stay as they are.
    """
    turned = quad[np.array(_ORDERS)]
    scores = _scores(crop.sample(turned, len(wanted)), _signs(wanted))
    best = int(scores.argmax())
    found: Quad = turned[best] if scores[best] > _RESEMBLES else quad
    return found


def _refine(crop: _Crop, quad: Quad, pattern: Modules) -> Quad:
    """Move the corners, together and each by itself, as long as the correlation rises.

    All movements of one size are tried at once, since numpy's cost is in the calls; the best of
    each corner are then taken together where that is better still.
    """
    side = pattern.shape[0]
    signs = _signs(pattern)
    across = (quad[1] - quad[0] + quad[2] - quad[3]) / (2 * side)
    down = (quad[3] - quad[0] + quad[2] - quad[1]) / (2 * side)
    directions = np.stack([across, down, -across, -down])
    who = np.concatenate([np.eye(4), np.ones((1, 4))])
    moves = who[:, None, :, None] * directions[None, :, None, :]
    best = float(_scores(crop.sample(quad, side), signs))
    for step in _STEPS:
        for _ in range(_MOVES):
            tried = quad + moves * step
            scores = _scores(crop.sample(tried, side), signs)
            choice = scores.argmax(axis=1)
            gain = scores.max(axis=1) - best
            single = int(gain.argmax())
            if gain[single] <= 1e-6:
                break
            better = np.flatnonzero(gain[:4] > 0)
            joint = quad + (moves[better, choice[better]] * step).sum(axis=0)
            together = float(_scores(crop.sample(joint, side), signs))
            if together > best + gain[single]:
                best, quad = together, joint
            else:
                best, quad = best + float(gain[single]), tried[single, choice[single]]
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
