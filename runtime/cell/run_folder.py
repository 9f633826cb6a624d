"""Where a running cell keeps its image and plan, and how other processes find it.

One folder a cell under the run base (``CELLWRIGHT_RUN`` or ``/dev/shm/cellwright-<uid>``): made
by the supervisor, volatile, removed at an orderly end. The data folder's lock makes sure that one
supervisor at a time owns a cell.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from cellwright.io.files.replace import replace_file
from cellwright.io.image import Image
from cellwright.io.messages.scan_start import ScanStart
from cellwright.io.plan import Plan
from cellwright.io.plan import plan as plans
from cellwright.runtime.cell.lock import CellLock, RunError

_CELL_SECTION: Final = re.compile(rb"^cell:", re.MULTILINE)
_LOOKED_AT: Final = 65_536
"""Bytes of a file in which its section ``cell`` is looked for."""


def run_base() -> Path:
    """The folder that holds one folder per running cell."""
    configured = os.environ.get("CELLWRIGHT_RUN")
    if configured:
        return Path(configured)
    memory = Path("/dev/shm")
    root = memory if os.access(memory, os.W_OK) else Path("/tmp")
    return root / f"cellwright-{os.getuid()}"


def folder_for(plan: Plan) -> Path:
    """The run folder of a cell; two cells with the same data folder share it on purpose."""
    digest = hashlib.sha256(plan.data.encode()).hexdigest()[:12]
    return run_base() / f"{plan.cell}-{digest}"


def run_command(source: object) -> str:
    """What starts the cell of that file or folder, for a person to type in a shell."""
    return shlex.join(["cellwright", "run", str(source)])


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one running cell."""

    path: Path

    @property
    def image(self) -> Path:
        """The memory-mapped process image."""
        return self.path / "image"

    @property
    def plan_file(self) -> Path:
        """The compiled plan."""
        return self.path / "plan.msgpack"

    @property
    def start_file(self) -> Path:
        """`ScanStart` for the next scan process."""
        return self.path / "start.msgpack"

    def plan(self) -> Plan:
        """The plan that the running cell was started with; raises RunError."""
        try:
            return plans.load(self.plan_file.read_bytes())
        except (OSError, ValueError) as error:
            raise RunError(f"{self.plan_file}: {error}; is the cell still running?") from error

    def attach(self) -> tuple[Plan, Image]:
        """Plan and image of the running cell."""
        plan = self.plan()
        return plan, Image.attach(self.image, plan)

    def write_start(self, start: ScanStart) -> None:
        """Leave the next scan process what it must know."""
        replace_file(self.start_file, msgspec.msgpack.encode(start))

    def read_start(self) -> ScanStart:
        """What the supervisor left; raises RunError."""
        try:
            return msgspec.msgpack.decode(self.start_file.read_bytes(), type=ScanStart)
        except (OSError, msgspec.MsgspecError) as error:
            raise RunError(f"{self.start_file}: {error}; start the cell with 'run'") from error

    def remove(self) -> None:
        """Delete the folder's files; what is mapped elsewhere lives until it is unmapped.

        Half-written files of a supervisor that was killed go too.
        """
        if self.path.exists():
            for file in self.path.iterdir():
                file.unlink(missing_ok=True)
            self.path.rmdir()


def known_cells() -> list[tuple[RunFolder, Plan]]:
    """All cells with a plan that this version reads, by name; not all of them run."""
    base = run_base()
    if not base.is_dir():
        return []
    found = []
    for path in sorted(base.iterdir()):
        folder = RunFolder(path)
        try:
            found.append((folder, folder.plan()))
        except RunError:
            continue  # left by another version of the program
    return found


def find(selector: str | None, cwd: Path) -> RunFolder:
    """The running cell that ``selector`` means: a cell name, its folder or its file.

    Without a selector it is the cell whose file lies in ``cwd`` or in a folder above it, never
    another one; where there is no such file it is the only cell that runs. Raises RunError that
    lists what runs, or says that the cell that is meant died or does not run.
    """
    known = known_cells()
    home = cell_folder(cwd) if selector is None else None
    if home is not None:
        selector = str(home)
    running = [(folder, plan) for folder, plan in known if _runs(folder, plan)]
    candidates = _meant(selector, cwd, running)
    if len(candidates) == 1:
        return candidates[0][0]
    dead = [] if candidates else _meant(selector, cwd, known)
    if len(dead) == 1:
        _, plan = dead[0]
        raise RunError(
            f"cell '{plan.cell}' is not running: its supervisor is gone without an orderly end; "
            f"start it again with '{run_command(plan.source)}'"
        )
    plans_running = [plan for _, plan in running]
    if home is not None and not candidates:
        others = f"; running elsewhere: {_listed(plans_running)}" if plans_running else ""
        raise RunError(
            f"the cell in this folder ({home}) is not running; start it with "
            f"'{run_command(home)}', or name another cell with --cell{others}"
        )
    raise RunError(_not_one(selector, bool(candidates), plans_running))


def cell_folder(cwd: Path) -> Path | None:
    """The nearest folder, from ``cwd`` upwards, that holds a cell's file; None without one."""
    here = cwd.resolve()
    return next((folder for folder in (here, *here.parents) if _holds_cell(folder)), None)


def _holds_cell(folder: Path) -> bool:
    try:
        files = [*folder.glob("*.yaml"), *folder.glob("*.yml")]
        return any(_CELL_SECTION.search(_beginning(file)) for file in files)
    except OSError:
        return False  # a folder that this user may not read is nobody's place to type commands in


def _beginning(file: Path) -> bytes:
    with file.open("rb") as opened:
        data: bytes = opened.read(_LOOKED_AT)
        return data


def _runs(folder: RunFolder, plan: Plan) -> bool:
    """Either lock tells: somebody may have deleted the data folder of a running cell."""
    return any(CellLock(place).owner_lives() for place in (folder.path, Path(plan.data)))


def _meant(
    selector: str | None, cwd: Path, cells: list[tuple[RunFolder, Plan]]
) -> list[tuple[RunFolder, Plan]]:
    if selector is None:
        return [cell for cell in cells if Path(cell[1].folder) == cwd.resolve()] or cells
    path = (cwd / selector).resolve()
    return [
        (folder, plan)
        for folder, plan in cells
        if plan.cell == selector or Path(plan.source) == path or Path(plan.folder) == path
    ]


def _listed(cells: Iterable[Plan]) -> str:
    return ", ".join(f"{plan.cell} ({plan.source})" for plan in cells)


def _not_one(selector: str | None, several: bool, running: Iterable[Plan]) -> str:
    names = _listed(running)
    if several:
        return f"several cells run; name one with --cell: {names}"
    wanted = f"no running cell matches '{selector}'" if selector else "no cell is running"
    seen = f"running: {names}" if names else f"none is in {run_base()}, this user's folder"
    return f"{wanted}; {seen}; start one with 'cellwright run FOLDER'"
