"""Finds the class of a task's program. Called by the compiler and by the scan process.

A program is an entry-point name of ``cellwright.programs`` or ``module:Class``, where the module
lies in the folder of the cell's file or is installed.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cellwright.io.plan import Plan
from cellwright.io.registry.registry import RegistryError, load, load_class
from cellwright.tasks.api import Program


def resolve(program: str) -> type[Program[Any]]:
    """The class; raises RegistryError. The cell's folder must be on ``sys.path`` already."""
    found = load_class(program) if ":" in program else load("programs", program)
    if not issubclass(found, Program):
        raise RegistryError(
            f"'{program}' is a {found.__name__}, not a Program; derive it from "
            f"cellwright.tasks.api.Program"
        )
    return found


def with_options(plan: Plan, options: list[dict[str, Any]]) -> Plan:
    """The plan with these options of its tasks."""
    tasks = tuple(
        msgspec.structs.replace(task, options=own)
        for task, own in zip(plan.tasks, options, strict=True)
    )
    return msgspec.structs.replace(plan, tasks=tasks)
