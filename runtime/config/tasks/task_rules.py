"""Rules of one task that concern more than one of its keys: what runs it, and its deadlines.

Called by the module `programs` for each task whose program was found. Rules between tasks, tags and
the scan's base interval are those of `timing` and `binding`.
"""

from __future__ import annotations

from typing import Any, Final

from cellwright.io.files.located_yaml import Entry, Node
from cellwright.io.files.problems import Problems, nearest
from cellwright.io.plan import Deadline
from cellwright.runtime.config.sections import limits, model
from cellwright.tasks.api import Program

_RUNS: Final = ("interval", "event", "freewheeling")


def check_kind(name: str, entry: Entry, task: model.Task, root: Node, problems: Problems) -> bool:
    """Exactly one key says when the task runs, and no other key belongs to another kind."""
    path = ("tasks", name)
    given = [key for key in _RUNS if getattr(task, key) not in (None, False)]
    if not given:
        problems.error(
            entry.mark,
            f"nothing says when the task '{name}' runs",
            "a task runs at an interval, on an event, or freewheeling",
            "add `interval: 10ms`, `event: <tag>` or `freewheeling: true`",
        )
        return False
    for other in given[1:]:
        problems.error(
            root.at((*path, other), key=True),
            f"the task '{name}' has both '{given[0]}' and '{other}'",
            "one of them says when a task runs",
            f"delete one, or make two tasks with the program {task.program}",
        )
    if len(given) > 1:
        return False
    kind = given[0]
    before = problems.errors
    _belongs(path, "phase", task.phase != 0, kind, "interval", root, problems)
    _belongs(path, "edge", task.edge is not None, kind, "event", root, problems)
    _belongs(path, "overrun", task.overrun is not None, kind, "interval", root, problems)
    if kind == "event" and task.watchdog is not None and task.watchdog.omitted:
        problems.error(
            root.at((*path, "watchdog", "omitted"), key=True),
            f"the event task '{name}' cannot miss a run",
            "it runs in the first cycle that sees the edge, however late that cycle is",
            "delete 'omitted'",
        )
    if kind == "freewheeling" and task.watchdog is None:
        problems.error(
            root.at((*path, "freewheeling"), key=True),
            f"the freewheeling task '{name}' has no watchdog",
            "it only runs while its watchdog time still fits before the next tick",
            "add `watchdog:` with the longest time that it may take, well below scan.base",
        )
    return problems.errors == before


def _belongs(  # noqa: PLR0917
    path: tuple[str, str],
    key: str,
    given: bool,
    kind: str,
    wanted: str,
    root: Node,
    problems: Problems,
) -> None:
    if given and kind != wanted:
        problems.error(
            root.at((*path, key), key=True),
            f"the task '{path[1]}' has '{key}' without '{wanted}'",
            f"'{key}' means nothing to a task with '{kind}'",
            f"delete '{key}'",
        )


def deadlines_of(
    name: str, task: model.Task, program: type[Program[Any]], root: Node, problems: Problems
) -> dict[str, Deadline]:
    """The program's deadlines with what the file changes in them."""
    declared = dict(program.deadlines)
    if declared and program.worker is None:
        problems.error(
            root.at(("tasks", name, "program")),
            f"{program.__name__} declares deadlines and no worker",
            "a deadline is for a job, and nobody would do its jobs",
            "name the worker in the program, or delete its deadlines",
        )
    if task.event is not None and program.worker is not None:
        problems.warning(
            root.at(("tasks", name, "event")),
            f"the event task '{name}' has a worker",
            "it finds the worker's answers only when its event comes again",
            "give it an interval, and detect the edge in the program (R_TRIG)",
        )
    deadlines = declared.copy()
    for kind, given in task.deadlines.items():
        path = ("tasks", name, "deadlines", kind)
        if kind not in declared:
            problems.error(
                root.at(path, key=True),
                f"{program.__name__} declares no deadline for a job '{kind}'",
                "only its author knows which jobs may go unanswered, and what stands for them",
                nearest(kind, declared) if declared else "delete it",
            )
            continue
        value = _value(path, given, declared[kind], root, problems)
        try:
            deadlines[kind] = Deadline(given.cycles, value)
        except ValueError as error:
            problems.error(
                root.at((*path, "value")),
                f"the value for a job '{kind}' cannot be used",
                str(error),
                "write plain numbers and texts",
            )
    return deadlines


def _value(
    path: tuple[str, ...],
    given: limits.Deadline,
    declared: Deadline,
    root: Node,
    problems: Problems,
) -> dict[str, Any]:
    value = dict(declared.value)
    for key, new in given.value.items():
        old = value.get(key)
        if key not in value:
            problems.error(
                root.at((*path, "value", key), key=True),
                f"the declared answer of a job '{path[-1]}' has no '{key}'",
                "the program reads only what it declares",
                nearest(key, value) if value else f"delete '{key}'",
            )
        elif old is not None and not _alike(old, new):
            problems.error(
                root.at((*path, "value", key)),
                f"'{key}' is {new!r:.60}",
                f"the program declares {old!r:.60}, and reads a value of that type",
                f"write a value like {old!r:.60}",
            )
        else:
            value[key] = new
    return value


def _alike(old: object, new: object) -> bool:
    if isinstance(old, float):
        return isinstance(new, int | float) and not isinstance(new, bool)
    return type(old) is type(new)
