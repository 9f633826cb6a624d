"""Which programs a cell runs, since when, and whether its folder still holds the same files.

`cellwright status` shows it. Read from the run folder and the cell's folder; nothing is imported.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cellwright.io.image import Image
from cellwright.io.plan import CellState, Plan
from cellwright.runtime.cell.run_folder import RunFolder
from cellwright.runtime.programs.package import Package, PackageError, read_running

SHOWN: Final = 12
"""Characters of a SHA-256 that people see."""


def program_report(plan: Plan, image: Image) -> dict[str, Any]:
    """The running programs as plain data; ``sha256`` is empty and ``error`` is not when unknown.

    ``changed_by`` is empty for programs that never changed since the cell was started.
    """
    if CellState(image.scan.state) is CellState.INIT:
        return _row(error="not loaded yet")
    try:
        package = read_running(RunFolder(image.path.parent))
    except PackageError as error:
        return _row(error=str(error))
    asked = package.asked
    return _row(
        sha256=package.programs.digest,
        files=len(package.programs.modules),
        since=_utc(package.utc_ns),
        changed_by="" if asked is None else asked.actor,
        reason="" if asked is None else asked.reason,
        rolled_back=asked is not None and asked.rolled_back,
        differ_on_disk=_differ(Path(plan.folder), package),
    )


def _row(  # noqa: PLR0917 - one report
    sha256: str = "",
    files: int = 0,
    since: str = "",
    changed_by: str = "",
    reason: str = "",
    rolled_back: bool = False,
    differ_on_disk: list[str] | None = None,
    error: str = "",
) -> dict[str, Any]:
    return {
        "sha256": sha256,
        "files": files,
        "since": since,
        "changed_by": changed_by,
        "reason": reason,
        "rolled_back": rolled_back,
        "differ_on_disk": differ_on_disk or [],
        "error": error,
    }


def program_lines(report: dict[str, Any]) -> list[str]:
    """What `program_report` found, for people: the first line, and one when the folder differs."""
    if report["error"]:
        return [f"programs: unknown ({report['error']})"]
    if not report["files"]:
        return ["programs: none of the cell's own"]
    count = report["files"]
    line = (
        f"programs: {report['sha256'][:SHOWN]} ({count} file{'s' * (count != 1)}) "
        f"since {report['since']}"
    )
    if report["changed_by"]:
        what = "rolled back" if report["rolled_back"] else "changed"
        line += f", {what} by {report['changed_by']}"
        line += f": {report['reason']}" if report["reason"] else ""
    if not report["differ_on_disk"]:
        return [line]
    return [
        line,
        f"{', '.join(report['differ_on_disk'])} in the cell's folder differs from the running "
        "programs; 'cellwright change' or the next 'run' loads it",
    ]


def _differ(folder: Path, package: Package) -> list[str]:
    """Files of the running programs that are others on the disk, or gone."""
    found = []
    for module in package.programs.modules:
        try:
            same = hashlib.sha256((folder / module.file).read_bytes()).hexdigest() == module.sha256
        except OSError:
            same = False
        if not same:
            found.append(module.file)
    return sorted(found)


def _utc(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat(timespec="seconds")
