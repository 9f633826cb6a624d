"""Values as people read them. Loads nothing but the plan's types."""

from __future__ import annotations

from cellwright.io.plan import Value


def shown(value: Value) -> str:
    """A value for people."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return "[" + ", ".join(shown(item) for item in value) + "]"
    return str(value)
