"""Data Matrix symbols: what a content looks like as modules.

Called by the marking worker, which refuses content that cannot be marked, and by the verifier,
which compares a frame with it. Encoding is left to zxing-cpp; nothing here draws or reads.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
import zxingcpp

MAX_MODULES: Final = 144
"""Modules along a side of the largest square ECC 200 symbol (ISO/IEC 16022, table 7)."""

Modules = npt.NDArray[np.bool_]


class SymbolError(ValueError):
    """Content that no symbol can hold; the sentence says why."""


def modules(content: str) -> Modules:
    """The smallest square Data Matrix ECC 200 symbol for ``content``, without quiet zone.

    Returns a read-only bool[n, n], n even from 10 to 144, True for a dark module (a peened dot).
    Row 0 is the top with the alternating pattern, the last row and column 0 are solid (ISO/IEC
    16022). Raises SymbolError for empty, non-ASCII or too long content.
    """
    if not content:
        raise SymbolError("there is nothing to encode: the content is empty")
    if not content.isascii():
        odd = next(character for character in content if not character.isascii())
        raise SymbolError(f"{content!r} holds {odd!r}; a mark carries ASCII only")
    return _encode(content)


@lru_cache(maxsize=256)
def _encode(content: str) -> Modules:
    try:
        barcode = zxingcpp.create_barcode(
            content, zxingcpp.BarcodeFormat.DataMatrix, force_square=True
        )
        image = np.array(barcode.to_image(scale=1, add_quiet_zones=False))
    except (ValueError, RuntimeError) as error:
        raise SymbolError(
            f"{len(content)} characters do not fit a Data Matrix: {error}; shorten the content"
        ) from error
    matrix: Modules = image == 0
    side = matrix.shape[0]
    if matrix.shape != (side, side) or side > MAX_MODULES:
        raise SymbolError(f"the encoder gave a symbol of {matrix.shape}, not a square one")
    matrix.flags.writeable = False
    return matrix
