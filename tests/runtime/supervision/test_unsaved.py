"""Events that could not be made durable are told, kept, and taken in at the next start."""

from __future__ import annotations

import json
import resource
import signal
import time
from pathlib import Path

from cellwright.io.journal.journal import JournalReader
from cellwright.io.messages import TagWritten
from support.small_cell import SmallCell


def written(cell: SmallCell) -> list[str]:
    """Reasons of the writes that are in the journal."""
    with JournalReader(cell.folder / "data" / "journal.db") as journal:
        events = [event for _, event in journal.read(0, 10_000)]
    return [event.reason for event in events if isinstance(event, TagWritten)]


def test_an_end_on_a_full_disk_is_not_orderly_and_the_next_start_takes_the_events_in(
    tmp_path: Path,
) -> None:
    cell = SmallCell(tmp_path / "cell", tmp_path / "run")
    supervisor = cell.launch()
    try:
        cell.until_said(supervisor, "RUN\n")
        report = json.loads(cell.type("status", "--json").stdout)
        journal = report["processes"]["journal"]["pid"]
        # No new byte of the write-ahead log: what the journal process writes is refused.
        resource.prlimit(journal, resource.RLIMIT_FSIZE, (32, resource.RLIM_INFINITY))
        cell.type("tags", "set", "clamp_setpoint", "6", "--reason", "on a full disk")
        deadline = time.monotonic() + 60
        while json.loads(cell.type("status", "--json").stdout)["journal"]["ok"]:
            assert time.monotonic() < deadline, "the journal does not notice the full disk"
            time.sleep(0.05)
        supervisor.send_signal(signal.SIGTERM)
        said, _ = supervisor.communicate(timeout=60)
    finally:
        supervisor.kill()
    assert supervisor.returncode == 1
    assert "could not be written to the journal (" in said
    assert f"{TagWritten.__struct_config__.tag} 1" in said
    assert "make room on the disk of the data folder" in said
    assert "on a full disk" not in written(cell)

    again = cell.launch()
    try:
        said = cell.until_said(again, "waits in STOP")
    finally:
        again.send_signal(signal.SIGTERM)
        rest, _ = again.communicate(timeout=60)
    assert "of the last run, " in said
    assert f"{TagWritten.__struct_config__.tag} 1); they are there now" in said
    assert again.returncode == 0, rest
    assert written(cell).count("on a full disk") == 1
    assert list(cell.run.iterdir()) == []
