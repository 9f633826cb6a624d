"""What the file says of when tasks run, how they are watched and how long their jobs may take."""

from __future__ import annotations

import textwrap

import pytest

from cellwright.io.plan import Deadline, Edge, OverrunPolicy, TaskKind
from cellwright.io.plan import plan as plans
from cellwright.runtime.config import check_file, cross_reference

CELL = """\
cell: {name: Bench}
scan: {base: 10ms, watchdog: 40ms}
tags:
  part: {type: BOOL, memory: true, write: [Operator]}
tasks:
"""
MODULE = """\
from cellwright.tasks.api import BOOL, Deadline, Output, Program, ProgramOptions

class One(Program[ProgramOptions]):
    flag = Output(BOOL)

    def scan(self, ctx):
        pass

class Eye(One):
    worker = "module_of_tasks:Eyes"
    deadlines = {"read": Deadline(cycles=50, value={"text": "", "score": 0.5}),
                 "aim": Deadline(cycles=10)}
"""


@pytest.fixture
def check(tmp_path):
    (tmp_path / "module_of_tasks.py").write_text(MODULE)

    def check(tasks):
        text = textwrap.indent(textwrap.dedent(tasks).replace('"One"', "module_of_tasks:One"), "  ")
        text = text.replace('"Eye"', "module_of_tasks:Eye")
        (tmp_path / "cell.yaml").write_text(CELL + text)
        return check_file(tmp_path / "cell.yaml")

    return check


@pytest.fixture
def plan(check):
    def plan(tasks):
        report = check(tasks)
        assert report.plan is not None, "\n".join(map(str, report.problems))
        return report.plan

    return plan


def test_each_kind_of_task_is_compiled_as_it_is_written(plan):
    made = plan("""\
        a: {program: "One", interval: 20ms, phase: 10ms, overrun: late}
        b: {program: "One", event: part, edge: both, priority: 3}
        c: {program: "One", freewheeling: true, watchdog: {time: 2ms, omitted: 5}}
        d: {program: "One", interval: 10ms, watchdog: {time: 4ms, sensitivity: 2, omitted: 3}}
        e: {program: "One", event: a.flag}
    """)
    a, b, c, d, e = made.tasks
    assert [task.kind for task in made.tasks] == [
        TaskKind.CYCLIC,
        TaskKind.EVENT,
        TaskKind.FREEWHEELING,
        TaskKind.CYCLIC,
        TaskKind.EVENT,
    ]
    assert (a.interval_ns, a.phase_ns, a.overrun) == (20_000_000, 10_000_000, OverrunPolicy.LATE)
    assert (b.interval_ns, made.tags[b.event].name, b.edge) == (0, "part", Edge.BOTH)
    assert (c.watchdog_ns, c.watchdog_omitted) == (2_000_000, 5)
    assert (d.watchdog_sensitivity, d.watchdog_omitted) == (2, 3)
    assert d.overrun is OverrunPolicy.SKIP
    assert (made.tags[e.event].name, e.edge) == ("a.flag", Edge.RISING)
    assert plans.load(plans.dump(made)) == made


def test_the_cross_reference_names_an_event_task_among_the_readers_of_its_tag(plan):
    made = plan("""\
        b: {program: "One", event: part}
        c: {program: "One", event: sys.clock_1s}
    """)
    readers = {row.tag: row.readers for row in cross_reference(made)}
    assert readers["part"] == ("b",)
    assert readers["sys.clock_1s"] == ("c",)


def test_deadlines_of_the_program_are_taken_and_the_file_may_change_them(plan):
    made = plan("""\
        a: {program: "Eye", interval: 10ms}
        b: {program: "Eye", interval: 10ms, deadlines: {read: 7}}
        c: {program: "Eye", interval: 10ms, deadlines: {read: {cycles: 8, value: {score: 1}}}}
        d: {program: "One", interval: 10ms}
    """)
    a, b, c, d = made.tasks
    aim = Deadline(10)
    assert a.deadlines == {"read": Deadline(50, {"text": "", "score": 0.5}), "aim": aim}
    assert b.deadlines == {"read": Deadline(7, {"text": "", "score": 0.5}), "aim": aim}
    assert c.deadlines == {"read": Deadline(8, {"text": "", "score": 1}), "aim": aim}
    assert d.deadlines == {}


@pytest.mark.parametrize(
    ("watchdogs", "severity"), [((4, 5), None), ((5, 6), "warning"), ((20, 21), "error")]
)
def test_an_event_task_is_thought_to_fall_due_together_with_every_other(check, watchdogs, severity):
    report = check(f"""\
        a: {{program: "One", interval: 50ms, phase: 30ms, watchdog: {watchdogs[0]}ms}}
        b: {{program: "One", event: part, watchdog: {watchdogs[1]}ms}}
        c: {{program: "One", freewheeling: true, watchdog: 9ms}}
    """)
    assert [problem.severity for problem in report.problems] == ([severity] if severity else [])


def test_an_event_task_with_a_worker_is_warned_that_answers_wait_for_the_next_event(check):
    (problem,) = check('a: {program: "Eye", event: part}').problems
    assert (problem.severity, problem.line) == ("warning", 6)
    assert "only when its event comes again" in problem.why


def test_a_task_whose_event_stands_on_a_broken_tag_is_not_complained_about_twice(check):
    report = check("""\
        a: {program: "Oops", interval: 10ms}
        b: {program: "One", event: a.flag}
    """)
    (problem,) = report.problems
    assert "Oops" in problem.what
