"""The loop of the scan process in simulated time: each tick is run or skipped, and counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.image import SCAN
from cellwright.io.messages import FaultRaised, SetMode
from cellwright.io.plan import CellState
from cellwright.io.timing.clock import SimulatedClock
from cellwright.runtime.scan import beat as module
from cellwright.runtime.scan.beat import Beat
from cellwright.runtime.scan.observer import CycleObserver
from support.campaign import examples
from support.plans import POLL_NS
from support.scan_bench import MS, Bench
from support.task_log import free_task, noting_cell


class SimulatedWaiting:
    """Stands where the C layer waits: moves the clock to the instant that is waited for."""

    def __init__(self, clock: SimulatedClock) -> None:
        self._clock = clock
        self.late_ns = 0

    def cw_wait_until(self, deadline_ns: int, spin_ns: int) -> int:
        """The time, which is not before the deadline."""
        self._clock.advance(max(0, deadline_ns + self.late_ns - self._clock.now_ns()))
        return self._clock.now_ns()


def beat_of(bench: Bench, *, should_stop: bool = False) -> Beat:
    """The loop of the scan process around a bench's scan."""
    return Beat(
        bench.scan,
        bench.plan,
        bench.image,
        bench.clock,
        slot=bench.image.processes["scan"],
        should_stop=lambda: should_stop,
        observer=CycleObserver(),
    )


@pytest.mark.behaviour(6)
@examples(25)
@given(st.lists(st.integers(0, 45), min_size=1, max_size=30), st.integers(0, 29))
def test_runs_and_skips_of_the_scans_own_record_are_all_ticks_also_over_a_restart(
    tmp_path_factory: pytest.TempPathFactory, took_ms: list[int], restart_at: int
) -> None:
    bench, _ = noting_cell(tmp_path_factory.mktemp("beat"), {"control": {}})
    image, clock = bench.image, bench.clock
    elapsed = took_ns = 0

    def launch() -> Beat:
        bench.launch()
        cycle = bench.scan.cycle

        def slow_cycle(tick: int, now_ns: int, utc_ns: int) -> None:
            cycle(tick, now_ns, utc_ns)
            clock.advance(took_ns)

        bench.scan.cycle = slow_cycle  # type: ignore[method-assign]
        return beat_of(bench)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "lib", SimulatedWaiting(clock))
        beat = launch()
        for number, took in enumerate(took_ms):
            if number == restart_at:
                elapsed += image.scan.elapsed_ticks
                beat = launch()
                image.scan.elapsed_ticks = 0
            took_ns = took * MS
            assert beat.once()
            assert (clock.now_ns() - took_ns - beat._start_ns) % POLL_NS == 0, "on the grid"
    figures = image.statistics.read(SCAN)
    assert figures.runs == len(took_ms)
    assert figures.runs + figures.skips == elapsed + image.scan.elapsed_ticks
    bench.image.close()


@pytest.mark.parametrize("taken", [True, False], ids=["the journal works", "nobody takes events"])
def test_a_scan_that_ends_goes_on_until_its_events_are_on_the_ring_but_not_for_long(
    tmp_path: Path, taken: bool
) -> None:
    bench, _ = noting_cell(tmp_path, {"control": {}})
    bench.launch()
    scan, ring = bench.scan, bench.image.events["scan"]
    event = FaultRaised(task="runtime", utc_ns=1, code="x", text="y" * 500)
    while not scan.unsent:
        scan._outbox.emit(event)
    for _ in range(1000):
        scan._outbox.emit(event)
    run = scan.cycle

    def cycle(tick: int, now_ns: int, utc_ns: int) -> None:
        run(tick, now_ns, utc_ns)
        if taken:
            for sequence, _ in ring.peek():
                ring.acknowledge(sequence)

    scan.cycle = cycle  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "lib", SimulatedWaiting(bench.clock))
        beat_of(bench, should_stop=True).run()
    assert bool(scan.unsent) is not taken
    longest = module.LAST_NS // bench.plan.scan.base_ns
    assert 1 < scan.cycle_number <= 1 + longest
    if not taken:
        assert scan.cycle_number == 1 + longest
    bench.image.close()


FREE_NS = 2 * MS


@pytest.mark.behaviour(7)
@examples(25)
@given(
    rest_us=st.integers(0, 900),
    late_us=st.integers(0, 900),
    spare_us=st.lists(st.integers(-300, 2_500), min_size=1, max_size=25),
)
def test_a_freewheeling_task_never_costs_a_tick_and_runs_when_there_is_time(
    tmp_path_factory: pytest.TempPathFactory, rest_us: int, late_us: int, spare_us: list[int]
) -> None:
    """``spare`` is what a cycle has beyond waking up, tasks, all of the watchdog and the rest."""
    timing = {"control": {}, "idle": free_task(FREE_NS)}
    bench, log = noting_cell(tmp_path_factory.mktemp("slack"), timing, idle=FREE_NS)
    bench.launch()
    clock, scan, image = bench.clock, bench.scan, bench.scan.process_image
    publish = image.publish

    def slow(*arguments: int) -> int:
        clock.advance(rest_us * 1000)
        return publish(*arguments)

    image.publish = slow  # type: ignore[method-assign]
    waiting = SimulatedWaiting(clock)
    waiting.late_ns = late_us * 1000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "lib", waiting)
        beat = beat_of(bench)

        def once() -> None:
            now_ns = clock.now_ns() + POLL_NS
            bench.image.processes["journal"].beat_ns = now_ns
            for port in bench.ports:
                port.publish_inputs(bench.payload, bench.statuses, now_ns)
            assert beat.once()

        for _ in range(20):
            once()
        scan.ask(SetMode(request="start", actor="anna"))
        for _ in range(20):
            once()
        assert scan.state is CellState.RUN
        assert bench.image.statistics.read(SCAN).skips == 0
        for spare in spare_us:
            log.ran.clear()
            log.takes["control"] = POLL_NS - FREE_NS - (rest_us + late_us + spare) * 1000
            once()
            ran = log.names()
            assert ran[0] == "control"
            if spare < 0:
                assert ran == ["control"], "it would have ended after the tick"
            elif spare > late_us + 1:
                assert ran == ["control", "idle"], "there was time for it and for waking up"
    figures = bench.image.statistics.read(SCAN)
    assert figures.skips == 0
    bench.image.close()
