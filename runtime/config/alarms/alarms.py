"""Checks the sections ``alarms`` and ``heartbeats`` and makes the plan's tables of them.

Called by the compiler around the binding: first `AlarmDrafts` says which tags the runtime adds and
which it writes, then `check` judges conditions with the whole tag table known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from cellwright.io.files.located_yaml import Entry, Node
from cellwright.io.files.problems import Mark, Problems, nearest
from cellwright.io.plan import (
    INTEGERS,
    REALS,
    AlarmGroup,
    AlarmRule,
    Code,
    Consequence,
    Direction,
    Heartbeat,
    Limit,
    LimitKind,
    Op,
    Step,
    Tag,
    TagType,
)
from cellwright.runtime.config.alarms.conditions import Condition
from cellwright.runtime.config.alarms.drafts import (
    AlarmDraft,
    HeartbeatDraft,
    KnownTags,
)
from cellwright.runtime.config.alarms.limits import check_delays, check_limit
from cellwright.runtime.config.sections import model
from cellwright.runtime.config.sections.durations import show_duration
from cellwright.runtime.config.sections.validation import validate
from cellwright.runtime.config.tasks.binding import Extras, RuntimeTag, Use, unwritten

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}", re.ASCII)
DEFAULT_PERIOD_NS: Final = 1_000_000_000

_BOOL: Final = TagType(Code.BOOL)
_USINT: Final = TagType(Code.USINT)
_NAME: Final = TagType(Code.STRING, 64)
_LIMITS: Final = tuple(LimitKind)

M = TypeVar("M", bound=BaseModel)


class AlarmDrafts:
    """Both sections on their way from the file to the plan."""

    def __init__(self, root: Node, base_ns: int, problems: Problems) -> None:
        self._root = root
        self._base_ns = base_ns
        self._problems = problems
        self._alarms: list[AlarmDraft] = []
        self._heartbeats: list[HeartbeatDraft] = []
        self._groups: dict[str, None] = {}
        self._conditions: dict[str, Condition] = {}
        self._tags: dict[str, RuntimeTag] = {}
        self._writers: dict[str, tuple[str, Mark]] = {}
        self._read_alarms()
        self._read_heartbeats()
        for alarm in self._alarms:
            self._alarm_tags(alarm)

    @property
    def extras(self) -> Extras:
        """What the binding must know."""
        return Extras(self._tags, self._writers)

    # --- entries --------------------------------------------------------------------------------

    def _read_alarms(self) -> None:
        for name, entry, data in self._entries("alarms", "an alarm", model.Alarm):
            if not self._one_source(name, data):
                continue
            limits = [kind for kind in _LIMITS if getattr(data, kind) is not None]
            if not limits:
                self._alarms.append(AlarmDraft(name, name, entry.mark, data))
            for kind in limits:
                full = name if len(limits) == 1 else f"{name}.{kind}"
                self._alarms.append(AlarmDraft(full, name, entry.mark, data, kind))

    def _read_heartbeats(self) -> None:
        for name, entry, data in self._entries("heartbeats", "a heartbeat", model.Heartbeat):
            if not self._sensible(name, entry, data):
                continue
            self._heartbeats.append(HeartbeatDraft(name, entry.mark, data))
            if data.send is not None:
                if data.send in self._writers:
                    other, mark = self._writers[data.send]
                    self._two_writers(name, data.send, other, mark)
                self._writers[data.send] = (
                    f"heartbeat {name}",
                    self._at("heartbeats", name, "send"),
                )
            if data.expect is None:
                continue
            about = f"Heartbeat '{name}': the other side"
            self._tags[f"heartbeat.{name}.alive"] = RuntimeTag(
                _BOOL, entry.mark, f"{about} is alive"
            )
            self._tags[f"heartbeat.{name}.lost"] = RuntimeTag(
                _BOOL, entry.mark, f"{about} gives no sign of life for longer than its timeout"
            )
            if data.on_loss != "none":
                self._alarms.append(self._loss(name, entry, data))

    @staticmethod
    def _loss(name: str, entry: Entry, data: model.Heartbeat) -> AlarmDraft:
        alarm = model.Alarm(
            when="heartbeat lost",
            text=data.text or f"The heartbeat '{name}' is lost; see whether its other side runs",
            severity=data.severity,
            group=data.group,
            consequence=data.on_loss if data.on_loss in ("stop", "fault") else "none",
        )
        return AlarmDraft(
            f"heartbeat.{name}", name, entry.mark, alarm, lost=f"heartbeat.{name}.lost"
        )

    def _alarm_tags(self, alarm: AlarmDraft) -> None:
        group = alarm.model.group
        if group not in self._groups:
            self._groups[group] = None
            self._tags[f"alarms.{group}.first_out"] = RuntimeTag(
                _NAME, alarm.mark, f"The alarm of group '{group}' that came first", retain=True
            )
        base = f"alarm.{alarm.name}"
        text = alarm.model.text
        self._tags[f"{base}.active"] = RuntimeTag(_BOOL, alarm.mark, f"Active: {text}")
        self._tags[f"{base}.acked"] = RuntimeTag(_BOOL, alarm.mark, f"Acknowledged: {text}")
        self._tags[f"{base}.state"] = RuntimeTag(
            _USINT, alarm.mark, f"Number of the alarm's state: {text}", retain=True
        )

    def _entries(self, section: str, subject: str, kind: type[M]) -> Iterable[tuple[str, Entry, M]]:
        folded: dict[str, Entry] = {}
        for name, entry in self._root.section(section).items():
            if entry.node.kind == "void":
                continue
            twin = folded.setdefault(name.casefold(), entry)
            if NAME.fullmatch(name) is None:
                self._problems.error(
                    entry.mark,
                    f"'{name}' is not a name for {subject}",
                    "tags are made of it",
                    "use letters, digits and _, at most 40",
                )
            elif twin is not entry:
                self._problems.error(
                    entry.mark,
                    f"'{name}' differs from the name in line {twin.mark.line} only in case",
                    "names in IEC 61131-3 are not case-sensitive",
                    "choose another name",
                )
            elif entry.node.kind != "mapping":
                self._problems.error(
                    entry.mark,
                    f"'{name}' is not a mapping",
                    f"{subject} is a mapping of keys",
                    "write `key: value` lines below it, or { key: value }",
                )
            else:
                data = validate(
                    kind,
                    entry.node.plain(),
                    self._root,
                    (section, name),
                    self._problems,
                    subject=subject,
                )
                if data is not None:
                    yield name, entry, data

    def _one_source(self, name: str, data: model.Alarm) -> bool:
        def complain(key: str, what: str, why: str, remedy: str) -> bool:
            self._problems.error(self._at("alarms", name, key, key=True), what, why, remedy)
            return False

        limits = [kind for kind in _LIMITS if getattr(data, kind) is not None]
        if data.when is not None and data.tag is not None:
            return complain(
                "tag",
                f"the alarm '{name}' has both 'when' and 'tag'",
                "an alarm watches one thing",
                "make two alarms of it",
            )
        if data.when is None and data.tag is None:
            return complain(
                limits[0] if limits else name,
                f"the alarm '{name}' watches nothing",
                "it has neither 'when' nor 'tag'",
                'add `when: "not air_ok"`, or `tag: pressure` with a limit',
            )
        if data.when is not None:
            extra: list[str] = [*limits, *(["deadband"] if data.deadband is not None else [])]
            if extra:
                return complain(
                    extra[0],
                    f"'{extra[0]}' does not apply to the alarm '{name}'",
                    "a condition has no limits",
                    f"delete `{extra[0]}`, or write `tag` instead of `when`",
                )
        elif not limits:
            return complain(
                "tag",
                f"the alarm '{name}' has no limit",
                "it watches a tag",
                "add `high`, `low`, `high_high` or `low_low`",
            )
        return self._ordered(name, data)

    def _ordered(self, name: str, data: model.Alarm) -> bool:
        upwards = [LimitKind.LOW_LOW, LimitKind.LOW, LimitKind.HIGH, LimitKind.HIGH_HIGH]
        given = [
            (kind, float(getattr(data, kind)))
            for kind in upwards
            if getattr(data, kind) is not None
        ]
        for (below, lower), (above, upper) in pairwise(given):
            if lower >= upper:
                self._problems.error(
                    self._at("alarms", name, above),
                    f"{above} {upper:g} of '{name}' is not above {below} {lower:g}",
                    "limits rise from low_low to high_high",
                    "correct one of them",
                )
                return False
        return True

    def _sensible(self, name: str, entry: Entry, data: model.Heartbeat) -> bool:
        needs = {"period": "send", "timeout": "expect", "on_loss": "expect"}
        if data.send is None and data.expect is None:
            self._problems.error(
                entry.mark,
                f"the heartbeat '{name}' neither sends nor expects",
                "it would do nothing",
                "add `send`, or `expect` with `timeout`",
            )
            return False
        for key, other in needs.items():
            if getattr(data, key) is not None and getattr(data, other) is None:
                self._problems.error(
                    self._at("heartbeats", name, key, key=True),
                    f"'{key}' of the heartbeat '{name}' has no meaning",
                    f"there is no '{other}'",
                    f"add `{other}` or delete `{key}`",
                )
                return False
        if data.expect is not None and data.timeout is None:
            self._problems.error(
                self._at("heartbeats", name, "expect", key=True),
                f"the heartbeat '{name}' has no timeout",
                "it must be known when the other side counts as lost",
                "add `timeout: 3s`",
            )
            return False
        for key in ("period", "timeout"):
            value = getattr(data, key)
            if value is not None and value < self._base_ns:
                self._problems.error(
                    self._at("heartbeats", name, key),
                    f"{key} {show_duration(value)} of the heartbeat '{name}' cannot be kept",
                    f"the scan looks only every {show_duration(self._base_ns)}",
                    f"write at least {show_duration(self._base_ns)}",
                )
                return False
        if data.send is not None and data.send == data.expect:
            self._problems.error(
                self._at("heartbeats", name, "expect"),
                f"the heartbeat '{name}' expects what it sends",
                "it would never be lost",
                "name the tag that the other side writes",
            )
            return False
        return True

    def _two_writers(self, name: str, tag: str, other: str, mark: Mark) -> None:
        own = self._at("heartbeats", name, "send")
        self._problems.error(
            own,
            f"the tag '{tag}' has two writers: '{other}' (line {mark.line})"
            f" and 'heartbeat {name}' (line {own.line})",
            "a tag has one writer, so that its value does not depend on the order of tasks",
            "send another tag",
        )

    def _at(self, *path: str | int, key: bool = False) -> Mark:
        return self._root.at(path, key=key)

    # --- against the tag table ------------------------------------------------------------------

    def check(self, known: KnownTags) -> None:
        """Conditions, limits and heartbeats against all tags of the cell."""
        for alarm in self._alarms:
            if alarm.limit is not None:
                self._check_limit(alarm, known)
            elif not alarm.lost:
                self._check_condition(alarm, known)
        for heartbeat in self._heartbeats:
            self._check_heartbeat(heartbeat, known)

    def _check_condition(self, alarm: AlarmDraft, known: KnownTags) -> None:
        node = self._root.entries["alarms"].node.entries[alarm.entry].node.entries["when"].node
        condition = known.condition(
            alarm.model.when or "", node, f"the alarm '{alarm.name}'", self._problems
        )
        if condition is None:
            return
        self._conditions[alarm.name] = condition
        watched = [known.uses[name] for name in condition.values]
        if watched and not condition.qualities and all(map(unwritten, watched)):
            self._can_change(
                watched[0], f"the condition of the alarm '{alarm.name}' is about it", node.mark
            )
        check_delays(alarm, condition, self._root, self._problems)
        for name in (*condition.values, *condition.qualities):
            _reads(known.uses[name], "alarms")

    def _check_limit(self, alarm: AlarmDraft, known: KnownTags) -> None:
        name = alarm.model.tag or ""
        kind, mark = alarm.limit, self._at("alarms", alarm.entry, "tag")
        use = self._tag(name, f"the alarm '{alarm.entry}' watches it", mark, known)
        if use is None or kind is None:
            return
        code = use.type.code
        if use.type.is_array or (code not in INTEGERS and code not in REALS):
            self._problems.error(
                mark,
                f"'{name}' has no limits",
                f"it is a {use.type}, and only numbers have",
                "use `when` for a condition on it",
            )
            return
        if check_limit(alarm, kind, use, self._root, self._problems):
            self._can_change(use, f"the alarm '{alarm.entry}' watches it", mark)
            _reads(use, "alarms")

    def _can_change(self, use: Use, why: str, mark: Mark) -> None:
        if unwritten(use) and not self._problems.errors:
            # With an error elsewhere, what could not be loaded or bound may be its writer.
            self._problems.warning(
                mark,
                f"nobody writes the tag '{use.name}'",
                f"{why}, and it keeps its initial value",
                "bind it to a program's Output, or give `write` roles",
            )

    def _check_heartbeat(self, heartbeat: HeartbeatDraft, known: KnownTags) -> None:
        name, data = heartbeat.name, heartbeat.model
        for key, tag in (("send", data.send), ("expect", data.expect)):
            if tag is None:
                continue
            mark = self._at("heartbeats", name, key)
            use = self._tag(tag, f"the heartbeat '{name}' needs it", mark, known)
            if use is None:
                continue
            allowed = (Direction.MEMORY, Direction.OUTPUT if key == "send" else Direction.INPUT)
            if use.direction not in allowed:
                self._problems.error(
                    mark,
                    f"'{tag}' cannot be what the heartbeat '{name}' "
                    + ("sends" if key == "send" else "expects"),
                    f"it is an {use.direction} tag"
                    if use.direction in (Direction.INPUT, Direction.OUTPUT)
                    else f"it is a {use.direction} tag",
                    f"use an {allowed[1]} or a memory tag",
                )
            elif use.type.is_array or (
                use.type.code is not Code.BOOL and use.type.code not in INTEGERS
            ):
                self._problems.error(
                    mark,
                    f"'{tag}' of the type {use.type} cannot be a heartbeat",
                    "a heartbeat is a BOOL that is inverted or an integer that is counted",
                    "use a tag of the type BOOL or UINT",
                )
            else:
                self._check_poll(heartbeat, key, use, known)
                if key == "expect":
                    self._can_change(use, f"the heartbeat '{name}' expects changes of it", mark)
                    _reads(use, f"heartbeat {name}")

    def _check_poll(self, heartbeat: HeartbeatDraft, key: str, use: Use, known: KnownTags) -> None:
        """A device is asked only at each poll: no sign of life passes faster than that."""
        address = use.draft.address if use.draft is not None else None
        device = known.devices.get(address.device) if address is not None else None
        data = heartbeat.model
        setting = "period" if key == "send" else "timeout"
        value = (data.period or DEFAULT_PERIOD_NS) if key == "send" else (data.timeout or 0)
        if device is None or value >= device.poll_ns:
            return
        given = getattr(data, setting) is not None
        poll = show_duration(device.poll_ns)
        self._problems.error(
            self._at("heartbeats", heartbeat.name, setting if given else key),
            f"{setting} {show_duration(value)} of the heartbeat '{heartbeat.name}' cannot be kept",
            f"the device '{device.name}' is polled only every {poll}",
            f"write at least twice that, or a shorter `poll` for '{device.name}'",
        )

    def _tag(self, name: str, why: str, mark: Mark, known: KnownTags) -> Use | None:
        if known.type(name) is not None:
            return known.uses[name]
        if not known.broken(name):
            self._problems.error(mark, f"no tag is called '{name}'", why, nearest(name, known.uses))
        return None

    # --- the plan -------------------------------------------------------------------------------

    def tables(self, table: tuple[Tag, ...]) -> dict[str, Any]:
        """The plan's fields ``alarms``, ``alarm_groups`` and ``heartbeats``."""
        index = {tag.name: tag.index for tag in table}
        groups = list(self._groups)
        return {
            "alarms": tuple(
                self._rule(number, alarm, index, groups)
                for number, alarm in enumerate(self._alarms)
            ),
            "alarm_groups": tuple(
                AlarmGroup(name, index[f"alarms.{name}.first_out"]) for name in groups
            ),
            "heartbeats": tuple(
                _heartbeat(number, one, index) for number, one in enumerate(self._heartbeats)
            ),
        }

    def _rule(
        self, number: int, alarm: AlarmDraft, index: dict[str, int], groups: list[str]
    ) -> AlarmRule:
        data, limit = alarm.model, None
        values: tuple[str, ...] = ()
        qualities: tuple[str, ...] = ()
        steps: tuple[Step, ...] = ()
        if alarm.limit is not None and data.tag is not None:
            at = float(getattr(data, alarm.limit))
            limit = Limit(index[data.tag], alarm.limit, at, data.deadband or 0.0)
            values = (data.tag,)
        elif alarm.lost:
            steps, values = (Step(Op.TAG, index[alarm.lost]),), (alarm.lost,)
        else:
            condition = self._conditions[alarm.name]
            steps, values, qualities = condition.steps, condition.values, condition.qualities
        reads = tuple(index[name] for name in values)
        base = f"alarm.{alarm.name}"
        return AlarmRule(
            index=number,
            name=alarm.name,
            text=data.text,
            severity=data.severity,
            group=groups.index(data.group),
            acknowledge=data.acknowledge,
            enabled=data.enabled,
            consequence=Consequence(data.consequence),
            on_delay_ns=data.delay,
            off_delay_ns=data.off_delay,
            when=steps,
            limit=limit,
            reads=reads,
            watches=tuple(dict.fromkeys((*reads, *(index[name] for name in qualities)))),
            shows=reads[0] if len(reads) == 1 and not alarm.lost else -1,
            active=index[f"{base}.active"],
            acked=index[f"{base}.acked"],
            state=index[f"{base}.state"],
        )


def _heartbeat(number: int, heartbeat: HeartbeatDraft, index: dict[str, int]) -> Heartbeat:
    data, name = heartbeat.model, heartbeat.name
    return Heartbeat(
        index=number,
        name=name,
        send=-1 if data.send is None else index[data.send],
        period_ns=data.period or DEFAULT_PERIOD_NS,
        expect=-1 if data.expect is None else index[data.expect],
        timeout_ns=data.timeout or 0,
        alive=-1 if data.expect is None else index[f"heartbeat.{name}.alive"],
        lost=-1 if data.expect is None else index[f"heartbeat.{name}.lost"],
    )


def _reads(use: Use, reader: str) -> None:
    if reader not in use.readers:
        use.readers.append(reader)
