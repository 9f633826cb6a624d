"""The memory-mapped file as everybody sees it: areas, rings, snapshots, figures, status."""

from cellwright.io.image.alarm_view import (
    ACTIVE,
    ANNUNCIATED,
    CELL_FIRST_OUT,
    UNACKNOWLEDGED,
    AlarmState,
    AlarmStatus,
    AlarmView,
    alarm_state,
)
from cellwright.io.image.areas import Area, Text, round_up
from cellwright.io.image.beneath import Beneath
from cellwright.io.image.device_port import (
    INPUT_HEADER_SIZE,
    STATUS_SIZE,
    DevicePort,
    OutputHeader,
    input_block_size,
)
from cellwright.io.image.image import Image, ImageError, Inputs
from cellwright.io.image.rings import (
    CommandRing,
    EventRing,
    Reply,
    RingDamaged,
    RingError,
    RingFull,
    SpscRing,
    ring_sizes,
)
from cellwright.io.image.snapshot_reader import BlockLayout, Changes, SnapshotReader, adopt_stamps
from cellwright.io.image.statistics import SCAN, Distribution, Statistics, bucket_low
from cellwright.io.image.status import ProcessSlot, ScanStatus
from cellwright.io.image.values import Reader, ValueViews, Writer, reader, store_initial, writer

__all__ = [
    "ACTIVE",
    "ANNUNCIATED",
    "CELL_FIRST_OUT",
    "INPUT_HEADER_SIZE",
    "SCAN",
    "STATUS_SIZE",
    "UNACKNOWLEDGED",
    "AlarmState",
    "AlarmStatus",
    "AlarmView",
    "Area",
    "Beneath",
    "BlockLayout",
    "Changes",
    "CommandRing",
    "DevicePort",
    "Distribution",
    "EventRing",
    "Image",
    "ImageError",
    "Inputs",
    "OutputHeader",
    "ProcessSlot",
    "Reader",
    "Reply",
    "RingDamaged",
    "RingError",
    "RingFull",
    "ScanStatus",
    "SnapshotReader",
    "SpscRing",
    "Statistics",
    "Text",
    "ValueViews",
    "Writer",
    "adopt_stamps",
    "alarm_state",
    "bucket_low",
    "input_block_size",
    "reader",
    "ring_sizes",
    "round_up",
    "store_initial",
    "writer",
]
