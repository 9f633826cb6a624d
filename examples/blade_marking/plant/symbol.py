"""From content to the dots that the pin is to strike, in the order in which it strikes them.

Used by the marker. Coordinates are in mm from the centre of the symbol, x to the right and y
downwards as the camera sees them. The Data Matrix encoder is zxing-cpp.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from random import Random
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import zxingcpp

PITCH_MM: Final = 0.5
"""Module of the symbol."""
LARGEST: Final = 48
"""Modules along a side that the marking window holds."""
TEXT_PITCH_MM: Final = 0.22
TEXT_GAP_MM: Final = 1.6
"""From the last row of the symbol to the first row of text."""
TEXT_LINE: Final = 9
"""Rows of dots from one line of text to the next."""
JITTER: Final = 0.03
"""Standard deviation of a dot's place, in modules."""
PIN_STOPS_AFTER: Final = 0.55

_LAST_NUMBER = re.compile(r"[0-9]+(?=[^0-9]*\Z)")


class Dot(NamedTuple):
    """One indentation: centre and diameter in mm."""

    x: float
    y: float
    diameter: float


class SymbolError(ValueError):
    """The content cannot be encoded."""


def modules(content: str) -> npt.NDArray[np.bool_]:
    """The square Data Matrix of ``content``, bool[n, n], True where a dot is struck."""
    try:
        barcode = zxingcpp.create_barcode(
            content, zxingcpp.BarcodeFormat.DataMatrix, force_square=True
        )
        image = np.array(barcode.to_image(scale=1, add_quiet_zones=False))
    except (ValueError, RuntimeError) as error:
        raise SymbolError(f"{content!r} does not fit into a Data Matrix: {error}") from error
    if len(image) > LARGEST:
        raise SymbolError(
            f"{len(content)} characters need {len(image)} x {len(image)} modules; the marking "
            f"window holds {LARGEST} x {LARGEST}"
        )
    return np.asarray(image == 0)


def symbol_dots(
    grid: npt.NDArray[np.bool_], fill: float, random: Random, *, wrong_dot: bool = False
) -> list[Dot]:
    """Dots of a symbol, row by row and there and back; ``fill`` is a diameter in modules."""
    if wrong_dot:
        grid = _displace_one(grid, random)
    half = (len(grid) - 1) / 2
    dots = []
    for row, line in enumerate(grid):
        columns = np.flatnonzero(line)
        for column in columns if row % 2 == 0 else columns[::-1]:
            dots.append(
                Dot(
                    (float(column) - half + random.gauss(0, JITTER)) * PITCH_MM,
                    (row - half + random.gauss(0, JITTER)) * PITCH_MM,
                    fill * PITCH_MM * random.uniform(0.97, 1.03),
                )
            )
    return dots


def _displace_one(grid: npt.NDArray[np.bool_], random: Random) -> npt.NDArray[np.bool_]:
    """Move one dot of the data region one module to the right, onto an empty place."""
    inner = grid[1:-1, 1:-1]
    movable = np.argwhere(inner[:, :-1] & ~inner[:, 1:])
    row, column = movable[random.randrange(len(movable))] + 1
    moved = grid.copy()
    moved[row, column], moved[row, column + 1] = False, True
    return moved


def text_dots(lines: Sequence[str], top_mm: float, random: Random) -> list[Dot]:
    """Dots of readable lines in a 5 x 7 face, centred below ``top_mm``."""
    dots = []
    for number, line in enumerate(lines):
        left = -(6 * len(line) - 1) / 2
        for place, character in enumerate(line.upper()):
            for row, bits in enumerate(FACE.get(character, UNKNOWN)):
                for column in range(5):
                    if bits >> (4 - column) & 1:
                        x = left + 6 * place + column + random.gauss(0, JITTER)
                        y = TEXT_LINE * number + row + random.gauss(0, JITTER)
                        dots.append(
                            Dot(x * TEXT_PITCH_MM, top_mm + y * TEXT_PITCH_MM, TEXT_PITCH_MM)
                        )
    return dots


def plan(
    content: str,
    texts: Sequence[str],
    fill: float,
    seed: int,
    *,
    wrong_dot: bool = False,
    missing_pin: bool = False,
) -> list[Dot]:
    """All dots of one print cycle, symbol first; raises SymbolError."""
    random = Random(seed)
    grid = modules(content)
    dots = symbol_dots(grid, fill, random, wrong_dot=wrong_dot)
    if missing_pin:
        return dots[: int(len(dots) * PIN_STOPS_AFTER)]
    return dots + text_dots(texts, len(grid) / 2 * PITCH_MM + TEXT_GAP_MM, random)


def other_content(content: str) -> str:
    """Another serial: the last number in ``content`` with its leading digit changed.

    A neighbouring serial would be marked rightly on a later blade and look like a duplicate.
    """
    match = _LAST_NUMBER.search(content)
    if match is None:
        return content + "9"
    index = match.start()
    return content[:index] + ("8" if content[index] == "9" else "9") + content[index + 1 :]


def digest(dots: Sequence[Dot]) -> str:
    """SHA-256 over the dots, rounded to a micrometre."""
    text = ";".join(f"{dot.x:.3f},{dot.y:.3f},{dot.diameter:.3f}" for dot in dots)
    return hashlib.sha256(text.encode()).hexdigest()


def _face(rows: str) -> tuple[int, ...]:
    return tuple(int(row, 16) for row in rows.split())


UNKNOWN: Final = _face("1F 11 11 11 11 11 1F")

FACE: Final = {
    " ": _face("00 00 00 00 00 00 00"),
    "-": _face("00 00 00 1F 00 00 00"),
    "_": _face("00 00 00 00 00 00 1F"),
    ".": _face("00 00 00 00 00 0C 0C"),
    ":": _face("00 0C 0C 00 0C 0C 00"),
    "/": _face("01 01 02 04 08 10 10"),
    "+": _face("00 04 04 1F 04 04 00"),
    "#": _face("0A 0A 1F 0A 1F 0A 0A"),
    "(": _face("02 04 08 08 08 04 02"),
    ")": _face("08 04 02 02 02 04 08"),
    "0": _face("0E 11 13 15 19 11 0E"),
    "1": _face("04 0C 04 04 04 04 0E"),
    "2": _face("0E 11 01 06 08 10 1F"),
    "3": _face("0E 11 01 06 01 11 0E"),
    "4": _face("02 06 0A 12 1F 02 02"),
    "5": _face("1F 10 1E 01 01 11 0E"),
    "6": _face("06 08 10 1E 11 11 0E"),
    "7": _face("1F 01 02 04 08 08 08"),
    "8": _face("0E 11 11 0E 11 11 0E"),
    "9": _face("0E 11 11 0F 01 02 0C"),
    "A": _face("04 0A 11 11 1F 11 11"),
    "B": _face("1E 11 11 1E 11 11 1E"),
    "C": _face("0E 11 10 10 10 11 0E"),
    "D": _face("1C 12 11 11 11 12 1C"),
    "E": _face("1F 10 10 1E 10 10 1F"),
    "F": _face("1F 10 10 1E 10 10 10"),
    "G": _face("0E 11 10 17 11 11 0F"),
    "H": _face("11 11 11 1F 11 11 11"),
    "I": _face("0E 04 04 04 04 04 0E"),
    "J": _face("07 02 02 02 02 12 0C"),
    "K": _face("11 12 14 18 14 12 11"),
    "L": _face("10 10 10 10 10 10 1F"),
    "M": _face("11 1B 15 15 11 11 11"),
    "N": _face("11 19 15 13 11 11 11"),
    "O": _face("0E 11 11 11 11 11 0E"),
    "P": _face("1E 11 11 1E 10 10 10"),
    "Q": _face("0E 11 11 11 15 12 0D"),
    "R": _face("1E 11 11 1E 14 12 11"),
    "S": _face("0F 10 10 0E 01 01 1E"),
    "T": _face("1F 04 04 04 04 04 04"),
    "U": _face("11 11 11 11 11 11 0E"),
    "V": _face("11 11 11 11 0A 0A 04"),
    "W": _face("11 11 11 15 15 1B 11"),
    "X": _face("11 11 0A 04 0A 11 11"),
    "Y": _face("11 11 0A 04 04 04 04"),
    "Z": _face("1F 01 02 04 08 10 1F"),
}
