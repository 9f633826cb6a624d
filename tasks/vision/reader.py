"""Finds and decodes Data Matrix marks in a frame.

`read_marks` is what the vision worker calls. It looks at blurred, reduced copies of the frame
first, because the dots of a dot-peen mark must melt into modules before a decoder sees a symbol,
and a small copy costs a fraction of the frame. It judges nothing; `verify` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import zxingcpp

Gray = npt.NDArray[np.uint8]
Quad = npt.NDArray[np.float64]

_DATA_MATRIX: Final = zxingcpp.barcode_formats_from_str("DataMatrix")

SMALLEST_LEVEL: Final = 64
"""Shortest side in pixels of a reduced copy that is still looked at."""


@dataclass(frozen=True, slots=True)
class MarkReading:
    """One decoded symbol.

    ``quad`` is float64[4, 2], x and y in pixels of the frame, of the outer corners: top left,
    top right, bottom right, bottom left of the symbol as it is drawn upright (solid bars left and
    below).
    """

    text: str
    quad: Quad
    unused_error_correction: float
    """UEC, 0 to 1, of this reading on the copy of the frame in which it succeeded."""
    format: str
    """``Data Matrix``."""
    size: tuple[int, int]
    """Modules: rows, columns; (0, 0) when the decoder does not tell."""


def read_marks(gray: Gray) -> list[MarkReading]:
    """All Data Matrix symbols of the first copy of the frame in which there is any.

    ``gray`` is uint8[h, w]. The copies are tried from cheap to costly; the list is empty when none
    shows a symbol. Raises ValueError for another type or shape.
    """
    if gray.ndim != 2 or gray.dtype != np.uint8:
        raise ValueError(f"a frame is uint8[h, w], not {gray.dtype}{list(gray.shape)}")
    for copy, scale in _copies(gray):
        found = decode(copy, scale)
        if found:
            return found
    return []


def decode(gray: Gray, scale: int = 1, *, pure: bool = False) -> list[MarkReading]:
    """What the decoder finds in this very image, corners multiplied by ``scale``.

    ``pure`` says that the image holds nothing but an upright, drawn symbol.
    """
    found = zxingcpp.read_barcodes(
        gray,
        formats=_DATA_MATRIX,
        text_mode=zxingcpp.TextMode.Plain,
        try_downscale=False,
        is_pure=pure,
    )
    return [_reading(barcode, scale) for barcode in found]


#: Reduction and number of softenings of the copies, in the order of trial: what large and medium
#: modules need costs least, what only displaced and missing dots need comes later. Sharp copies
#: are left out: what they show, a softened one does.
_PLAN: Final = (
    *((4, 1), (4, 2), (8, 1), (8, 2), (2, 2), (2, 4), (2, 1)),
    *((3, 2), (4, 5), (2, 6), (6, 1), (3, 8), (1, 2), (1, 1)),
)
#: Of which reduction a reduction is made, and by how much.
_MADE_OF: Final = {2: (1, 2), 3: (1, 3), 4: (2, 2), 6: (3, 2), 8: (4, 2)}


class _Copies:
    """Reduced and softened copies of one frame, each made when it is first wanted.

    A class and no recursive closure, which would be a cycle of references: frames of many parts
    would lie in memory until the collector looks.
    """

    def __init__(self, gray: Gray) -> None:
        self._made: dict[tuple[int, int], Gray] = {(1, 0): gray}

    def get(self, scale: int, times: int) -> Gray:
        """The frame reduced by ``scale`` and softened ``times`` times."""
        made = self._made.get((scale, times))
        if made is None:
            if times:
                made = soften(self.get(scale, times - 1))
            else:
                source, factor = _MADE_OF[scale]
                made = shrink(self.get(source, 0), factor)
            self._made[scale, times] = made
        return made


def _copies(gray: Gray) -> Iterator[tuple[Gray, int]]:
    """Copies of the frame with their reduction."""
    copies = _Copies(gray)
    for scale, times in _PLAN:
        if scale == 1 or min(gray.shape) // scale >= SMALLEST_LEVEL:
            yield copies.get(scale, times), scale


def shrink(gray: Gray, factor: int) -> Gray:
    """The frame reduced by ``factor`` 2 to 8, each pixel the mean of a square."""
    height, width = gray.shape[0] // factor * factor, gray.shape[1] // factor * factor
    part = gray[:height, :width]
    rows = part[0::factor].astype(np.uint16)
    for offset in range(1, factor):
        rows += part[offset::factor]
    total = rows[:, 0::factor].copy()
    for offset in range(1, factor):
        total += rows[:, offset::factor]
    total //= factor * factor
    return total.astype(np.uint8)


def soften(gray: Gray) -> Gray:
    """The frame under a 3 x 3 binomial filter, a Gaussian of 0.7 pixels; the border stays."""
    if min(gray.shape) < 3:
        return gray
    wide = gray.astype(np.uint16)
    rows = wide.copy()
    rows[1:-1] *= 2
    rows[1:-1] += wide[:-2]
    rows[1:-1] += wide[2:]
    rows[0] *= 4
    rows[-1] *= 4
    total = rows * 4
    total[:, 1:-1] = rows[:, 1:-1] * 2
    total[:, 1:-1] += rows[:, :-2]
    total[:, 1:-1] += rows[:, 2:]
    total >>= 4
    return total.astype(np.uint8)


def _reading(barcode: Any, scale: int) -> MarkReading:
    place = barcode.position
    corners = (place.top_left, place.top_right, place.bottom_right, place.bottom_left)
    small = np.array([(corner.x, corner.y) for corner in corners], np.float64)
    extra: dict[str, Any] = barcode.extra or {}
    rows, _, columns = str(extra.get("Version", "")).partition("x")
    known = rows.isdigit() and columns.isdigit()
    return MarkReading(
        text=barcode.text,
        quad=(small + 0.5) * scale - 0.5,
        unused_error_correction=float(extra.get("UEC", 0.0)),
        format="Data Matrix",
        size=(int(rows), int(columns)) if known else (0, 0),
    )
