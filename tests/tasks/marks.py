"""Draws dot-peen marks for tests: dots on brushed metal, lit unevenly, blurred and noisy.

Independent of the plant simulator's renderer; the truth comes with the frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cellwright.tasks.symbology.data_matrix import modules

Gray = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Look:
    """How a mark looks.

    ``module`` and ``blur`` are pixels, ``fill`` (dot diameter) and ``jitter`` (standard deviation)
    modules, ``missing`` a share of the dots, ``contrast``, ``texture``, ``noise`` grey levels.
    """

    module: float = 12.0
    fill: float = 0.9
    rotation_deg: float = 1.0
    jitter: float = 0.03
    missing: float = 0.0
    contrast: float = 110.0
    background: float = 170.0
    texture: float = 8.0
    noise: float = 4.0
    blur: float = 0.8
    gradient: float = 20.0
    highlight: float = 0.0
    invert: bool = False


@dataclass(frozen=True)
class Drawn:
    """A frame and its truth: ``quad`` float[4, 2] x, y of the outer corners from the top left."""

    gray: Gray
    quad: npt.NDArray[np.float64]
    modules: npt.NDArray[np.bool_]
    content: str
    made: npt.NDArray[np.bool_]
    """Modules that were really peened."""


def background(
    rng: np.random.Generator, look: Look, size: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Brushed metal of ``size`` (width, height): streaks along x, a gradient."""
    width, height = size
    image = np.full((height, width), look.background, np.float32)
    streak = rng.normal(0, 1, (height, 1)).astype(np.float32)
    fine = rng.normal(0, 1, (height, width // 16 + 2)).astype(np.float32)
    fine = np.repeat(fine, 16, axis=1)[:, :width]
    image += look.texture * (0.7 * streak + 0.5 * fine)
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    angle = rng.uniform(0, 2 * np.pi)
    image += look.gradient * (np.cos(angle) * x + np.sin(angle) * y).astype(np.float32)
    return image


def finish(
    rng: np.random.Generator, image: npt.NDArray[np.float32], look: Look
) -> npt.NDArray[np.uint8]:
    """Sensor noise and eight bits."""
    image = image + rng.normal(0, look.noise, image.shape).astype(np.float32)
    return np.clip(image, 0, 255).astype(np.uint8)


def draw(
    content: str,
    look: Look | None = None,
    seed: int = 0,
    *,
    size: tuple[int, int] = (1280, 1024),
    flip: tuple[tuple[int, int], ...] = (),
    centre: tuple[float, float] | None = None,
    encoded: npt.NDArray[np.bool_] | None = None,
) -> Drawn:
    """A frame with one mark. ``flip`` lists (row, column) of modules that are peened wrongly.

    ``encoded`` replaces the symbol that our encoder makes of ``content``.
    """
    look = look or Look()
    rng = np.random.default_rng(seed)
    wanted = modules(content) if encoded is None else encoded
    made = wanted.copy()
    for row, column in flip:
        made[row, column] = not made[row, column]
    side = wanted.shape[0]
    image = background(rng, look, size)
    angle = np.deg2rad(look.rotation_deg)
    ux = np.array([np.cos(angle), np.sin(angle)]) * look.module
    uy = np.array([-np.sin(angle), np.cos(angle)]) * look.module
    middle = np.array(centre if centre is not None else (size[0] / 2, size[1] / 2))
    origin = middle - (ux + uy) * side / 2
    radius = look.fill * look.module / 2
    edge = max(look.blur, 0.3)
    reach = int(np.ceil(radius + 3 * edge)) + 1
    struck = np.zeros_like(made)
    sign = 1.0 if look.invert else -1.0
    dots = np.argwhere(made)
    keep = rng.random(len(dots)) >= look.missing
    for row, column in dots[keep]:
        place = origin + ux * (column + 0.5) + uy * (row + 0.5)
        place = place + rng.normal(0, look.jitter * look.module, 2)
        x0, y0 = (int(v) for v in np.floor(place))
        xs = np.arange(x0 - reach, x0 + reach + 1)
        ys = np.arange(y0 - reach, y0 + reach + 1)
        if xs[0] < 0 or ys[0] < 0 or xs[-1] >= size[0] or ys[-1] >= size[1]:
            continue
        struck[row, column] = True
        distance = np.hypot(xs[None, :] - place[0], ys[:, None] - place[1])
        depth = 1 / (1 + np.exp(np.clip((distance - radius) / (edge * 0.6), -30, 30)))
        shine = look.highlight * np.exp(-(distance**2) / (2 * (radius * 0.35) ** 2))
        patch = image[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]
        patch += (sign * look.contrast * (depth - shine)).astype(np.float32)
    corners = np.array([(0, 0), (side, 0), (side, side), (0, side)], float)
    quad = origin + corners[:, :1] * ux + corners[:, 1:] * uy
    return Drawn(finish(rng, image, look), quad, wanted, content, struck)


def empty(look: Look | None = None, seed: int = 0, size: tuple[int, int] = (1280, 1024)) -> Gray:
    """A frame without a mark."""
    look = look or Look()
    rng = np.random.default_rng(seed)
    return finish(rng, background(rng, look, size), look)
