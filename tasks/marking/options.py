"""Options of the marking station, shared by the program in the scan and by its worker.

Light enough for the scan process; what needs Lua is loaded only when a configuration is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from cellwright.tasks.api import ProgramOptions


class MarkingOptions(ProgramOptions):
    """Options of ``marking.station``."""

    marker: str
    """Name of the marking device."""
    template: str
    """Lua template that makes the content; relative to the cell file's folder."""
    station: str = ""
    """Name of the station in the records; the task's name when empty."""
    pattern: str = ""
    """Layout stored in the marker, for templates that name none."""
    resend_s: float = Field(2.0, gt=0)
    """Scan time between two requests for a serial that has not been answered."""
    serial_timeout_s: float = Field(30.0, gt=0)
    """Longest wait for a serial."""
    prepare_timeout_s: float = Field(60.0, gt=0)
    """Longest wait for rendering the content and loading it into the marker."""
    mark_timeout_s: float = Field(120.0, gt=0)
    """Longest wait for the worker's answer to a mark; afterwards the outcome is unknown."""
    lua_timeout_ms: float = Field(51.0, gt=0)
    """Watchdog time of the Lua engine."""


def complaints(options: MarkingOptions, plan_folder: str, devices: Mapping[str, str]) -> list[str]:
    """What is wrong with the options: no such marker, or a template that does not compile.

    Arguments and result are those of `Program.validate`.
    """
    # lupa must not be loaded in the scan process, which imports this module.
    from cellwright.tasks.marking.lua.engine import check_template  # noqa: PLC0415

    found: list[str] = []
    kind = devices.get(options.marker)
    if kind is None:
        found.append(f"marker: no device is called '{options.marker}'; declare it")
    elif kind != "marker":
        found.append(f"marker: device '{options.marker}' is a {kind}, not a marker")
    found += [
        f"template: {options.template}:{line}: {message}"
        for line, message in check_template(Path(plan_folder) / options.template)
    ]
    return found
