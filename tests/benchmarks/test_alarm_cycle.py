"""What 200 alarms over 1,600 tags cost a cycle, by how many of their tags have moved.

The peer asks every condition in every cycle, as a desk without the watch on changes would.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import pytest

from cellwright.runtime.scan.alarms import engine
from support.alarm_bench import HEAD, AlarmBench
from support.peers import compare

NUMBERS, BITS, ALARMS = 800, 200, 100

TAGS = "".join(
    f"  t{number}: {{type: REAL, memory: true, write: [Operator]}}\n" for number in range(NUMBERS)
) + "".join(
    f"  b{number}: {{type: BOOL, memory: true, write: [Operator]}}\n" for number in range(BITS)
)
SECTIONS = "alarms:\n" + "".join(
    f"  limit{number}: {{tag: t{number}, high: 90, deadband: 1, text: Limit}}\n"
    f'  both{number}: {{when: "b{number} and not (t{number} < 5.0)", text: Both}}\n'
    for number in range(ALARMS)
)


@pytest.mark.parametrize("moved", [0, 1, 10, 100])
def test_alarms_are_asked_when_their_tags_move(moved: int, tmp_path: Path, benchmark: Any) -> None:
    bench = AlarmBench(tmp_path, SECTIONS, head=HEAD.replace("tasks:", TAGS + "tasks:", 1))
    bench.cycle(3)
    desk, image = bench.scan._alarms, bench.scan.process_image
    places = [bench.plan.tag(f"t{number}").index for number in range(NUMBERS)]
    every, cycle = set(range(2 * ALARMS)), 0

    def move() -> None:
        nonlocal cycle
        cycle += 1
        for place in places[:moved]:
            image.set(place, 10.0 + cycle % 50)
        image.set(places[-1], float(cycle))  # watched by no alarm

    def ours() -> None:
        move()
        desk.cycle()

    def all_of_them() -> None:
        move()
        desk._look(every)

    compare(benchmark, ours, {"every condition in every cycle": all_of_them, "the moving": move})


def test_a_flood_is_told_in_turns(
    tmp_path: Path, benchmark: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 alarms come in one cycle; the peer emits all of their events in that cycle."""
    bench = AlarmBench(tmp_path, SECTIONS, head=HEAD.replace("tasks:", TAGS + "tasks:", 1))
    bench.cycle(3)
    desk, image, ring = bench.scan._alarms, bench.scan.process_image, bench.events_ring
    places = [bench.plan.tag(f"t{number}").index for number in range(ALARMS)]
    bounds = {"in turns": engine.EVENTS_PER_CYCLE, "at once": 10 * ALARMS}
    took: dict[str, list[int]] = {name: [] for name in bounds}

    def burst(name: str) -> None:
        monkeypatch.setattr(engine, "EVENTS_PER_CYCLE", bounds[name])
        for place in places:
            image.set(place, 95.0)
        begin = time.perf_counter_ns()
        desk.cycle()
        took[name].append(time.perf_counter_ns() - begin)
        for place in places:
            image.set(place, 50.0)
        desk.emit_rest()
        bench.cycle(2 * ALARMS // engine.EVENTS_PER_CYCLE + 2)
        while records := ring.peek():
            ring.acknowledge(records[-1][0])

    for _ in range(40):
        for name in bounds:
            burst(name)
    medians = {name: statistics.median(values) / 1e3 for name, values in took.items()}
    report = {f"{name}_us": round(value, 1) for name, value in medians.items()}
    report["ratio"] = round(medians["in turns"] / medians["at once"], 3)
    benchmark.extra_info.update(report)
    print(f"\n{benchmark.name}: {report}")
    benchmark.pedantic(burst, ("in turns",), rounds=20)
