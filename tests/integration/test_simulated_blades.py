"""The blade cell in simulated time: deterministic from a seed, and its programs unchanged."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from prepare import EXAMPLE
from typer.testing import CliRunner

from cellwright.io.journal import consumed
from cellwright.io.journal.journal import JOURNAL_FILE, JournalReader
from cellwright.io.messages import InspectionCompleted, MarkCompleted, PartReleased
from cellwright.io.plan import CellState, Plan, quality
from cellwright.mes.shopfloor.parts import counts
from cellwright.runtime.cli.main import app
from cellwright.runtime.config import compile_file
from cellwright.runtime.recorder.replay import Replay
from cellwright.runtime.simulation import SimulatedCell, SimulationError
from cellwright.runtime.simulation.footprint import Footprint
from cellwright.runtime.simulation.records import ServiceMes
from cellwright.tasks.api import Worker, WorkerContext
from plant.faults import Fault
from plant.model import BladeOptions, BladePlant


@pytest.fixture(scope="module")
def plan() -> Plan:
    """The example's cell."""
    return compile_file(EXAMPLE / "cell.yaml")


def blades(plan: Plan, parts: int = 0, seed: int = 7, **more: Any) -> SimulatedCell:
    """The cell with its plant; options of the plant among ``more``."""
    given = {name: more.pop(name) for name in ("faults", "fault_rate", "real_vision") & more.keys()}
    options = BladeOptions(parts=parts, **given)
    return SimulatedCell(plan, seed=seed, plant=BladePlant, options=options, **more)


def run_out(cell: SimulatedCell) -> None:
    """Until the last blade has left and that is recorded."""
    assert cell.run_while(lambda: not cell.plant.finished, within="10min"), cell["sequence.message"]
    cell.run_for("1s")


def verdicts(cell: SimulatedCell) -> list[str]:
    """Of all blades, in their order."""
    return [event.verdict for event in cell.events(PartReleased)]


@pytest.mark.behaviour(20)
def test_the_same_seed_does_the_same_in_every_cycle_and_another_seed_does_not(plan: Plan):
    chains = []
    for seed in (7, 7, 8):
        with blades(plan, seed=seed, fault_rate=0.1) as cell:
            cell.run_for("15s")
            assert cell["sequence.parts"] > 2
            assert cell["sys.skipped"] == 0
            chains.append(cell.chain)
    assert chains[0] == chains[1]
    assert chains[0] != chains[2]


def test_how_the_time_is_cut_into_pieces_changes_nothing(plan: Plan):
    chains = []
    for pieces in ([10.0], [0.013] * 769 + [0.003]):
        with blades(plan) as cell:
            for piece in pieces:
                cell.run_for(piece)
            chains.append((cell.cycles, cell.chain))
    assert chains[0] == chains[1]


@pytest.mark.behaviour(20)
def test_faulty_blades_are_rejected_and_all_others_are_good(plan: Plan):
    faults = ("missing_pin@2", "wrong_dot@3", "wrong_content@4", "stuck_clamp@5")
    with blades(plan, parts=7, faults=faults) as cell:
        run_out(cell)
        assert verdicts(cell) == ["good", *["rejected"] * 4, "good", "good"]
        reasons = [event.reason for event in cell.events(PartReleased)]
        assert reasons[1] == "no symbol was read"
        assert "modules are wrong" in reasons[2]
        assert "ordered" in reasons[3]
        assert reasons[4] == "the clamp did not close"
        figures = cell.plant.figures()
        assert (figures["good"], figures["rejected"], figures["double_marks"]) == (3, 4, 0)


def test_real_vision_and_given_readings_come_to_the_same_verdicts(plan: Plan):
    faults = ("missing_pin@1", "wrong_dot@2", "wrong_content@3")
    found = []
    for real in (False, True):
        with blades(plan, parts=4, faults=faults, real_vision=real) as cell:
            run_out(cell)
            found.append([event.verdict for event in cell.events(InspectionCompleted)])
    assert found[0] == found[1] == ["not_decidable", "not_ok", "not_ok", "ok"]


def test_the_real_services_record_every_blade_once(plan: Plan):
    with blades(plan, parts=3, journal="file", mes="services", faults=("wrong_dot@2",)) as cell:
        run_out(cell)
        assert isinstance(cell.mes, ServiceMes)
        with cell.mes.store.session() as session:
            found = counts(session)
        assert (found.recorded, found.good, found.rejected, found.duplicates) == (3, 2, 1, 0)
        assert cell.counts["part_departed"] == 3


@pytest.mark.behaviour(20)
def test_a_recording_of_simulated_time_is_replayed_identically(plan: Plan, tmp_path: Path):
    file = tmp_path / "simulated.cwrec"
    with blades(plan, parts=1, record=True) as cell:
        cell.run_for("6s")
        assert cell.recorder is not None
        cell.recorder.keep(file)
        cycles = cell.cycles
    with Replay(file) as replay:
        outcome = replay.run()
    assert outcome.identical, outcome.difference
    assert (outcome.first, outcome.last) == (1, cycles)


def test_a_lost_coupler_is_seen_by_its_quality_and_the_cell_goes_on_when_it_is_back(plan: Plan):
    with blades(plan, parts=2, faults=("dead_coupler@1:1s",)) as cell:
        lost = cell.run_while(
            lambda: cell.quality("clamp_closed") != quality.UNCERTAIN_SUBSTITUTE, within="10s"
        )
        assert lost
        run_out(cell)
        assert cell.quality("clamp_closed") == quality.GOOD
        assert cell.state is CellState.RUN
        assert len(verdicts(cell)) == 2


def test_a_lost_answer_of_the_marker_is_unknown_and_the_camera_decides(plan: Plan):
    with blades(plan, parts=1, faults=("lost_ack@1",)) as cell:
        run_out(cell)
        assert [event.outcome for event in cell.events(MarkCompleted)] == ["unknown"]
        assert verdicts(cell) == ["good"]


def test_an_emergency_stop_during_a_mark_leaves_a_bad_blade_and_a_running_cell(plan: Plan):
    with blades(plan, parts=2) as cell:
        assert cell.run_while(lambda: not cell["mark.busy"], within="10s")
        cell.run_for("1s")
        cell.plant.faults.add(Fault.parse("estop:2s"))
        run_out(cell)
        assert verdicts(cell)[0] == "rejected"
        assert cell.plant.figures()["good"] == 1


def test_an_input_belongs_to_the_plant_model(plan: Plan):
    with blades(plan) as cell:
        with pytest.raises(SimulationError, match="what the plant model BladePlant says; force it"):
            cell["estop_ok"] = False
        cell.force("estop_ok", False)
        cell.run_for("100ms")
        assert cell["lamp_red"] is True


class TornPlant(BladePlant):
    """Gives nonsense of the measured values."""

    nonsense: Sequence[Any] = ()

    def read(self, device: str, area: str, start: int, count: int) -> Sequence[int]:
        found = super().read(device, area, start, count)
        return found if area == "discrete_inputs" else self.nonsense


@pytest.mark.parametrize(
    ("nonsense", "complaint"),
    [
        ([1, 2], r"gave 2 values of input_registers\[0\], asked were 5"),
        ([0, 0, 0, 0, 65536], "words are whole numbers from 0 to 65535"),
    ],
)
def test_a_plant_model_that_gives_no_words_is_told(plan: Plan, nonsense: list[int], complaint: str):
    class Torn(TornPlant):
        pass

    Torn.nonsense = nonsense
    with pytest.raises(SimulationError, match=complaint), SimulatedCell(plan, plant=Torn):
        pass


def test_without_a_plant_a_station_says_that_its_marker_is_missing(plan: Plan):
    with SimulatedCell(plan) as cell:
        cell["estop_ok"] = True
        cell["clamp_open"] = True
        cell["part_present"] = True
        assert cell.run_while(lambda: not cell["clamp_close"], within="1s")
        cell["clamp_open"] = False
        cell["clamp_closed"] = True
        cell["clamp_pressure"] = 5.0
        assert cell.run_while(lambda: not cell["mark.error"], within="5s")
        assert "has no marker 'peen'" in str(cell["mark.error_text"])


class SlowPlant(BladePlant):
    """Its inspection fails after nine seconds, which is more than the program waits for."""

    def worker(self, context: WorkerContext) -> Worker | None:
        return Slow(context, self) if context.task == "inspect" else None

    def job_s(self, task: str, kind: str, random: Random) -> float:
        return 0.1


class Slow(Worker):
    """Sleeps in simulated time, then breaks."""

    def __init__(self, context: WorkerContext, plant: BladePlant) -> None:
        super().__init__(context)
        self.plant = plant

    def handle(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        self.plant.time.sleep(9.0)
        raise ZeroDivisionError("by zero")


def test_a_worker_that_breaks_after_a_long_time_is_a_failed_job_with_that_duration(plan: Plan):
    options = BladeOptions(parts=1)
    with SimulatedCell(plan, seed=1, plant=SlowPlant, options=options) as cell:
        assert cell.run_while(lambda: not cell.events(InspectionCompleted), within="1min")
        (found,) = cell.events(InspectionCompleted)
        assert found.verdict == "not_decidable"
        assert "ZeroDivisionError: by zero" in found.reason
        assert found.duration_ms == pytest.approx(9100, abs=1)


def test_a_simulation_can_be_ended_in_the_middle_of_a_job(plan: Plan):
    with SimulatedCell(plan, seed=1, plant=SlowPlant) as cell:
        assert cell.run_while(lambda: not cell["inspect.busy"], within="1min")
    with pytest.raises(SimulationError, match="closed"):
        cell.run_for(1.0)


def test_a_plant_model_that_waits_by_itself_is_refused(plan: Plan):
    with blades(plan) as cell, pytest.raises(SimulationError, match="is advanced instead"):
        cell.plant.time.sleep(1.0)


def test_minutes_leave_nothing_behind_and_the_journal_is_purged(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(consumed, "STEP", 20)  # else the purge would lag by minutes
    keep_s = 20
    with blades(
        plan, journal="file", record=True, data=tmp_path, keep_ns=keep_s * 1_000_000_000
    ) as cell:
        cell.run_for("50s")
        before = Footprint.of()
        cell.run_for("80s")
        after = Footprint.of()
        with JournalReader(tmp_path / JOURNAL_FILE) as reader:
            first = reader.read(0, 1)[0][1]
            written = reader.last_sequence
        assert cell["sys.skipped"] == 0
        assert cell.plant.figures()["arrived"] - cell.counts["part_departed"] <= 1
        assert written >= sum(cell.counts.values()) > 200
        # Purged once a minute, of what the MES was known to have at that time.
        age_s = (cell.clock.utc_ns() - first.utc_ns) / 1e9
        assert keep_s <= age_s < 70
    assert after.handles <= before.handles + 1
    assert after.threads == before.threads
    assert after.rss_bytes - before.rss_bytes < 32 << 20


def test_the_command_simulates_parts_and_writes_a_recording_that_replays(tmp_path: Path):
    file, data = tmp_path / "two.cwrec", tmp_path / "data"
    words = ["--parts", "2", "--option", "faults=[wrong_dot@1]", "--seed", "3"]
    words += ["--record", str(file), "--data", str(data), "--services", "--json"]
    command = [sys.executable, "-m", "cellwright.runtime.cli", "simulate", str(EXAMPLE), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["plant"]["good"], found["plant"]["rejected"]) == (1, 1)
    assert found["events"]["part_departed"] == 2
    assert (data / JOURNAL_FILE).exists()
    with Replay(file) as replay:
        assert replay.run(until=200).identical


def test_an_option_that_the_plant_model_does_not_have_is_refused():
    result = CliRunner().invoke(app, ["simulate", str(EXAMPLE), "--option", "colour=red"])
    assert result.exit_code == 1
    assert "option 'colour' of plant.model:BladePlant" in " ".join(result.output.split())
