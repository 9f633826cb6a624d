"""The data folder fails the cell: it cannot be written, or its disk runs full while blades move."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from cellwright.io.messages import FaultRaised, ModeChanged
from cellwright.io.plan import CellState
from support.cells import CellUnderTest
from support.evidence import assert_whole, keep_running, patient_and_unseen, until_recorded
from support.small_cell import SmallCell

SAFE = {
    "clamp_close": False,
    "conveyor_run": False,
    "eject_good": False,
    "eject_reject": False,
    "lamp_green": False,
    "lamp_red": True,
    "marker_enable": False,
}


def can_mount() -> bool:
    """Root in a container often cannot, so it is tried."""
    if os.geteuid() != 0:
        return False
    probe = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False
    )
    return probe.returncode == 0


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


# --- cannot be written ----------------------------------------------------------------------------


def is_safe(cell: CellUnderTest) -> bool:
    """Every output at its safe value; one that the plant has never seen change is off."""
    outputs = cell.plant.outputs_at(time.monotonic_ns())
    return all(outputs.get(name, False) == value for name, value in SAFE.items())


def assert_run_refused(cell: SmallCell, data: Path, why: str) -> None:
    done = cell.command("run", "--data", str(data))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert str(data) in sentence
    assert why in sentence
    assert sentence.endswith("or --data)")
    assert not list(cell.run.glob("*")), "it has left nothing in the run base"


def test_run_refuses_a_place_where_no_folder_can_be_made(tmp_path: Path) -> None:
    """The kernel's own tree refuses even root."""
    assert_run_refused(SmallCell(tmp_path / "cell", tmp_path / "run"), Path("/sys/cw/data"), "")


def test_run_refuses_a_data_folder_that_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.touch()
    assert_run_refused(SmallCell(tmp_path / "cell", tmp_path / "run"), file, "File exists")


@pytest.mark.parametrize("way", ["tmpfs" if can_mount() else "mode"])
def test_run_refuses_a_read_only_data_folder(tmp_path: Path, way: str) -> None:
    cell = SmallCell(tmp_path / "cell", tmp_path / "run")
    if way == "tmpfs":
        with mounted(tmp_path / "data", "ro") as folder:
            assert_run_refused(cell, folder, "Read-only file system")
    elif os.geteuid() != 0:
        folder = tmp_path / "data"
        folder.mkdir(mode=0o555)
        assert_run_refused(cell, folder, "Permission denied")
    else:
        # Root without the right to mount: nothing is read-only to it but the kernel's own tree.
        assert_run_refused(cell, Path("/sys/kernel"), "")


# --- runs full ------------------------------------------------------------------------------------


class FullDisk:
    """Takes the space away from the journal and gives it back."""

    def __init__(self, cell: CellUnderTest, mount: Path | None) -> None:
        self._cell = cell
        self._mount = mount
        self._journal = 0

    def fill(self) -> None:
        if self._mount is not None:
            with (self._mount / "filler").open("wb", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(bytes(65536))
            return
        # No new byte of the write-ahead log: what the journal process writes is refused.
        self._journal = self._cell.pid("journal")
        resource.prlimit(self._journal, resource.RLIMIT_FSIZE, (32, resource.RLIM_INFINITY))

    def free(self) -> None:
        if self._mount is not None:
            (self._mount / "filler").unlink()
            return
        assert self._cell.pid("journal") == self._journal, "it survives the full disk"
        wide = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(self._journal, resource.RLIMIT_FSIZE, wide)


@pytest.mark.parametrize("way", ["file size limit", *(["tmpfs"] if can_mount() else [])])
@pytest.mark.behaviour(4)
def test_a_full_disk_stops_the_cell_safely_and_nothing_is_lost_when_there_is_space_again(
    tmp_path: Path, way: str
) -> None:
    if way == "tmpfs":
        with mounted(tmp_path / "small", "size=24m") as mount:
            _work_through_a_full_disk(tmp_path, mount)
    else:
        _work_through_a_full_disk(tmp_path, None)


def _work_through_a_full_disk(folder: Path, mount: Path | None) -> None:
    parts = 4

    def edit(cell: Any) -> None:
        patient_and_unseen(cell)
        if mount is not None:
            cell["cell"]["data"] = str(mount / "data")

    with CellUnderTest(folder / "cell", parts=parts, speed=15, edit=edit) as cell:
        disk = FullDisk(cell, mount)
        cell.order("J1", parts)
        cell.plant.wait_for("mark_started", timeout_s=60, part=2)
        disk.fill()
        cell.until_state(CellState.FAULT)
        said = cell.value("sys.first_fault")
        assert "the journal" in said
        assert cell.image.scan.fault_code == "surroundings"
        assert "space" in cell.image.journal.error
        assert str(cell.data)[-20:] in cell.image.journal.error
        cell.until(lambda: is_safe(cell), "every output at its safe value")
        at = time.monotonic_ns()
        marks = len(cell.plant.events("marked"))
        time.sleep(0.5)
        assert is_safe(cell)
        assert [e for e in cell.plant.events("output") if e["mono_ns"] > at] == []
        assert len(cell.plant.events("marked")) <= marks + 1
        assert cell.state is CellState.FAULT
        disk.free()
        cell.until(lambda: cell.image.journal.ok, "the journal is written again")
        cell.until(lambda: cell.state is CellState.RUN or keep_running(cell), "RUN again")
        cell.plant.wait_for("finished", timeout_s=60)
        until_recorded(cell, parts)
        faults = [event for event in cell.events() if isinstance(event, FaultRaised)]
        assert [event.code for event in faults] == ["surroundings"]
        modes = [event.new for event in cell.events() if isinstance(event, ModeChanged)]
        assert modes == ["STOP", "RUN", "FAULT", "STOP", "RUN"]
        assert cell.stop() == 0
        assert_whole(cell, parts)
