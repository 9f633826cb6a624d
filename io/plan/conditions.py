"""A checked condition on tags as the plan holds it: postfix steps, as a stack machine takes them.

The compiler makes them of a condition's text, scan and recorder make callables of them; nothing
here evaluates anything.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from cellwright.io.plan.iec import Value


class Op(StrEnum):
    """One step of a condition; conditions are postfix, as a stack machine takes them."""

    TAG = "tag"
    """Push the value of ``tag``."""
    CONSTANT = "constant"
    """Push ``value``."""
    GOOD = "good"
    """Push whether the quality of ``tag`` is Good."""
    BAD = "bad"
    """Push whether the quality of ``tag`` is Bad."""
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    EQUAL = "=="
    NOT_EQUAL = "!="
    NOT = "not"
    AND = "and"
    OR = "or"


class Step(msgspec.Struct, frozen=True):
    """One step of a condition. ``tag`` and ``value`` count where the operation names them."""

    op: Op
    tag: int = -1
    value: Value | None = None
