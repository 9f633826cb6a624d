"""Binds every variable of every task to a tag and finds out who writes and who reads each tag.

Called by the compiler when tags and programs are known. The order of preference: what ``bind``
says; a declared tag ``task.variable``; a declared tag ``variable`` of the same type; an automatic
memory tag ``task.variable``. A tag has one writer at most: nothing is ever decided by the order
in which two tasks happen to run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cellwright.io.files.located_yaml import Node
from cellwright.io.files.problems import Mark, Problems, nearest
from cellwright.io.plan import SYSTEM_TAGS, Direction, TagType, Value, units
from cellwright.runtime.config.tags.tags import TagDraft, Tags
from cellwright.runtime.config.tasks.programs import TaskDraft, Tasks
from cellwright.tasks.api import Retained, Variable

_SYSTEM: Final = {tag.name: tag for tag in SYSTEM_TAGS}


@dataclass(frozen=True, slots=True)
class Automatic:
    """What an automatic tag takes from the variable for which it was made."""

    initial: Value
    unit: str
    description: str
    retain: bool


@dataclass(frozen=True, slots=True)
class RuntimeTag:
    """A tag that the runtime writes on behalf of an alarm or a heartbeat."""

    type: TagType
    mark: Mark
    """Of the alarm or heartbeat."""
    description: str
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Extras:
    """What alarms and heartbeats add to the tag table: ``tags``, and who else writes a tag."""

    tags: Mapping[str, RuntimeTag] = field(default_factory=dict)
    writers: Mapping[str, tuple[str, Mark]] = field(default_factory=dict)
    """Tag to its writer (``heartbeat hmi``) and where that is said."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A unit that a program variable gives to a tag without one."""

    unit: str
    variable: str
    task: str


@dataclass(slots=True)
class Use:
    """A tag as the programs see it."""

    name: str
    type: TagType
    direction: Direction
    draft: TagDraft | None = None
    """The declaration; None for automatic and system tags."""
    automatic: Automatic | None = None
    """What an automatic tag takes from its variable, or a runtime's tag from its alarm."""
    writer: str | None = None
    writer_mark: Mark | None = None
    writer_initial: Value | None = None
    """Initial value of the variable that writes the tag."""
    readers: list[str] = field(default_factory=list)
    claim: Claim | None = None
    """Who says the unit of a tag that is declared without one: the first variable that has one."""

    @property
    def unit(self) -> str:
        """Unit that the declaration, the variable of an automatic tag or the runtime gives it."""
        if self.draft is not None:
            return self.draft.model.unit
        if self.automatic is not None:
            return self.automatic.unit
        return _SYSTEM[self.name].unit if self.name in _SYSTEM else ""


@dataclass(frozen=True, slots=True)
class Bindings:
    """``uses`` in the order of the tag table: declared, automatic, system."""

    uses: dict[str, Use]
    by_task: dict[str, dict[str, str]]
    """Task to variable to the tag's name."""
    events: dict[str, str]
    """Event task to the name of its tag."""


def bind(
    tags: Tags, tasks: Tasks, root: Node, problems: Problems, extras: Extras | None = None
) -> Bindings:
    """All bindings of all tasks."""
    return _Binder(tags, tasks, root, problems, extras or Extras()).run()


class _Binder:
    def __init__(
        self, tags: Tags, tasks: Tasks, root: Node, problems: Problems, extras: Extras
    ) -> None:
        self.extras = extras
        self.tags = tags
        self.tasks = tasks
        self.root = root
        self.problems = problems
        self.by_task: dict[str, dict[str, str]] = {name: {} for name in tasks.good}
        self.events: dict[str, str] = {}
        self.uses = {
            name: Use(name, draft.type, draft.direction, draft) for name, draft in tags.good.items()
        }
        self.folded = {name.casefold(): name for name in self.uses}

    def run(self) -> Bindings:
        for task in self.tasks.good.values():
            for name, variable in task.variables.items():
                if name not in task.model.bind:
                    self._default(task, name, variable)
        for name, tag in self.extras.tags.items():
            self._runtime_tag(name, tag)
        self._check_groups()
        self.uses |= {name: Use(name, tag.type, Direction.SYSTEM) for name, tag in _SYSTEM.items()}
        for task in self.tasks.good.values():
            for name, target in task.model.bind.items():
                self._explicit(task, name, target)
        for name, (writer, mark) in self.extras.writers.items():
            if name in self.uses:
                self.uses[name].writer, self.uses[name].writer_mark = writer, mark
        for task in self.tasks.good.values():
            if task.model.event is not None:
                self._event(task, task.model.event)
        for task in self.tasks.good.values():
            self._account(task)
        self._check_writers()
        return Bindings(self.uses, self.by_task, self.events)

    def _check_writers(self) -> None:
        for use in self.uses.values():
            self._check_commands(use)
        for name, target in self.events.items():
            self._check_event(name, self.uses[target])

    def _check_groups(self) -> None:
        """Tags ``a.b`` lie in a group ``a``, so that no tag in memory may have that name."""
        memory = [use for use in self.uses.values() if use.direction is Direction.MEMORY]
        groups: dict[str, Use] = {}
        for use in memory:
            group, dot, _ = use.name.partition(".")
            if dot:
                groups.setdefault(group, use)
        for use in memory:
            member = groups.get(use.name)
            if member is not None and use.draft is not None:
                where = f" (line {self._line(member)})" if member.draft else " (automatic)"
                self.problems.error(
                    use.draft.mark,
                    f"the tag '{use.name}' has the name of the group in which "
                    f"'{member.name}'{where} lies",
                    "for OPC UA clients one name would be a value and a folder",
                    "rename the tag, or the task whose automatic tags these are",
                )

    def _runtime_tag(self, name: str, tag: RuntimeTag) -> None:
        twin = self.folded.get(name.casefold())
        if twin is not None:
            self.problems.error(
                tag.mark,
                f"the runtime's tag '{name}' has the name of the tag '{twin}'",
                "the runtime makes it for this entry",
                "rename this entry, or that tag or the task it belongs to",
            )
            return
        made = Automatic(tag.type.initial, "", tag.description, tag.retain)
        self.folded[name.casefold()] = name
        self.uses[name] = Use(name, tag.type, Direction.SYSTEM, automatic=made)

    def _default(self, task: TaskDraft, name: str, variable: Variable) -> None:
        automatic = f"{task.name}.{name}"
        mark = self._mark(task, name)
        if automatic in self.tags.broken or name in self.tags.broken:
            return
        if automatic in self.tags.good:
            self._accept(task, name, variable, self.uses[automatic], mark)
            return
        named = self.uses.get(name)
        if named is not None:
            why = _misfit(variable, named)
            if why is None:
                self.by_task[task.name][name] = name
                return
            self.problems.warning(
                mark,
                f"the variable '{name}' of task '{task.name}' is not the tag '{name}'"
                f" (line {self._line(named)})",
                f"{why}, so it got the automatic tag '{automatic}'",
                "rename one of them, or bind the variable explicitly",
            )
        twin = self.folded.get(automatic.casefold())
        if twin is not None:
            self.problems.error(
                mark,
                f"the automatic tag '{automatic}' differs from '{twin}'"
                f" (line {self._line(self.uses[twin])}) only in case",
                "names in IEC 61131-3 are not case-sensitive",
                f"spell the declared tag '{automatic}'",
            )
            return
        self.folded[automatic.casefold()] = automatic
        self.uses[automatic] = Use(
            automatic,
            variable.type,
            Direction.MEMORY,
            automatic=Automatic(
                variable.initial,
                variable.unit,
                variable.description,
                isinstance(variable, Retained),
            ),
        )
        self.by_task[task.name][name] = automatic

    def _explicit(self, task: TaskDraft, name: str, target: str) -> None:
        path = ("tasks", task.name, "bind", name)
        variable = task.variables.get(name)
        if variable is None:
            self.problems.error(
                self.root.at(path, key=True),
                f"{task.program.__name__} has no variable '{name}'",
                "only variables of the program can be bound",
                nearest(name, task.variables),
            )
            return
        mark = self.root.at(path)
        use = self.uses.get(target)
        if use is not None:
            self._accept(task, name, variable, use, mark)
            return
        if self._is_broken(target):
            return  # that is already said
        owner, dot, other = target.partition(".")
        if dot and owner in self.tasks.good and other in self.tasks.good[owner].variables:
            bound = self.tasks.good[owner].model.bind.get(other) or self.by_task[owner].get(other)
            self.problems.error(
                mark,
                f"there is no automatic tag '{target}'",
                f"the variable '{other}' of task '{owner}' is bound to '{bound}'",
                f"write '{bound}'",
            )
            return
        known = {*self.uses, *self.tags.broken}
        if dot and owner in self.tasks.good:
            known = {key for key in self.uses if key.startswith(f"{owner}.")}
        self.problems.error(
            mark,
            f"no tag is called '{target}'",
            f"'{name}' of task '{task.name}' needs a tag to be bound to",
            nearest(target, known or self.uses),
        )

    def _is_broken(self, target: str) -> bool:
        owner, dot, _ = target.partition(".")
        return target in self.tags.broken or bool(dot and owner in self.tasks.broken)

    def _event(self, task: TaskDraft, target: str) -> None:
        mark = self.root.at(("tasks", task.name, "event"))
        use = self.uses.get(target)
        if use is None:
            if not self._is_broken(target):
                known = [name for name, one in self.uses.items() if str(one.type) == "BOOL"]
                self.problems.error(
                    mark,
                    f"no tag is called '{target}'",
                    f"the task '{task.name}' runs on an edge of it",
                    nearest(target, known),
                )
            return
        if str(use.type) != "BOOL":
            self.problems.error(
                mark,
                f"the tag '{target}' has no edges",
                f"it is {use.type}, and the event of a task is a BOOL",
                "name a BOOL tag, or have a task write one",
            )
            return
        self.events[task.name] = target
        use.readers.append(task.name)

    def _accept(self, task: TaskDraft, name: str, variable: Variable, use: Use, mark: Mark) -> None:
        self.by_task[task.name][name] = use.name
        why = _misfit(variable, use)
        if why is not None:
            line = f" (line {self._line(use)})" if use.draft is not None else ""
            self.problems.error(
                mark,
                f"'{name}' of task '{task.name}' cannot be the tag '{use.name}'{line}",
                why,
                _mend(variable, use),
            )

    def _account(self, task: TaskDraft) -> None:
        for name, tag in self.by_task[task.name].items():
            use = self.uses[tag]
            variable = task.variables[name]
            mark = self._mark(task, name)
            if variable.unit:
                self._check_unit(task, name, variable, use, mark)
            if not variable.writable:
                if task.name not in use.readers:
                    use.readers.append(task.name)
            elif use.writer is None:
                use.writer, use.writer_mark = task.name, mark
                use.writer_initial = variable.initial
            elif use.writer_mark is not None:
                self.problems.error(
                    mark,
                    f"the tag '{tag}' has two writers: '{use.writer}'"
                    f" (line {use.writer_mark.line}) and '{task.name}' (line {mark.line})",
                    "a tag has one writer, so that its value does not depend on the order of tasks",
                    f"bind '{name}' to another tag and combine the two in one task",
                )

    def _check_unit(
        self, task: TaskDraft, name: str, variable: Variable, use: Use, mark: Mark
    ) -> None:
        unit = units.find(variable.unit)
        if unit is None:
            self.problems.error(
                self.root.at(("tasks", task.name, "program")),
                f"the variable '{name}' of task '{task.name}' has the unknown unit"
                f" '{variable.unit}'",
                "OPC UA clients need the UNECE code that belongs to it",
                "correct the unit in the program",
            )
            return
        if _misfit(variable, use) is not None:
            return  # that is already said
        if not use.unit and use.claim is None:
            use.claim = Claim(unit.symbol, name, task.name)
            return
        claim = None if use.unit else use.claim
        clash = units.clash(unit.symbol, use.unit if claim is None else claim.unit)
        if clash is None:
            return
        other = clash[1]
        line = f" (line {self._line(use)})" if use.draft is not None else ""
        there = (
            f"the tag '{use.name}'{line} in {other.symbol}"
            if claim is None
            else f"'{claim.variable}' of task '{claim.task}' is in {other.symbol},"
            f" on the same tag '{use.name}'{line}"
        )
        self.problems.error(
            mark,
            f"'{name}' of task '{task.name}' is in {unit.symbol} and {there}",
            "a number is not converted on its way"
            if unit.kind == other.kind
            else f"one measures {unit.kind}, the other {other.kind}",
            self._mend_unit(unit, other, use),
        )

    @staticmethod
    def _mend_unit(unit: units.Unit, other: units.Unit, use: Use) -> str:
        if unit.kind != other.kind:
            return f"bind a tag that is in {unit.symbol}, or correct the unit that is wrong"
        if use.draft is not None and use.draft.model.scale is not None:
            return (
                f"give the tag `unit: {unit.symbol}` with `scale.eng` in {unit.symbol},"
                f" or change the program to {other.symbol}"
            )
        return (
            f"bind a tag that is in {unit.symbol} (a task can convert),"
            f" or change the program to {other.symbol}"
        )

    def _check_commands(self, use: Use) -> None:
        draft = use.draft
        if draft is None:
            return
        roles = draft.model.write
        if use.writer is not None and roles:
            line = use.writer_mark.line if use.writer_mark is not None else 0
            self.problems.error(
                self.root.at(("tags", use.name, "write"), key=True),
                f"the tag '{use.name}' has two writers: "
                f"{self._called(use.writer)} (line {line})"
                f" and the roles in 'write' (line {draft.mark.line})",
                "a command would be overwritten in the next cycle",
                "delete `write`, or have the task read this tag and write another",
            )
        if use.writer is None and not roles and draft.direction is Direction.OUTPUT:
            if self.problems.errors:
                return  # its writer may be what could not be loaded or bound
            self.problems.warning(
                draft.mark,
                f"nobody writes the output '{use.name}'",
                "no task has it as an Output and no role may write it",
                "bind it to a program's Output, or give `write` roles",
            )

    def _check_event(self, task: str, use: Use) -> None:
        if not unwritten(use) or self.problems.errors:
            return  # with an error, its writer may be what could not be loaded or bound
        self.problems.warning(
            self.root.at(("tasks", task, "event")),
            f"the task '{task}' would never run",
            f"nobody writes the tag '{use.name}', so that it has no edges",
            "bind it to a program's Output, give `write` roles, or name another tag",
        )

    def _mark(self, task: TaskDraft, variable: str) -> Mark:
        return (
            self.root.at(("tasks", task.name, "bind", variable))
            if (variable in task.model.bind)
            else task.mark
        )

    def _called(self, writer: str) -> str:
        return f"task '{writer}'" if writer in self.tasks.good else f"'{writer}'"

    def _line(self, use: Use) -> int:
        return use.draft.mark.line if use.draft is not None else 0


def unwritten(use: Use) -> bool:
    """A memory tag that no task, no command and no heartbeat changes; a force still may."""
    return (
        use.direction is Direction.MEMORY
        and use.writer is None
        and (use.draft is None or not use.draft.model.write)
    )


def _misfit(variable: Variable, use: Use) -> str | None:
    """Why the variable cannot be that tag, or None when it can."""
    if variable.type != use.type:
        return f"the type of the variable is {variable.type}, that of the tag {use.type}"
    if variable.writable:
        if use.direction is Direction.INPUT:
            return "the program writes it and the tag is an input, which its device writes"
        if use.direction is Direction.SYSTEM:
            return "the program writes it and the tag belongs to the runtime"
    if isinstance(variable, Retained) and not _retained(use):
        return "the variable is retained and the tag is not"
    return None


def _retained(use: Use) -> bool:
    if use.draft is not None:
        return use.draft.model.retain
    return use.automatic is not None and use.automatic.retain


def _mend(variable: Variable, use: Use) -> str:
    if variable.type != use.type:
        if use.draft is not None:
            return f"declare the tag as {variable.type}, or bind another"
        return "bind a tag of the variable's type"
    if isinstance(variable, Retained) and use.direction is Direction.MEMORY:
        return "add `retain: true` to the tag"
    return "bind it to a memory tag or leave it unbound for an automatic one"
