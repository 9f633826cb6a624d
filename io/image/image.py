"""The memory-mapped image file: what all processes of a cell share.

Created once by the supervisor from a plan, attached by every other process with the same plan; a
process with another idea of the layout is refused. Each area has one writer, see `Image`.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from cellwright.io.image.areas import LINE, Area, round_up
from cellwright.io.image.device_port import (
    DevicePort,
    Inputs,
    OutputHeader,
    input_block_size,
    output_block_size,
)
from cellwright.io.image.recorder_status import RecordedStatus, RecorderStatus, ring_capacity
from cellwright.io.image.rings import CommandRing, EventRing, SpscRing, ring_sizes
from cellwright.io.image.snapshot_reader import BlockLayout, SnapshotReader
from cellwright.io.image.statistics import Statistics
from cellwright.io.image.status import (
    BEAT_SIZE,
    SUPERVISED_SIZE,
    GatewayStatus,
    JournalStatus,
    ProcessSlot,
    ProcessTable,
    ScanStatus,
    SupervisorStatus,
    process_names,
)
from cellwright.io.plan import Code, Plan
from cellwright.native import lib

__all__ = [
    "CommandRing",
    "DevicePort",
    "EventRing",
    "GatewayStatus",
    "Image",
    "ImageError",
    "Inputs",
    "JournalStatus",
    "OutputHeader",
    "ProcessSlot",
    "ProcessTable",
    "ScanStatus",
    "SnapshotReader",
    "SpscRing",
    "Statistics",
    "SupervisorStatus",
]

MAGIC: Final = b"CWIMAGE\x00"
FORMAT_VERSION: Final = 1
_HEADER: Final = struct.Struct("<8sII Q 32s 8s II")
_ENTRY: Final = struct.Struct("<48sQQ")
_BOOT_ID: Final = re.compile(r"[0-9a-f]{8}")

SCAN_EVENTS: Final = 1 << 20
"""Bytes of the scan's event ring: thousands of events while the journal restarts."""
SUPERVISOR_EVENTS: Final = 1 << 18
GATEWAY_EVENTS: Final = 1 << 16
WORK: Final = 1 << 18
"""Bytes of a job or result ring."""
_SMALLEST_SLOT: Final = 16_384
"""Room for a command that writes some hundred tags."""


class ImageError(Exception):
    """The image file is missing, damaged, or not the one that this plan describes."""


class _Place(msgspec.Struct, frozen=True):
    name: str
    offset: int
    size: int


def _command_slot(plan: Plan) -> int:
    """Bytes of a command slot: room to write the largest tag, as msgpack, and the words around."""
    largest = 0
    for tag in plan.tags:
        per_item = 5 + tag.type.length if tag.type.code is Code.STRING else 9
        largest = max(largest, tag.type.count * per_item + len(tag.name.encode()))
    return round_up(max(_SMALLEST_SLOT, largest + 1024))


def _areas(plan: Plan) -> tuple[dict[str, _Place], int, int]:
    """Name to place of each area, the size of the header, the size of the file."""
    commands, replies = CommandRing.sizes(_command_slot(plan))
    sizes: dict[str, int] = {
        "scan": ScanStatus.size,
        "snapshot": lib.cw_snapshot_size(BlockLayout(plan).size),
        "forces": round_up(BlockLayout(plan).value_size) + round_up(len(plan.tags)),
        "statistics": Statistics.size(len(plan.tasks)),
        "replies": replies,
        "commands": commands,
        "journal": JournalStatus.size,
        "gateway": GatewayStatus.size,
        "supervisor": SupervisorStatus.size,
        "recorded": RecordedStatus.size,
        "recorder": RecorderStatus.size,
    }
    for index, _ in enumerate(process_names(plan)):
        sizes[f"process.{index}.supervised"] = SUPERVISED_SIZE
        sizes[f"process.{index}.beat"] = BEAT_SIZE
    rings = {
        "events.scan": SCAN_EVENTS,
        "events.supervisor": SUPERVISOR_EVENTS,
        "events.gateway": GATEWAY_EVENTS,
        "records": ring_capacity(plan),
    }
    for task in plan.tasks:
        if task.worker:
            rings[f"job.{task.index}"] = WORK
            rings[f"result.{task.index}"] = WORK
    for name, capacity in rings.items():
        sizes[f"{name}.producer"], sizes[f"{name}.consumer"] = ring_sizes(capacity)
    for index, device in enumerate(plan.devices):
        sizes[f"device.{index}.status"] = DevicePort.size
        sizes[f"device.{index}.inputs"] = lib.cw_snapshot_size(input_block_size(device))
        sizes[f"device.{index}.outputs"] = lib.cw_snapshot_size(output_block_size(device))
    header = round_up(_HEADER.size + len(sizes) * _ENTRY.size, mmap.PAGESIZE)
    places = {}
    position = header
    for name, size in sizes.items():
        places[name] = _Place(name, position, size)
        position = round_up(position + size, LINE)
    return places, header, round_up(position, mmap.PAGESIZE)


class Image:
    """The image file, mapped. Who writes what:

    ========================================= ==========================================
    ``scan``, ``statistics``, the snapshot    scan process
    ``device(n)`` fields and inputs           that device's driver process
    ``device(n)`` outputs                     scan process
    ``commands``                              anyone sends, the scan receives and answers
    ``events[process]``                       that process; the journal process reads
    ``job_ring``, ``result_ring``             scan and that task's worker, one way each
    ``processes``                             supervisor; each process its own beat
    ``journal``                               journal process
    ``records``, ``recorded``                 scan process; the recorder process reads
    ``recorder``                              recorder process
    ========================================= ==========================================
    """

    boot_id: str
    path: Path

    def __init__(self, path: Path, plan: Plan, mapping: mmap.mmap) -> None:
        """Use `create` or `attach`."""
        self.path = path
        self.plan = plan
        places, _, _ = _areas(plan)
        self._places = places
        self._view = memoryview(mapping)
        self.boot_id = _HEADER.unpack_from(mapping)[5].decode("ascii")
        self.scan = ScanStatus(self.area("scan"))
        self.journal = JournalStatus(self.area("journal"))
        self.gateway = GatewayStatus(self.area("gateway"))
        self.supervisor = SupervisorStatus(self.area("supervisor"))
        self.recorded = RecordedStatus(self.area("recorded"))
        self.recorder = RecorderStatus(self.area("recorder"))
        self.records = self._ring("records")
        self.statistics = Statistics(self.area("statistics"), len(plan.tasks))
        self.commands = CommandRing(
            self.area("commands"), self.area("replies"), _command_slot(plan)
        )
        self.events: Mapping[str, EventRing] = MappingProxyType(
            {name: self._ring(f"events.{name}") for name in ("scan", "supervisor", "gateway")}
        )
        self.processes = ProcessTable(
            {
                name: ProcessSlot(
                    name,
                    self.area(f"process.{index}.supervised"),
                    self.area(f"process.{index}.beat"),
                )
                for index, name in enumerate(process_names(plan))
            }
        )

    @classmethod
    def create(cls, path: Path, plan: Plan, boot_id: str) -> Image:
        """Make a new file, all zero but for the header, and put it in place in one step.

        ``boot_id`` is 8 lower-case hexadecimal digits. Processes attached to a former file at the
        same path keep that one.
        """
        if not _BOOT_ID.fullmatch(boot_id):
            raise ValueError(f"a boot id is 8 lower-case hexadecimal digits, not {boot_id!r}")
        places, header_size, total = _areas(plan)
        directory = b"".join(
            _ENTRY.pack(place.name.encode(), place.offset, place.size) for place in places.values()
        )
        head = _HEADER.pack(
            MAGIC,
            FORMAT_VERSION,
            header_size,
            total,
            plan.layout_hash,
            boot_id.encode(),
            len(places),
            zlib.crc32(directory),
        )
        # Not by `tempfile`, which every process that attaches would load for the one that creates.
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            temporary.unlink(missing_ok=True)
            handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ImageError(
                f"the image {path} cannot be created: {error.strerror}; check that the folder "
                f"{path.parent} exists and can be written"
            ) from error
        try:
            try:
                # Not a sparse file: a full file system is found here and not by SIGBUS later.
                os.posix_fallocate(handle, 0, total)
                os.pwrite(handle, head + directory, 0)
                mapping = _map(handle, total)
            finally:
                os.close(handle)
            temporary.rename(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise ImageError(
                f"the image {path} of {total} bytes cannot be created: {error.strerror}; free "
                f"some memory or choose another place"
            ) from error
        return cls(path, plan, mapping)

    @classmethod
    def attach(cls, path: Path, plan: Plan) -> Image:
        """Map an existing file; ImageError when it is not the image that this plan describes."""
        try:
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise ImageError(
                f"the image {path} cannot be opened: {error.strerror}; is the supervisor of this "
                f"cell running, and as the same user?"
            ) from error
        try:
            size = os.fstat(handle).st_size
            _check(path, plan, handle, size)
            mapping = _map(handle, size)
        finally:
            os.close(handle)
        return cls(path, plan, mapping)

    def close(self) -> None:
        """Let go of the file. The memory is unmapped when the last port or ring is gone too."""
        self._view = memoryview(b"")

    def area(self, name: str) -> Area:
        """An area by its name in the directory."""
        if not self._view:
            raise ImageError(f"the image {self.path} is closed")
        place = self._places[name]
        return Area(self._view[place.offset : place.offset + place.size])

    def _ring(self, name: str) -> SpscRing:
        return SpscRing(name, self.area(f"{name}.producer"), self.area(f"{name}.consumer"))

    def device(self, index: int) -> DevicePort:
        """The port of the device with that place in the plan; make it once and keep it."""
        return DevicePort(
            self.plan.devices[index],
            self.area(f"device.{index}.status"),
            self.area(f"device.{index}.inputs"),
            self.area(f"device.{index}.outputs"),
        )

    def job_ring(self, task_index: int) -> SpscRing:
        """Jobs from the scan to a task's worker; KeyError when the task has none."""
        return self._ring(f"job.{task_index}")

    def result_ring(self, task_index: int) -> SpscRing:
        """Results from a task's worker to the scan; KeyError when the task has none."""
        return self._ring(f"result.{task_index}")

    def snapshot_reader(self) -> SnapshotReader:
        """A new reader with a copy of its own."""
        return SnapshotReader(self.plan, self.area("snapshot"))


def _map(handle: int, size: int) -> mmap.mmap:
    # All pages at once, so that no cycle meets a page fault for the first time.
    return mmap.mmap(handle, size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)


def _check(path: Path, plan: Plan, handle: int, size: int) -> None:
    """Compare the file's header with the plan; raises ImageError."""
    places, header_size, total = _areas(plan)
    head = os.pread(handle, _HEADER.size, 0)
    if len(head) < _HEADER.size or head[: len(MAGIC)] != MAGIC:
        raise ImageError(
            f"{path} is not an image file ({size} bytes, begins with {head[:8]!r}); give the "
            f"path that the supervisor uses"
        )
    _, version, found_header, found_total, found_hash, boot_id, count, check = _HEADER.unpack(head)
    if version != FORMAT_VERSION:
        raise ImageError(
            f"the image {path} has format {version}, this program reads {FORMAT_VERSION}; "
            f"restart all processes of the cell with one version of the program"
        )
    if size < found_total:
        raise ImageError(
            f"the image {path} is truncated: {size} bytes of {found_total}; restart the "
            f"supervisor, which makes it anew"
        )
    if found_hash != plan.layout_hash:
        raise ImageError(
            f"the image {path} has layout {found_hash.hex()}, the plan has layout "
            f"{plan.layout_hash.hex()}: they come from different configurations; restart the "
            f"whole cell with the same cell.yaml"
        )
    directory = os.pread(handle, count * _ENTRY.size, _HEADER.size)
    expected = b"".join(
        _ENTRY.pack(place.name.encode(), place.offset, place.size) for place in places.values()
    )
    if (
        found_total != total
        or found_header != header_size
        or zlib.crc32(directory) != check
        or directory != expected
        or not _BOOT_ID.fullmatch(boot_id.decode("ascii", "replace"))
    ):
        raise ImageError(
            f"the header of the image {path} is damaged, or its areas were laid out by another "
            f"version of the program (layout {found_hash.hex()} in both); restart the whole cell"
        )
