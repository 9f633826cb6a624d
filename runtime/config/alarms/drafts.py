"""Alarms and heartbeats between the file and the plan, and the tags that conditions may name.

Data of the module `alarms`, which judges it; the recorder's triggers are conditions on the same
tags.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cellwright.io.files.located_yaml import Node
from cellwright.io.files.problems import Mark, Problems
from cellwright.io.plan import Code, LimitKind, TagType
from cellwright.runtime.config.alarms.conditions import Condition, ConditionError, parse_condition
from cellwright.runtime.config.alarms.constant import Span, constant, constant_comparison
from cellwright.runtime.config.sections import model
from cellwright.runtime.config.tags.devices import DeviceDraft
from cellwright.runtime.config.tags.tags import Tags
from cellwright.runtime.config.tasks.binding import Use
from cellwright.runtime.config.tasks.programs import Tasks


@dataclass(frozen=True, slots=True)
class AlarmDraft:
    """One alarm that is to be: an entry of the section, one of its limits, or a lost heartbeat."""

    name: str
    entry: str
    mark: Mark
    model: model.Alarm
    limit: LimitKind | None = None
    lost: str = ""
    """System tag that says that a heartbeat is lost."""


@dataclass(frozen=True, slots=True)
class HeartbeatDraft:
    """One heartbeat of the section."""

    name: str
    mark: Mark
    model: model.Heartbeat


@dataclass(frozen=True, slots=True)
class KnownTags:
    """The tags that conditions may name, and those about which something is already said."""

    uses: dict[str, Use]
    tags: Tags
    tasks: Tasks
    devices: Mapping[str, DeviceDraft] = field(default_factory=dict)
    places: dict[str, int] = field(init=False)
    """Place of each tag among all of them."""

    def __post_init__(self) -> None:
        places = {name: number for number, name in enumerate(self.uses)}
        object.__setattr__(self, "places", places)

    def type(self, name: str) -> TagType | None:
        """Type of the tag; None when there is none."""
        use = self.uses.get(name)
        return None if use is None else use.type

    def unit(self, name: str) -> str:
        """Unit of the tag as declared, or as the first program variable has it; else empty."""
        use = self.uses[name]
        return use.unit or (use.claim.unit if use.claim is not None else "")

    def broken(self, name: str) -> bool:
        """Something is already said about the tag or its task."""
        return name in self.tags.broken or name.partition(".")[0] in self.tasks.broken

    def broken_in(self, text: str) -> bool:
        """The same for any tag that a condition names."""
        return any(self.broken(name) for name in re.findall(r"[\w.]+", text))

    def condition(self, text: str, node: Node, owner: str, problems: Problems) -> Condition | None:
        """The condition that stands at ``node``; None when something is wrong, which is told.

        ``owner`` is what it belongs to, for the complaint. Steps name tags by their place among
        all tags of the cell, which is their place in the plan.
        """
        try:
            condition = parse_condition(
                text, self.type, self.uses, self.places.__getitem__, self.unit
            )
        except ConditionError as error:
            if self.broken_in(text):
                return None  # what is wrong with that tag is already said
            mark = node.mark
            if node.inset is not None:
                mark = Mark(mark.line, mark.column + node.inset + error.column)
            what = f"the condition of {owner} is not right: {error.what}"
            problems.error(mark, what, error.why, error.remedy)
            return None
        return condition if self._can_change(condition, node, owner, problems) else None

    def _can_change(self, condition: Condition, node: Node, owner: str, problems: Problems) -> bool:
        """Neither the condition nor a comparison in it is the same for all values of its tags."""
        steps = condition.steps
        used = {self.places[name]: self.uses[name] for name in condition.values}
        types = {place: use.type for place, use in used.items()}
        named = {place: use.name for place, use in used.items()}
        own = {place: STATES[use.name] for place, use in used.items() if use.name in STATES}
        part = constant_comparison(steps, types, own, named.__getitem__)
        always = part[1] if part is not None else constant(steps, types, own)
        if always is not None:
            word = "true" if always else "false"
            problems.error(
                node.mark,
                f"'{part[0]}' in the condition of {owner} is always {word}"
                if part is not None
                else f"the condition of {owner} is always {word}",
                "the types of its tags hold no value for which it is not"
                if part is not None
                else "no values of its tags make it anything else",
                "correct the number or the comparison, or delete this part"
                if part is not None
                else "correct it, or delete what has it",
            )
            return False
        declared = {
            place: span
            for place, use in used.items()
            if (span := declared_span(use)) is not None and not use.type.is_array
        }
        if declared and constant(steps, types, own | declared) is not None:
            problems.warning(
                node.mark,
                f"the condition of {owner} never changes while its tags are in their ranges",
                ", ".join(
                    f"'{used[place].name}' goes from {low:g} to {high:g}"
                    for place, (low, high) in declared.items()
                ),
                "correct the condition, or the `range` or `scale` of the tag",
            )
        return True


STATES: Final[dict[str, Span]] = {"sys.state": (0, 4), "sys.mode": (0, 3)}
"""Numbers of the runtime that stand for words; their types hold far more."""


def declared_span(use: Use) -> Span | None:
    """The sensible values that the tag's declaration states by `range` or `scale`."""
    draft = use.draft
    if draft is None or use.type.code is Code.BOOL or use.type.code is Code.STRING:
        return None
    if draft.model.range is not None:
        low, high = draft.model.range
        return low, high
    if draft.model.scale is None:
        return None
    low, high = sorted(draft.model.scale.eng)
    return low, high
