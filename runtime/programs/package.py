"""The files in the run folder by which programs reach a scan: what runs, what ran before, a change.

``cellwright change`` writes a change, the scan takes it over as what runs. A scan that is started
again goes on with what ran, whatever lies in the cell's folder by then.
"""

from __future__ import annotations

import hashlib
import marshal
import os
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from types import CodeType
from typing import Any, Final

import msgspec

from cellwright.io.files.replace import replace_file
from cellwright.io.messages import ChangeProgram
from cellwright.io.plan import Plan
from cellwright.runtime.cell.run_folder import RunFolder
from cellwright.runtime.programs.program_set import ProgramSet, compiled

RUNNING: Final = "programs.msgpack"
BEFORE: Final = "programs-before.msgpack"


class PackageError(Exception):
    """A file of programs that cannot be used; the sentence says why and what to do."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants a change and which; it lies in the same file, so that it outlives the scan."""

    actor: str
    reason: str
    old: str
    """SHA-256 over the program files before."""
    tasks: list[str]
    files: list[str]
    """Changed ones; of very many only the first."""
    rolled_back: bool
    token: str
    """Random: a change back and forth is another change each time."""


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """Programs of a cell, whole: sources, and for a change what they were compiled to."""

    boot: str
    """Supervisor that it is for; another one's is of no use."""
    layout_hash: bytes
    programs: ProgramSet
    options: list[dict[str, Any]]
    """Of each task, validated."""
    workers: dict[str, dict[str, str]]
    """By task: file to SHA-256 of what its worker is made of."""
    code: list[bytes] = []
    """Of each module, marshalled; empty where the sources are compiled anew."""
    magic: bytes = MAGIC_NUMBER
    """Of the Python that compiled ``code``."""
    utc_ns: int = 0
    """When it was asked for, or began to run; for people."""
    asked: Asked | None = None
    """Of a change; None for what a scan found in the cell's folder."""


def supervisor_boot(boot_id: str) -> str:
    """The part of a scan's boot id that is its supervisor's."""
    return boot_id[:-2]


def affected(plan: Plan, programs: ProgramSet) -> list[int]:
    """Tasks whose programs are among these modules, by index."""
    names = programs.names()
    return [task.index for task in plan.tasks if task.program.partition(":")[0] in names]


def compile_code(programs: ProgramSet, folder: Path) -> list[bytes]:
    """Each module's code, marshalled; raises SyntaxError or ValueError."""
    return [marshal.dumps(compiled(module, folder)) for module in programs.modules]


def code_of(package: Package) -> dict[str, CodeType]:
    """Each module's code by name; empty when this Python did not compile it."""
    if package.magic != MAGIC_NUMBER or len(package.code) != len(package.programs.modules):
        return {}
    return {
        module.name: marshal.loads(data)
        for module, data in zip(package.programs.modules, package.code, strict=True)
    }


# --- files ----------------------------------------------------------------------------------------


def leave_change(folder: RunFolder, package: Package, asked: Asked, utc_ns: int) -> ChangeProgram:
    """Write a change for the scan; gives the command that asks for it. Raises OSError."""
    package = msgspec.structs.replace(package, asked=asked, utc_ns=utc_ns)
    data = msgspec.msgpack.encode(package)
    sha256 = hashlib.sha256(data).hexdigest()
    replace_file(change_file(folder, sha256), data)
    return command_of(asked, package.programs.digest, sha256)


def command_of(asked: Asked, new: str, sha256: str) -> ChangeProgram:
    """The command for a change whose file has that hash."""
    return ChangeProgram(
        actor=asked.actor,
        reason=asked.reason,
        sha256=sha256,
        old=asked.old,
        new=new,
        tasks=asked.tasks,
        files=asked.files,
        rolled_back=asked.rolled_back,
    )


def change_that_runs(folder: RunFolder) -> ChangeProgram | None:
    """The change that made the running programs what they are; None when they never changed.

    Raises PackageError.
    """
    data = _bytes_of(folder.path / RUNNING)
    package = _decoded(folder.path / RUNNING, data)
    if package.asked is None:
        return None
    return command_of(package.asked, package.programs.digest, hashlib.sha256(data).hexdigest())


def change_file(folder: RunFolder, sha256: str) -> Path:
    """Where a change of that hash lies."""
    return folder.path / f"change-{sha256}.msgpack"


def read_change(folder: RunFolder, sha256: str) -> Package:
    """A change as it was left; raises PackageError."""
    if len(sha256) != hashlib.sha256().digest_size * 2 or not sha256.isalnum():
        raise PackageError(f"'{sha256[:80]}' is not the SHA-256 of a change")
    path = change_file(folder, sha256)
    data = _bytes_of(path)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise PackageError(f"{path.name} is not what was validated; give the change again")
    return _decoded(path, data)


def prepare_take_over(folder: RunFolder) -> None:
    """Leave `take_over` no more to do than it must. Raises OSError."""
    # A link, so that there is never a moment in which nothing is what runs.
    link = folder.path / (BEFORE + ".new")
    link.unlink(missing_ok=True)
    link.hardlink_to(folder.path / RUNNING)


def take_over(folder: RunFolder, sha256: str) -> None:
    """The change is what runs from now on, what ran is what ran before. Raises OSError."""
    os.replace(folder.path / (BEFORE + ".new"), folder.path / BEFORE)
    os.replace(change_file(folder, sha256), folder.path / RUNNING)


def write_running(folder: RunFolder, package: Package) -> None:
    """What a scan begins with; nothing ran before it. Raises OSError."""
    replace_file(folder.path / RUNNING, msgspec.msgpack.encode(package))
    (folder.path / BEFORE).unlink(missing_ok=True)


def read_running(folder: RunFolder) -> Package:
    """What runs; raises PackageError."""
    return _decoded(folder.path / RUNNING, _bytes_of(folder.path / RUNNING))


def read_before(folder: RunFolder) -> Package | None:
    """What ran before the last change; None when there was none. Raises PackageError."""
    path = folder.path / BEFORE
    return _decoded(path, _bytes_of(path)) if path.exists() else None


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PackageError(f"{path}: {error.strerror}; is the cell still running?") from error


def _decoded(path: Path, data: bytes) -> Package:
    try:
        return msgspec.msgpack.decode(data, type=Package)
    except msgspec.MsgspecError as error:
        raise PackageError(f"{path} holds no programs: {error}; start the cell again") from error
