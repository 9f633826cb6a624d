"""What makes the recorder keep its window: faults, skipped ticks, conditions on tags.

The recorder process asks after each recorded cycle. Looks at the recorded image only, never at the
running one. Conditions are those of alarms; the compiler has checked them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from cellwright.io.plan import CellState, Plan, RecorderTrigger, is_bad
from cellwright.io.recording.cycle import CycleRecord, Shadow
from cellwright.io.recording.store import CONDITION, FAULT, OVERRUN
from cellwright.io.recording.values import ImageView
from cellwright.runtime.scan.alarms.conditions import condition

MOST_CONDITIONS: Final = 16
"""That are waited for by ``cellwright record --when`` at a time."""


class ConditionError(ValueError):
    """A condition that cannot be waited for; the sentence says what can."""


def asked_for(plan: Plan, text: str) -> RecorderTrigger:
    """A condition that somebody waits for, in the language of alarms; raises ConditionError."""
    # The compiler's modules are many, and few recorders ever need one of them.
    from cellwright.runtime.config.alarms import conditions  # noqa: PLC0415

    tags = {tag.name: tag for tag in plan.tags}
    try:
        found = conditions.parse_condition(
            text,
            lambda name: tags[name].type if name in tags else None,
            tags,
            lambda name: tags[name].index,
            lambda name: tags[name].unit,
        )
    except conditions.ConditionError as error:
        raise ConditionError(f"the condition '{text}' is not right: {error}") from error
    return RecorderTrigger(
        name=CONDITION,
        text=" ".join(text.split()),
        when=found.steps,
        reads=tuple(tags[name].index for name in found.values),
    )


class _RecordedTags:
    """The tags of the image that was recorded last, as conditions ask for them."""

    def __init__(self, plan: Plan) -> None:
        self._tags = plan.tags
        self.view: ImageView

    def getter(self, index: int) -> Callable[[], Any]:
        """A callable that gives the tag's value."""
        tag = self._tags[index]
        return lambda: self.view.value(tag)

    def quality(self, index: int) -> int:
        """Status code of the tag."""
        return self.view.quality(self._tags[index])


class Trigger:
    """One condition and whether it held. It is an edge: it must have been seen not to hold."""

    def __init__(self, rule: RecorderTrigger, tags: _RecordedTags) -> None:
        self.rule = rule
        self._tags = tags
        self._holds = condition(rule.when, tags)
        self._held = True

    def rises(self) -> bool:
        """It holds now and did not before; while a value that it needs is Bad, nothing changes."""
        if any(is_bad(self._tags.quality(tag)) for tag in self.rule.reads):
            return False
        holds = bool(self._holds())
        rises = holds and not self._held
        self._held = holds
        return rises


class ImageWatch:
    """The causes of the runtime's own, the cell's triggers, and the conditions asked for."""

    def __init__(self, plan: Plan) -> None:
        self._state = plan.tag("sys.state")
        self._skipped = plan.tag("sys.skipped")
        self._fault = plan.tag("sys.first_fault")
        self._settings = plan.recorder
        self._tags = _RecordedTags(plan)
        self._triggers = [Trigger(rule, self._tags) for rule in plan.recorder.triggers]
        self._asked: list[Trigger] = []
        self._shadow: Shadow | None = None
        self._plan = plan
        self._was: tuple[Any, Any] | None = None

    def add(self, rule: RecorderTrigger) -> None:
        """Watch for one more until it comes; the oldest goes when there are too many."""
        self._asked = [*self._asked, Trigger(rule, self._tags)][-MOST_CONDITIONS:]

    def __call__(self, record: CycleRecord, shadow: Shadow) -> list[str]:
        """The causes of this cycle, each a name for the file and a sentence; mostly none."""
        if shadow is not self._shadow:
            self._shadow, self._tags.view = shadow, ImageView(self._plan, shadow.region)
        causes = self._own(record)
        for trigger in self._triggers:
            if trigger.rises():
                causes.append(f"{trigger.rule.name}: {trigger.rule.text}")
        if self._asked:
            came = [trigger for trigger in self._asked if trigger.rises()]
            causes += [f"{CONDITION} {trigger.rule.text}" for trigger in came]
            self._asked = [trigger for trigger in self._asked if trigger not in came]
        return causes

    def _own(self, record: CycleRecord) -> list[str]:
        view = self._tags.view
        now = view.value(self._state), view.value(self._skipped)
        was, self._was = self._was, now
        if was is None or now == was:
            return []
        causes = []
        if self._settings.faults and now[0] != was[0] and now[0] == CellState.FAULT:
            causes.append(f"{FAULT} {view.value(self._fault)}")
        if self._settings.overruns and now[1] > was[1]:
            skipped = now[1] - was[1]
            causes.append(f"{OVERRUN} {skipped} ticks were skipped before cycle {record.cycle}")
        return causes
