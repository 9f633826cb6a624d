"""Mistakes in cell files with every key: no traceback, an answer in time, no FAULT when correct.

``make mutants N=1000 SEED=1`` is the long run; ``tests/support/cell_mutants.py`` prints a mutant.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from pathlib import Path

import pytest

from cellwright.io.plan import CellState, Plan
from cellwright.io.plan import plan as plans
from cellwright.runtime.cli.referenced_files import complaints
from cellwright.runtime.config import check_file
from cellwright.runtime.simulation.cell import SimulatedCell
from cellwright.runtime.simulation.errors import SimulationError
from support.campaign import SCALE
from support.cell_mutants import Mutants, bases, places, text_of, words_of_schema, write_files

COUNT = int(os.environ.get("CELLWRIGHT_MUTANTS") or (1000 if SCALE >= 10 else 40))
SEED = int(os.environ.get("CELLWRIGHT_SEED") or 1)
CHECK_CPU_S = 5.0
"""Longest time of the processor for one check. A right cell of this size takes 0.1 s."""
RAW = re.compile(r"Input should be|Traceback|pydantic|ValidationError|<class |object at 0x")
"""Words that no complaint of ours has."""
DECLARED = frozenset({"alarm", "heartbeat_lost", "device_lost"})
"""Faults that the cell's file asks for: a consequence, or `on_loss: fault`."""


def test_the_cells_have_every_key_of_the_schema_are_correct_and_run(tmp_path: Path) -> None:
    write_files(tmp_path)
    file = tmp_path / "cell.yaml"
    keys, _ = words_of_schema()
    assert not keys - {str(at[-1]) for base in bases() for at in places(base)}
    for base in bases():
        file.write_bytes(text_of(base, 0))
        report = check_file(file)
        assert report.plan is not None, report.problems
        assert complaints(report.plan) == []
        assert fate(report.plan) == "RUN"


def fate(plan: Plan) -> str:
    """State after a second, or why there is none."""
    try:
        with SimulatedCell(plan) as cell:
            cell.run_for(1.0)
            scan = cell.image.scan
            if CellState(scan.state) is CellState.FAULT:
                return f"FAULT {scan.fault_code}: {scan.fault_text}"
            return CellState(scan.state).name
    except SimulationError as error:
        return f"refused: {error}"


@pytest.mark.campaign
def test_a_mutant_gets_an_answer_and_does_not_fail_when_it_is_correct(tmp_path: Path) -> None:
    write_files(tmp_path)
    file = tmp_path / "cell.yaml"
    mutants = Mutants()
    wrong: list[str] = []
    fates: Counter[str] = Counter()
    longest_s = 0.0
    for number in range(SEED * 1_000_000, SEED * 1_000_000 + COUNT):
        mutant, done = mutants.draw(number)
        name = f"{number} ({'; '.join(done)})"
        file.write_bytes(text_of(mutant, number))
        begun_s = time.process_time()
        try:
            report = check_file(file)
            found = [str(problem) for problem in report.problems]
            if report.plan is not None:
                found += complaints(report.plan)
        except Exception as error:  # noqa: BLE001 - each is a finding
            wrong.append(f"{name}: {type(error).__name__}: {error}")
            continue
        took_s = time.process_time() - begun_s
        longest_s = max(longest_s, took_s)
        if took_s > CHECK_CPU_S:
            wrong.append(f"{name}: check took {took_s:.1f} s")
        wrong += [f"{name}: {line}" for line in found if RAW.search(line) or "\n" in line]
        if report.plan is None or (found and len(found) > len(report.problems)):
            fates["complaints"] += 1
            continue
        try:
            assert plans.load(plans.dump(report.plan)) == report.plan
            what = fate(report.plan)
        except Exception as error:  # noqa: BLE001 - each is a finding
            wrong.append(f"{name}: correct, then {type(error).__name__}: {error}")
            continue
        kind, _, text = what.partition(":")
        fates[kind] += 1
        if (kind.startswith("FAULT") and kind.removeprefix("FAULT ") not in DECLARED) or (
            kind == "refused" and not text.startswith(" SetMode was refused: 'start' refused: ")
        ):
            wrong.append(f"{name}: {what}")
    print(f"{COUNT} mutants, seed {SEED}: {dict(fates)}; longest check {longest_s:.2f} s of CPU")
    assert not wrong, f"{len(wrong)} of {COUNT}:\n" + "\n".join(wrong[:100])
