"""The base of all sections of ``cell.yaml``: strict, closed, immutable.

The models in `model` and `limits` are made of it; it holds no rules of its own.
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict

TAKES: Final = "x-cellwright-takes"
"""Key in the JSON Schema that words what a value may be, for the reference."""


class Section(BaseModel):
    """Base of all sections: no unknown keys, no silent conversions, immutable."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        populate_by_name=False,
    )
