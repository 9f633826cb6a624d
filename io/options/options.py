"""The base of all options that a user writes: of drivers, markers, cameras, programs and plants.

Options come twice: from the file, where they are checked strictly, and from the plan, where they
are known to be right. Whoever validates them calls `from_file` or `from_plan`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic_core import to_json

M = TypeVar("M", bound=BaseModel)


class Options(BaseModel):
    """No unknown keys, no silent conversions (``true`` is not 1, ``"5"`` is not 5), immutable."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


def from_file(model: type[M], data: Mapping[str, Any], context: dict[str, Any] | None = None) -> M:
    """Options as the file has them; raises pydantic's ValidationError.

    A file has lists and texts where a model may have tuples, paths or enumerations. Validated as
    JSON, which cannot spell those either, these become what they stand for and all else stays
    strict.
    """
    return model.model_validate_json(to_json(data, inf_nan_mode="constants"), context=context)


def from_plan(model: type[M], data: Mapping[str, Any]) -> M:
    """Options that were validated when the plan was made, and lost their tuples on the way."""
    return model.model_validate(data, strict=False)
