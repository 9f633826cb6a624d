"""Tags of a running cell as plain data, read from one snapshot of its image."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from cellwright.io.image import Image
from cellwright.io.plan import Plan, quality
from cellwright.runtime.cell.tag_lookup import matching


def tag_rows(plan: Plan, image: Image, pattern: str) -> list[dict[str, Any]]:
    """One row a tag: what it is, its value, where that comes from and what is known of it.

    ``source_time`` is UTC (ISO 8601); the age does not follow jumps of the wall clock.
    """
    reader = image.snapshot_reader()
    reader.read()
    # Simulated time is not the machine's: there the snapshot's own time is now.
    simulated = bool(reader.value(plan.tag("sys.simulation").index))
    now_ns = None if simulated else time.monotonic_ns()
    rows = []
    for tag in matching(plan, pattern):
        stamp, age_ns = reader.timestamp_ns(tag.index), reader.age_ns(tag.index, now_ns)
        status = reader.quality(tag.index)
        rows.append(
            {
                "name": tag.name,
                "type": str(tag.type),
                "value": reader.value(tag.index),
                "unit": tag.unit,
                "quality": quality.name(status),
                "source_time": _utc(stamp) if stamp else None,
                "age_ms": None if age_ns is None else round(age_ns / 1e6, 1),
                "direction": str(tag.direction),
                "writer": tag.writer,
                "forced": status == quality.GOOD_LOCAL_OVERRIDE,
            }
        )
    return rows


def _utc(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat(timespec="milliseconds")
