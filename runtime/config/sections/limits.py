"""How a watchdog and a deadline are written in ``cell.yaml``: short, or as a mapping.

The sections of scan and tasks in `model` use these; what they mean together with other keys is
checked in `task_rules` and `timing`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

from cellwright.io.plan import MOST_CYCLES
from cellwright.runtime.config.sections.durations import Duration
from cellwright.runtime.config.sections.section import TAKES, Section


class Watchdog(Section):
    """A time that may be exceeded a number of times in a row."""

    time: Duration
    """Longest time allowed."""
    sensitivity: int = Field(1, ge=1, le=1000)
    """How many times in a row it must be exceeded before the cell goes to FAULT."""


class TaskWatchdog(Watchdog):
    """How long a task may run, and how often it may be missed."""

    omitted: int = Field(0, ge=0, le=1_000_000)
    """How many executions in a row must be missed before the cell goes to FAULT; 0: none."""


def _watchdog(value: Any) -> Any:
    return value if isinstance(value, dict | Watchdog) else {"time": value}


class Deadline(Section):
    """How long a job for the task's worker may take."""

    cycles: int = Field(ge=1, le=MOST_CYCLES)
    """Cycles of the scan from the one that submitted the job."""
    value: dict[str, Any] = Field(default_factory=dict)
    """What differs from the value that the program declares for a job without an answer."""


def _deadline(value: Any) -> Any:
    return value if isinstance(value, dict | Deadline) else {"cycles": value}


def _watchdog_schema(**counts: int) -> dict[str, Any]:
    """Of a duration, or a mapping with the time and counts up to so many."""
    properties: dict[str, Any] = {"time": {"type": "string", "examples": ["5ms"]}}
    for name, most in counts.items():
        properties[name] = {"type": "integer", "minimum": 0, "maximum": most}
    properties["sensitivity"]["minimum"] = 1
    return {
        TAKES: f"duration, or {{{', '.join(properties)}}}",
        "anyOf": [
            {"type": "string", "examples": ["5ms"]},
            {
                "type": "object",
                "properties": properties,
                "required": ["time"],
                "additionalProperties": False,
            },
        ],
    }


WatchdogField = Annotated[
    Watchdog,
    BeforeValidator(_watchdog),
    WithJsonSchema(_watchdog_schema(sensitivity=1000)),
]
TaskWatchdogField = Annotated[
    TaskWatchdog,
    BeforeValidator(_watchdog),
    WithJsonSchema(_watchdog_schema(sensitivity=1000, omitted=1_000_000)),
]
_CYCLES: Final = {"type": "integer", "minimum": 1, "maximum": MOST_CYCLES}
DeadlineField = Annotated[
    Deadline,
    BeforeValidator(_deadline),
    WithJsonSchema(
        {
            "anyOf": [
                _CYCLES,
                {
                    "type": "object",
                    "properties": {"cycles": _CYCLES, "value": {"type": "object"}},
                    "required": ["cycles"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
