"""A recorded cell run again, for tests of the replay."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cellwright.runtime.recorder.replay import Replay, ReplayOutcome
from cellwright.tasks.api import (
    Program,
)
from support.recorded_cell import RecordedCell


def replayed(path: Path, programs: Sequence[type[Program[Any]]], **options: Any) -> ReplayOutcome:
    with Replay(path, programs=programs) as replay:
        return replay.run(**options)


def identical(cell: RecordedCell, path: Path | None = None) -> ReplayOutcome:
    outcome = replayed(path or cell.kept(), cell.programs)
    assert outcome.difference is None, outcome.difference
    assert outcome.identical, outcome.notes
    return outcome
