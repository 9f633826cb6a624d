"""The plant's mechanics: what moves, what blocks, what the sensors say, and the faults."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant import PlantProcess
from plant.faults import Fault, FaultPlan
from plant.hand import Hand
from plant.log import Heartbeat, PlantLog
from plant.physics import CLAMP_CLOSE_S, Cell
from plant.points import COILS, DEFAULT_SPEED, DISCRETE_INPUTS, Outputs

STEP_S = 0.002


class Bench:
    """The mechanics alone, in simulated time, without sockets or clock."""

    def __init__(self, *faults: str, parts: int = 3, seed: int = 1) -> None:
        self.log = PlantLog(None, now_ns=lambda: 0, utc_ns=lambda: 0)
        self.outputs = Outputs(self.log, Heartbeat(self.log))
        plan = FaultPlan(tuple(Fault.parse(fault) for fault in faults))
        self.cell = Cell(self.outputs, plan, self.log, parts=parts, seed=seed)
        self.time_s = 0.0

    def set(self, **coils: bool) -> None:
        for name, value in coils.items():
            self.outputs.write_coils(COILS.index(name), [value], 0)

    def sees(self, name: str) -> bool:
        return bool(self.cell.discrete_inputs() >> DISCRETE_INPUTS.index(name) & 1)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.cell.step(STEP_S)
            self.time_s += STEP_S

    def until(self, condition: Callable[[], bool], limit_s: float = 10.0) -> float:
        """Step until the condition holds and return the simulated seconds that it took."""
        begin = self.time_s
        while not condition():
            assert self.time_s - begin < limit_s, "never happened"
            self.run(STEP_S)
        return self.time_s - begin

    def clamp_next(self) -> None:
        self.set(conveyor_run=True)
        self.until(lambda: self.sees("part_present"))
        self.set(clamp_close=True)
        self.until(lambda: self.sees("clamp_closed"))

    def eject(self, coil: str, sensor: str) -> None:
        self.set(clamp_close=False)
        self.until(lambda: self.sees("clamp_open"))
        self.set(**{coil: True})
        self.until(lambda: self.sees(sensor))
        self.set(**{coil: False})


def test_a_blade_arrives_only_while_the_conveyor_runs() -> None:
    bench = Bench()
    bench.run(5)
    assert not bench.sees("part_present")
    bench.set(conveyor_run=True)
    bench.until(lambda: bench.sees("part_present"))
    assert bench.cell.input_registers()[:2] == [0, 1]


def test_twice_the_setpoint_brings_the_blade_in_about_half_the_time() -> None:
    times = []
    for setpoint in (DEFAULT_SPEED // 2, DEFAULT_SPEED):
        bench = Bench()
        bench.outputs.write_registers(0, [setpoint], 0)
        bench.set(conveyor_run=True)
        times.append(bench.until(lambda bench=bench: bench.sees("part_present")))
    assert 1.6 < times[0] / times[1] < 2.1


def test_the_clamp_takes_its_time_sags_the_air_and_builds_pressure() -> None:
    bench = Bench()
    before = bench.cell.input_registers()[4]
    bench.set(clamp_close=True)
    travel_s = bench.until(lambda: bench.sees("clamp_closed"))
    assert travel_s == pytest.approx(CLAMP_CLOSE_S, rel=0.05)
    sagged = bench.cell.input_registers()[4]
    assert sagged < before - 1000
    bench.run(2)
    _, _, clamp, _, air = bench.cell.input_registers()
    assert air > sagged
    assert clamp > 0.9 * air
    bench.set(clamp_close=False)
    bench.until(lambda: bench.sees("clamp_open"))
    bench.run(1)
    assert bench.cell.input_registers()[2] < 100


@pytest.mark.parametrize(
    ("coil", "sensor"), [("eject_good", "part_at_exit"), ("eject_reject", "part_in_reject_bin")]
)
def test_a_blade_leaves_into_the_lane_that_was_commanded(coil: str, sensor: str) -> None:
    bench = Bench()
    bench.clamp_next()
    bench.eject(coil, sensor)
    assert not bench.sees("part_present")
    assert (bench.cell.good, bench.cell.rejected) == ((1, 0) if coil == "eject_good" else (0, 1))
    bench.until(lambda: not bench.sees(sensor))


def test_the_lane_sensor_stays_until_the_command_is_taken_back() -> None:
    bench = Bench()
    bench.clamp_next()
    bench.set(clamp_close=False)
    bench.until(lambda: bench.sees("clamp_open"))
    bench.set(eject_good=True)
    bench.until(lambda: bench.sees("part_at_exit"))
    bench.run(30)
    assert bench.sees("part_at_exit")


def test_nothing_is_ejected_while_the_clamp_holds_or_both_lanes_are_commanded() -> None:
    bench = Bench()
    bench.clamp_next()
    bench.set(eject_good=True)
    bench.run(2)
    assert bench.sees("part_present")
    bench.set(clamp_close=False, eject_reject=True)
    bench.run(2)
    assert bench.sees("part_present")
    assert bench.log.counts["eject_refused"] == 2


def test_the_next_blade_waits_until_the_nest_is_free_and_the_ejector_back() -> None:
    bench = Bench()
    bench.clamp_next()
    bench.run(20)
    assert bench.cell.arrived == 1
    bench.eject("eject_good", "part_at_exit")
    bench.until(lambda: bench.sees("part_present"))
    assert bench.cell.arrived == 2


def test_the_emergency_stop_freezes_all_drives() -> None:
    bench = Bench()
    bench.clamp_next()
    bench.cell.estop_pressed = True
    bench.set(clamp_close=False)
    bench.run(2)
    assert not bench.sees("estop_ok")
    assert bench.sees("clamp_closed")
    bench.cell.estop_pressed = False
    bench.until(lambda: bench.sees("clamp_open"))


def test_without_air_the_sensor_falls_and_the_clamp_stays() -> None:
    bench = Bench()
    bench.cell.air_shut = True
    bench.until(lambda: not bench.sees("air_ok"))
    bench.run(1)
    bench.set(clamp_close=True)
    bench.run(2)
    assert bench.sees("clamp_open")
    bench.cell.air_shut = False
    bench.until(lambda: bench.sees("clamp_closed"))


def test_a_stuck_clamp_never_closes_on_that_blade_and_closes_on_the_next() -> None:
    bench = Bench("stuck_clamp@1")
    bench.set(conveyor_run=True)
    bench.until(lambda: bench.sees("part_present"))
    bench.set(clamp_close=True)
    bench.run(10)
    assert not bench.sees("clamp_closed")
    assert not bench.sees("clamp_open")
    assert bench.cell.clamped_blade is None
    bench.eject("eject_reject", "part_in_reject_bin")
    bench.clamp_next()
    assert bench.cell.clamped_blade is not None


def test_blades_end_after_the_ordered_number() -> None:
    bench = Bench(parts=2)
    for _ in range(2):
        assert not bench.cell.finished
        bench.clamp_next()
        bench.eject("eject_good", "part_at_exit")
    bench.run(10)
    assert bench.cell.finished
    assert not bench.sees("part_present")


def test_the_same_seed_gives_the_same_motion_and_another_seed_another() -> None:
    def history(seed: int) -> list[int]:
        bench = Bench(seed=seed)
        states = []
        bench.set(conveyor_run=True)
        for step in range(1500):
            if step == 700:
                bench.set(clamp_close=True)
            bench.run(STEP_S)
            states.append(bench.cell.discrete_inputs() | bench.cell.input_registers()[4] << 8)
        return states

    assert history(1) == history(1)
    assert history(1) != history(2)


@given(
    st.lists(
        st.tuples(st.integers(0, len(COILS) - 1), st.booleans(), st.integers(1, 400)), max_size=40
    )
)
def test_whatever_is_commanded_blades_are_neither_lost_nor_doubled_and_sensors_agree(
    commands: list[tuple[int, bool, int]],
) -> None:
    bench = Bench(parts=3)
    for coil, value, steps in commands:
        bench.outputs.write_coils(coil, [value], 0)
        for _ in range(steps):
            bench.run(STEP_S)
            cell = bench.cell
            inside = cell.arrived - cell.good - cell.rejected
            assert 0 <= inside <= 1
            assert (cell.nest is not None) <= inside
            assert not (bench.sees("clamp_closed") and bench.sees("clamp_open"))
            assert 0 <= cell.clamp <= 1
            assert 0 <= cell.air_bar <= 7


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("missing_pin@5", Fault("missing_pin", 5)),
        ("dead_coupler@9:2s", Fault("dead_coupler", 9, 2.0)),
        ("dead_coupler", Fault("dead_coupler", None, 2.0)),
        ("lost_ack@3:250ms", Fault("lost_ack", 3, 0.25)),
        ("estop:1.5", Fault("estop", None, 1.5)),
    ],
)
def test_a_fault_is_written_as_kind_part_and_duration(text: str, fault: Fault) -> None:
    assert Fault.parse(text) == fault
    assert Fault.parse(str(fault)) == fault


@pytest.mark.parametrize(
    "text",
    ["", "no_such@3", "missing_pin@0", "missing_pin@x", "missing_pin@3:2s", "estop:2h", "@3"],
)
def test_a_misspelt_fault_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(ValueError, match=r"write|use one of|count from 1|leave"):
        Fault.parse(text)


def test_each_planned_fault_strikes_once_and_only_its_part() -> None:
    plan = FaultPlan((Fault("missing_pin", 2), Fault("missing_pin")))
    assert plan.take("wrong_dot", 2) is None
    assert plan.take("missing_pin", 1) == Fault("missing_pin")
    assert plan.take("missing_pin", 1) is None
    assert plan.take("missing_pin", 2) == Fault("missing_pin", 2)
    assert plan.pending == []


def test_whole_cycles_are_witnessed_in_order() -> None:
    with PlantProcess(parts=2, speed=20, size=(320, 240)) as plant, Hand(plant) as hand:
        for number in (1, 2):
            hand.clamp_next()
            hand.mark(f"SN-{number}")
            hand.look()
            hand.release(good=number == 1)
        plant.wait_for("finished")
        story = ("arrived", "clamped", "mark_started", "marked", "framed", "unclamped", "ejected")
        for number in (1, 2):
            told = [entry["event"] for entry in plant.events(part=number)]
            assert told == list(story)
        lanes = [entry["lane"] for entry in plant.events("ejected")]
        assert lanes == ["good", "reject"]
        assert hand.io.input_registers()[0] == 2
        assert not plant.events("double_mark")


def test_the_same_seed_peens_the_same_dots() -> None:
    digests = []
    for seed in (7, 7, 8):
        with PlantProcess(parts=1, seed=seed, speed=20, size=(320, 240)) as plant:
            with Hand(plant) as hand:
                hand.clamp_next()
                hand.mark("SN-1", "SN-1")
            digests.append(plant.wait_for("marked")["digest"])
    assert digests[0] == digests[1] != digests[2]
