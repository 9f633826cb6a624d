"""Decides whether a frame shows the mark that was ordered.

Called by the vision worker with the readings of `read_marks`. The text must be the ordered one, and
every module must be as ordered: error correction hides a missing pin from a reader, not from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np

from cellwright.tasks.symbology.data_matrix import SymbolError, modules
from cellwright.tasks.vision.grid import GridFit, Modules, finder, finder_mask, fit_grid
from cellwright.tasks.vision.reader import Gray, MarkReading, Quad, decode

MIN_CONTRAST: Final = 8.0
"""Least difference between dark and light modules, grey levels, to judge single modules."""
_OTHER_CODEWORDS: Final = 0.15
"""Share of differing modules from which the symbol counts as encoded differently."""


class MarkVerdict(StrEnum):
    """What the inspection says."""

    OK = "ok"
    NOT_OK = "not_ok"
    NOT_DECIDABLE = "not_decidable"


@dataclass(frozen=True, slots=True)
class Limits:
    """What is accepted."""

    max_module_errors: int = 0
    """Modules that may differ from the ordered symbol."""
    min_unused_error_correction: float = 0.0
    """Least UEC of the sampled symbol (ISO/IEC 15415: 0.62 is grade 4, 0.25 grade 1)."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The verdict and what led to it."""

    verdict: MarkVerdict
    reason: str
    read: str = ""
    unused_error_correction: float | None = None
    module_errors: int | None = None
    wrong_modules: tuple[tuple[int, int], ...] = ()
    """Row and column of differing modules, at most twenty."""
    quad: Quad | None = None


def verify(
    gray: Gray, readings: Sequence[MarkReading], expected: str, limits: Limits | None = None
) -> Verification:
    """Compare the readings of a frame with the ordered content.

    No reading gives ``not_decidable``; another text, too many differing modules or too little
    unused error correction ``not_ok``. Raises SymbolError when ``expected`` cannot be a symbol.
    """
    limits = limits or Limits()
    wanted = modules(expected)
    if not readings:
        return Verification(MarkVerdict.NOT_DECIDABLE, "no symbol was read")
    reading = next((item for item in readings if item.text == expected), readings[0])
    base = Verification(
        MarkVerdict.NOT_OK,
        "",
        reading.text,
        reading.unused_error_correction,
        quad=reading.quad,
    )
    if reading.text != expected:
        return replace(base, reason=f"read {reading.text!r}, ordered {expected!r}")
    if reading.size not in {(0, 0), wanted.shape}:
        rows, columns = reading.size
        return replace(
            base, reason=f"symbol has {rows} x {columns} modules, ordered are {len(wanted)}"
        )
    fit = fit_grid(gray, reading.quad, wanted)
    if abs(fit.contrast) < max(MIN_CONTRAST, 1.5 * fit.noise):
        return replace(
            base,
            verdict=MarkVerdict.NOT_DECIDABLE,
            reason=f"contrast of {abs(fit.contrast):.0f} grey levels is too low for the "
            f"noise of {fit.noise:.0f}",
        )
    return _judge(base, fit, wanted, expected, limits)


def _judge(
    base: Verification, fit: GridFit, wanted: Modules, expected: str, limits: Limits
) -> Verification:
    text, uec = _decode(fit.dark)
    wrong = fit.dark != wanted
    errors = int(wrong.sum())
    base = replace(base, quad=fit.quad, unused_error_correction=uec)
    if errors > _OTHER_CODEWORDS * wanted.size:
        if text != expected:
            return replace(
                base,
                verdict=MarkVerdict.NOT_DECIDABLE,
                reason="the modules cannot be sampled: the symbol is too distorted",
            )
        # Same text in other codewords: the finder is known, and an untouched error correction
        # proves that every module of the data region is as encoded.
        wrong = finder_mask(len(wanted)) & (fit.dark != finder(len(wanted)))
        errors = int(wrong.sum())
        if uec is None or uec < 1.0:
            errors = max(errors, 1)
    base = replace(
        base,
        module_errors=errors,
        wrong_modules=tuple((int(row), int(column)) for row, column in np.argwhere(wrong)[:20]),
    )
    if errors > limits.max_module_errors:
        places = ", ".join(f"({row}, {column})" for row, column in base.wrong_modules[:3])
        return replace(
            base,
            reason=f"{errors} of {wanted.size} modules are wrong, {limits.max_module_errors} "
            f"allowed; (row, column): {places or 'in the data region'}",
        )
    if uec is not None and uec < limits.min_unused_error_correction:
        return replace(
            base,
            reason=f"unused error correction {uec:.2f} is below "
            f"{limits.min_unused_error_correction:.2f}",
        )
    return replace(base, verdict=MarkVerdict.OK, reason="")


def _decode(dark: Modules) -> tuple[str, float | None]:
    """Text and UEC of sampled modules; None when they do not decode."""
    # The finder holds no data, and a wrong module in it hinders the decoder: put it right.
    side = len(dark)
    whole = np.where(finder_mask(side), finder(side), dark)
    image = np.kron(np.where(np.pad(whole, 2), 0, 255), np.ones((4, 4))).astype(np.uint8)
    found = decode(image, pure=True)
    return (found[0].text, found[0].unused_error_correction) if found else ("", None)


__all__ = ["Limits", "MarkVerdict", "SymbolError", "Verification", "verify"]
