"""Loads the programs that a scan starts with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellwright.io.messages import ChangeProgram
from cellwright.io.messages.scan_start import ScanStart
from cellwright.io.plan import Plan
from cellwright.runtime.cell.run_folder import RunFolder
from cellwright.runtime.programs.module_set import (
    SetFinder,
    install,
    resolved,
    worker_files,
)
from cellwright.runtime.programs.package import (
    Package,
    PackageError,
    change_that_runs,
    read_running,
    supervisor_boot,
    write_running,
)
from cellwright.runtime.programs.resolve import with_options
from cellwright.tasks.api import Program


@dataclass(frozen=True)
class Loaded:
    """The programs that a scan process starts with."""

    plan: Plan
    """With the options that belong to them."""
    package: Package
    classes: list[type[Program[Any]]]
    """One a task."""
    finder: SetFinder
    kept: bool
    """They are those of the scan before, whatever lies in the cell's folder by now."""
    pending: ChangeProgram | None
    """The scan before changed to them and died before an event told it."""


def load_programs(folder: RunFolder, plan: Plan, start: ScanStart, utc_ns: int) -> Loaded:
    """What a scan runs: the cell's folder at the first start, then what ran before its restart.

    ``utc_ns`` is now, for people. Raises RegistryError, and whatever the modules raise.
    """
    boot = supervisor_boot(start.boot_id)
    package = _kept(folder, plan, boot) if start.restarted else None
    place = Path(plan.folder)
    finder = SetFinder(place, None if package is None else package.programs)
    install(finder)
    classes = resolved((task.program for task in plan.tasks), finder)
    kept = package is not None
    if package is None:
        package = Package(
            boot=boot,
            layout_hash=plan.layout_hash,
            programs=finder.found,
            options=[task.options for task in plan.tasks],
            workers={
                task.name: worker_files(place, task.worker)
                for task in plan.tasks
                if task.worker is not None
            },
            utc_ns=utc_ns,
        )
        write_running(folder, package)
    pending = change_that_runs(folder) if kept else None
    if pending is not None and pending.sha256 == start.told_change:
        pending = None
    return Loaded(with_options(plan, package.options), package, classes, finder, kept, pending)


def _kept(folder: RunFolder, plan: Plan, boot: str) -> Package | None:
    """What this supervisor's scan ran before; None when it came to nothing."""
    try:
        package = read_running(folder)
    except PackageError:
        return None
    return package if (package.boot, package.layout_hash) == (boot, plan.layout_hash) else None
