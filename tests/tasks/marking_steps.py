"""The steps of a marking station in tests, from the request to the mark."""

from __future__ import annotations

from typing import Any

from cellwright.io.messages import (
    SerialGranted,
)
from cellwright.tasks.marking.options import MarkingOptions
from cellwright.tasks.marking.station import MarkingStation, MarkingStep
from tasks.harness import Harness, SubmittedJob

OPTIONS = MarkingOptions(marker="peen", template="blade.lua")


def station(**options: Any) -> Harness[MarkingStation]:
    return Harness(MarkingStation, OPTIONS.model_copy(update=options), task="mark")


def grant(part_id: str = "p1", serial: str = "S1", **more: Any) -> SerialGranted:
    return SerialGranted(
        part_id=part_id, serial=serial, order="WO-2026-000001", part_number="B-17", **more
    )


def begin(cell: Harness[MarkingStation], part_id: str = "p1") -> None:
    cell["start"] = True
    cell["part_id"] = part_id
    cell.scan()


def to_preparing(cell: Harness[MarkingStation], part_id: str = "p1", serial: str = "S1") -> None:
    begin(cell, part_id)
    cell.scan(grant(part_id, serial))
    cell.scan()
    assert cell["step"] == MarkingStep.PREPARING


def prepared(cell: Harness[MarkingStation]) -> None:
    cell.scan(results=(cell.result(cell.jobs[-1], {"content": "S1|B-17"}),))


def to_marking(cell: Harness[MarkingStation]) -> SubmittedJob:
    to_preparing(cell)
    prepared(cell)
    cell.scan()
    assert cell["step"] == MarkingStep.MARKING
    return cell.jobs[-1]
