"""Draws what the camera sees: a metal blade in its nest with the dots that are really on it.

Called by `camera` in a thread of its own. It knows nothing of contents or codes, only dots; what
cannot be read in its picture cannot be read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from plant.symbol import Dot

PX_PER_MM: Final = 28.0
MARK_OFFSET_MM: Final = (0.0, -3.0)
"""Where the symbol's centre lies on an unshifted blade, from the centre of the picture."""
BLADE_MM: Final = (43.0, 34.0)
BLADE_LEVEL: Final = 152
NEST_LEVEL: Final = 38
PIT_LEVEL: Final = 46.0
RIM_LEVEL: Final = 70.0
"""Added on the side of a crater's rim that faces the light, taken off on the other."""
LIGHT_DIRECTION: Final = math.radians(-50)
_SPARE: Final = 97
"""Pixels by which textures and noise exceed the frame, so that each frame cuts out another part."""

Gray = npt.NDArray[np.uint8]
Level = npt.NDArray[np.int16]
Noise = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class View:
    """What lies before the camera: a blade's place and its dots. ``seed`` picks its texture."""

    seed: int
    rotation_deg: float
    shift_x_mm: float
    shift_y_mm: float
    dots: Sequence[Dot]


class Renderer:
    """Draws frames of one size; textures, light and noise are made once."""

    def __init__(self, width: int, height: int, seed: int) -> None:
        self.width = width
        self.height = height
        random = np.random.default_rng(seed)
        shape = (height + _SPARE, width + _SPARE)
        grain = random.standard_normal(shape, np.float32)
        self._textures = [_brushed(grain, random), _blasted(grain)]
        self._noise: Level = (grain * 2.5).astype(np.int16)
        x = np.linspace(-1, 1, width, dtype=np.float32)
        y = np.linspace(-1, 1, height, dtype=np.float32)
        light = 14 * x[None, :] - 10 * y[:, None] - 16 * (x[None, :] ** 2 + y[:, None] ** 2)
        self._light: Level = light.astype(np.int16)

    def render(self, view: View | None, frame: int) -> Gray:
        """One exposure, uint8[height, width]; without a view the nest is empty."""
        random = np.random.default_rng((0 if view is None else view.seed, frame))
        picture = self._cut(self._noise, *random.integers(0, _SPARE, 2)) + np.int16(NEST_LEVEL)
        if view is not None:
            place = np.random.default_rng(view.seed)
            texture = self._textures[view.seed % len(self._textures)]
            metal = self._cut(texture, *place.integers(0, _SPARE, 2)) + self._light
            self._lay(picture, metal + picture - np.int16(NEST_LEVEL), view)
            if view.dots:
                self._strike(picture, view)
        gray: Gray = np.clip(picture, 0, 255).astype(np.uint8)
        return gray

    def _cut(self, texture: Level, top: int, left: int) -> Level:
        return texture[top : top + self.height, left : left + self.width]

    def _lay(self, picture: Level, metal: Level, view: View) -> None:
        """Put the blade, a turned rectangle, onto the nest."""
        centre_x = self.width / 2 + view.shift_x_mm * PX_PER_MM
        centre_y = self.height / 2 + view.shift_y_mm * PX_PER_MM
        slope = math.tan(math.radians(view.rotation_deg))
        half_x, half_y = BLADE_MM[0] / 2 * PX_PER_MM, BLADE_MM[1] / 2 * PX_PER_MM
        x, y = np.arange(self.width), np.arange(self.height)[:, None]
        middle_x = centre_x - slope * (y - centre_y)
        middle_y = centre_y + slope * (x - centre_x)
        inside = (np.abs(x - middle_x) <= half_x) & (np.abs(y - middle_y) <= half_y)
        np.copyto(picture, metal, where=inside)

    def _strike(self, picture: Level, view: View) -> None:
        """Draw all craters: a dark pit, and a rim bright towards the light and dark behind."""
        dots = np.asarray(view.dots, np.float64)
        angle = math.radians(view.rotation_deg)
        x_mm = dots[:, 0] + MARK_OFFSET_MM[0]
        y_mm = dots[:, 1] + MARK_OFFSET_MM[1]
        cos, sin = math.cos(angle), math.sin(angle)
        centre_x = self.width / 2 + (view.shift_x_mm + x_mm * cos - y_mm * sin) * PX_PER_MM
        centre_y = self.height / 2 + (view.shift_y_mm + x_mm * sin + y_mm * cos) * PX_PER_MM
        radius = dots[:, 2] / 2 * PX_PER_MM
        reach = math.ceil(radius.max() * 1.3)
        whole = (centre_x >= reach) & (centre_x < self.width - reach)
        whole &= (centre_y >= reach) & (centre_y < self.height - reach)
        centre_x, centre_y, radius = centre_x[whole], centre_y[whole], radius[whole]
        offsets = np.arange(-reach, reach + 1)
        columns = centre_x.astype(np.intp)[:, None, None] + offsets[None, None, :]
        rows = centre_y.astype(np.intp)[:, None, None] + offsets[None, :, None]
        dx = (columns - centre_x[:, None, None]).astype(np.float32)
        dy = (rows - centre_y[:, None, None]).astype(np.float32)
        distance = np.sqrt(dx * dx + dy * dy) / radius[:, None, None].astype(np.float32)
        lit = dx * math.cos(LIGHT_DIRECTION) + dy * math.sin(LIGHT_DIRECTION)
        lit /= np.maximum(1.0, np.sqrt(dx * dx + dy * dy))
        before = picture[rows, columns].astype(np.float32)
        pit = np.clip((1.04 - distance) / 0.12, 0, 1)
        rim = np.clip(1 - np.abs(distance - 1.08) / 0.16, 0, 1) * lit
        after = before + pit * (PIT_LEVEL + 14 * distance - before) + RIM_LEVEL * rim * (1 - pit)
        outside = distance > 1.24
        np.copyto(after, before, where=outside)
        # Rims first: where craters overlap, the pit takes the neighbour's rim away.
        flat = rows * self.width + columns
        bright = (pit == 0) & ~outside
        surface = picture.reshape(-1)
        surface[flat[bright]] = after[bright].astype(np.int16)
        np.minimum.at(surface, flat, np.where(pit > 0, after, 255).astype(np.int16))


def _brushed(grain: Noise, random: np.random.Generator) -> Level:
    """Fine lines along the brush: noise smeared along x, with some longer scratches."""
    smeared = _smear(grain, 61, axis=1)
    lines = random.standard_normal((grain.shape[0], 1), np.float32)
    level = BLADE_LEVEL + 5.0 * smeared / smeared.std() + 3.0 * lines + 2.0 * grain
    texture: Level = level.astype(np.int16)
    return texture


def _blasted(grain: Noise) -> Level:
    """A matt surface of small pits, the same in all directions."""
    soft = _smear(_smear(grain, 5, axis=0), 5, axis=1)
    level = BLADE_LEVEL - 8 + 6.0 * soft / soft.std() + 3.0 * grain
    texture: Level = level.astype(np.int16)
    return texture


def _smear(values: Noise, size: int, axis: int) -> Noise:
    """Mean over ``size`` neighbours along one axis, wrapping round at the edges."""
    total = np.zeros_like(values)
    for shift in range(-(size // 2), size // 2 + 1):
        total += np.roll(values, shift, axis)
    total /= size
    return total
