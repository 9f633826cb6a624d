"""Processes of a whole cell are killed while blades move: nothing is lost, nothing is doubled."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from cellwright.io.image.command_client import CommandFailed
from cellwright.io.messages import (
    FaultRaised,
    InspectionCompleted,
    MarkCompleted,
    PartArrived,
    PartReleased,
)
from cellwright.io.plan import CellState
from support.cells import CellUnderTest
from support.evidence import assert_whole, patient, patient_and_unseen, until_recorded, until_seen


def alone(cell: Any) -> None:
    """Without OPC UA and MES: nothing but the scan, its devices and the journal."""
    patient(cell)
    del cell["opcua"]
    del cell["mes"]


def test_kills_of_the_journal_at_random_lose_and_double_no_event(tmp_path: Path) -> None:
    chance, parts = random.Random(11), 5
    with CellUnderTest(tmp_path / "cell", parts=parts, speed=15, edit=patient_and_unseen) as cell:
        cell.order("J1", parts)
        for part in range(1, parts + 1):
            until_seen(cell, "arrived", part=part)
            time.sleep(chance.uniform(0.0, 0.3))
            pid = cell.until(lambda: cell.pid("journal"), "a journal process")
            os.kill(pid, signal.SIGKILL)
            cell.until(lambda old=pid: cell.pid("journal") not in (0, old), "a new one")
            until_recorded(cell, part)
        cell.plant.wait_for("finished", timeout_s=60)
        assert cell.image.processes["journal"].restarts == parts
        assert cell.image.processes["scan"].restarts == 0
        ended = [e for e in cell.events() if isinstance(e, FaultRaised) and "journal" in e.text]
        assert len([e for e in ended if e.code == "process_ended"]) == parts
        assert cell.stop() == 0
        assert_whole(cell, parts)


def test_after_the_death_of_its_worker_in_a_mark_the_outcome_is_unknown_and_the_camera_decides(
    tmp_path: Path,
) -> None:
    parts = 3
    with CellUnderTest(tmp_path / "cell", parts=parts, speed=10, edit=patient_and_unseen) as cell:
        cell.order("J1", parts)
        until_seen(cell, "mark_started", part=2)
        cell.kill("worker:mark")
        until_recorded(cell, parts)
        cell.plant.wait_for("finished", timeout_s=60)
        assert cell.image.processes["worker:mark"].restarts == 1
        events = cell.events()
        part = [e.part_id for e in events if isinstance(e, PartArrived)][1]
        (marked,) = [e for e in events if isinstance(e, MarkCompleted) and e.part_id == part]
        assert (marked.outcome, marked.detail) == (
            "unknown",
            "the worker process died during the job",
        )
        (seen,) = [e for e in events if isinstance(e, InspectionCompleted) and e.part_id == part]
        (released,) = [e for e in events if isinstance(e, PartReleased) and e.part_id == part]
        assert released.verdict == ("good" if seen.verdict == "ok" else "rejected")
        if cell.plant.events("marked", part=2, complete=True):
            assert seen.verdict == "ok", "the marker had finished by itself"
        else:
            # The interlock stopped the pin, maybe only in the lines of text beside the symbol.
            assert cell.plant.events("mark_aborted", part=2)
        if seen.verdict == "ok":
            assert seen.read == seen.expected
        outcomes = [e.outcome for e in events if isinstance(e, MarkCompleted)]
        assert outcomes == ["acknowledged", "unknown", "acknowledged"]
        assert cell.stop() == 0
        assert_whole(cell, parts)


def test_a_blade_whose_arrival_was_not_durable_yet_is_known_to_the_next_scan(
    tmp_path: Path,
) -> None:
    """The journal stands still, the scan is killed: its ring tells the next one what it did."""
    with CellUnderTest(tmp_path / "cell", parts=1, speed=1.5, start="stop", edit=alone) as cell:
        journal, ring = cell.pid("journal"), cell.image.events["scan"]
        cell.until(lambda: _started(cell), "the cell starts")
        cell.until(lambda: ring.acknowledged == ring.written, "that it started is durable")
        os.kill(journal, signal.SIGSTOP)
        cell.plant.wait_for("arrived", timeout_s=30)
        cell.until(lambda: cell.value("sequence.part_id"), "the program knows the blade")
        assert ring.acknowledged < ring.written
        part = cell.value("sequence.part_id")
        old = cell.pid("scan")
        cell.kill("scan")
        cell.until(lambda: cell.pid("scan") not in (0, old), "a new scan")
        cell.until(lambda: cell.image.scan.pid == cell.pid("scan"), "it has attached")
        os.kill(journal, signal.SIGCONT)
        cell.until(lambda: _started(cell), "the cell starts again")
        cell.until(lambda: cell.value("sequence.part_id"), "the program knows the blade again")
        assert cell.value("sequence.part_id") == part
        assert cell.stop() == 0
        assert [e.part_id for e in cell.events() if isinstance(e, PartArrived)] == [part]


def _started(cell: CellUnderTest) -> bool:
    try:
        cell.request("start")
    except CommandFailed:
        return False
    return True


@pytest.mark.behaviour(1)
def test_a_scan_that_dies_while_the_supervisor_starts_the_cell_waits_for_an_operator(
    tmp_path: Path,
) -> None:
    """``start: run`` is for an orderly start only."""
    with CellUnderTest(tmp_path / "cell", start="run", edit=_without_coupler) as cell:
        assert cell.state is not CellState.RUN, "an input has never been read"
        old = cell.pid("scan")
        cell.kill("scan")
        cell.until(lambda: cell.pid("scan") not in (0, old), "a new scan")
        cell.until(lambda: "the cell stays in STOP" in cell.output(), "the supervisor gives up", 30)
        assert "RUN" not in cell.output()


def _without_coupler(cell: Any) -> None:
    alone(cell)
    cell["devices"]["remote_io"]["port"] = 1
