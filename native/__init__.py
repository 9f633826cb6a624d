"""The C hot paths and their typed Python face. No policy: sizes, addresses and rules come in.

`lib` has the functions and constants of the headers in ``src``, where their meaning stands; the
build writes their types into ``_native.pyi``. Callers pass sizes beside pointers; a wrong one is
refused, never followed. The ratios that the headers give as the reason for C are printed by
``pytest -o addopts=--import-mode=importlib --benchmark-only -s tests/benchmarks``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellwright.native._native import ffi, lib

if TYPE_CHECKING:  # the compiled module has it as `ffi.CData`
    from cellwright.native._native import CData as Pointer
else:
    Pointer = ffi.CData
"""A pointer of C."""

__all__ = ["Pointer", "ffi", "lib"]
