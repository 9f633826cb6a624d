"""Where a recording comes from: its plan, its sources, whether they are still the same."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from cellwright.io.plan import Plan
from cellwright.io.plan import plan as plans
from cellwright.io.recording.cycle import (
    CycleRecord,
    Shadow,
)
from cellwright.io.recording.file import (
    Batch,
    Keyframe,
    Recording,
    RecordingError,
    Source,
)
from cellwright.tasks.api import Program


class ReplayError(Exception):
    """A recording that cannot be replayed at all; the sentence says why and what to do."""


def recorded_image(recording: Recording, cycle: int) -> bytearray:
    """Values and qualities after a recorded cycle; raises RecordingError when it is not there."""
    shadow: Shadow | None = None
    for part in recording.parts():
        if isinstance(part, Keyframe):
            shadow = Shadow(part.image.region)
        elif isinstance(part, Batch) and shadow is not None:
            for data in part.records:
                record = CycleRecord(data)
                shadow.apply(record.latched)
                shadow.apply(record.settled)
                if record.cycle == cycle:
                    return shadow.region
    raise RecordingError(f"{recording.path} has no cycle {cycle}")


def plan_of(recording: Recording) -> Plan:
    """The plan that a recording was made with; raises ReplayError."""
    try:
        return plans.load(recording.header.plan)
    except ValueError as error:
        raise ReplayError(
            f"{recording.path}: {error}; replay it with the version of the program that recorded it"
        ) from error


def recordable(plan: Plan) -> Plan:
    """The plan as a recording holds it: without what a replay does not need and may be secret."""
    devices = tuple(msgspec.structs.replace(device, options={}) for device in plan.devices)
    return msgspec.structs.replace(plan, devices=devices, database=None, opcua=None)


def sources_of(plan: Plan, programs: Sequence[type[Program[Any]]]) -> dict[str, Source]:
    """File and hash of each task's program."""
    found = {}
    for task, kind in zip(plan.tasks, programs, strict=True):
        file = inspect.getsourcefile(kind) or ""
        try:
            digest = hashlib.sha256(Path(file).read_bytes()).hexdigest()
        except OSError:
            digest = ""
        found[task.name] = Source(task.program, file, digest)
    return found


def changed_sources(
    recording: Recording, plan: Plan, programs: Sequence[type[Program[Any]]]
) -> list[str]:
    """A sentence for each program whose file is not the one that was recorded."""
    notes = []
    for task, now in sources_of(plan, programs).items():
        then = recording.header.sources.get(task)
        if then is not None and then.sha256 and then.sha256 != now.sha256:
            notes.append(
                f"the program of task '{task}' has changed since: {now.file or now.program}"
            )
    return notes
