"""What 200 alarms over 1,600 tags cost a cycle, by how many of their tags have moved.

The peer asks every condition in every cycle, as a desk without the watch on changes would.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alarm_bench import HEAD, AlarmBench
from peers import compare

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
    cycle = 0

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
        for alarm in range(2 * ALARMS):
            desk._look(alarm)

    compare(benchmark, ours, {"every condition in every cycle": all_of_them, "the moving": move})
