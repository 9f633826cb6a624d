"""Checks the section ``recorder`` and makes the plan's settings of it.

Called by the compiler after the binding, because triggers may name any tag of the cell.
"""

from __future__ import annotations

import re
from typing import Final

from cellwright.io.files.located_yaml import Entry, Node
from cellwright.io.files.problems import Problems
from cellwright.io.plan import RecorderSettings, RecorderTrigger
from cellwright.io.recording.store import CAUSES
from cellwright.runtime.config.alarms.drafts import KnownTags
from cellwright.runtime.config.sections.durations import show_duration
from cellwright.runtime.config.sections.recorder import Recorder
from cellwright.runtime.config.sections.sizes import show_size

MOST_TRIGGERS: Final = 32
"""Each is asked in every recorded cycle."""
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}", re.ASCII)
_SECOND: Final = 1_000_000_000
_BOUNDS: Final = {"window": (_SECOND, 3600 * _SECOND), "after": (0, 600 * _SECOND)}


def compile_recorder(
    section: Recorder | None, root: Node, known: KnownTags, problems: Problems
) -> RecorderSettings:
    """The settings; those of a cell without the section when it is missing or wrong."""
    if section is None:
        return RecorderSettings()
    for key, (low, high) in _BOUNDS.items():
        value = getattr(section, key)
        if not low <= value <= high:
            problems.error(
                root.at(("recorder", key)),
                f"the recorder's {key} cannot be {show_duration(value)}",
                f"it goes from {show_duration(low)} to {show_duration(high)}",
                f"write at least {show_duration(low)}"
                if value < low
                else f"write at most {show_duration(high)}",
            )
    usual = RecorderSettings()
    buffer = section.buffer or min(usual.buffer_bytes, section.keep)
    if buffer > section.keep:
        problems.error(
            root.at(("recorder", "buffer")),
            f"the recorder's buffer of {show_size(buffer)} is larger than `keep`",
            f"one recording could then take more than the {show_size(section.keep)} of all",
            f"write at most {show_size(section.keep)}, or a larger `keep`",
        )
    return RecorderSettings(
        window_ns=section.window,
        after_ns=section.after,
        buffer_bytes=buffer,
        keep_bytes=section.keep,
        files=section.files,
        pause_ns=section.pause,
        faults=section.faults,
        overruns=section.overruns,
        triggers=_triggers(section, root, known, problems),
    )


def _triggers(
    section: Recorder, root: Node, known: KnownTags, problems: Problems
) -> tuple[RecorderTrigger, ...]:
    entries = root.section("recorder")["triggers"].node.entries if section.triggers else {}
    if len(entries) > MOST_TRIGGERS:
        problems.error(
            root.at(("recorder", "triggers"), key=True),
            f"the recorder has {len(entries)} triggers",
            f"at most {MOST_TRIGGERS} can be asked in every cycle",
            "join some with `or`, or compute a BOOL in a program",
        )
    made = []
    folded: dict[str, Entry] = {}
    for name, entry in entries.items():
        twin = folded.setdefault(name.casefold(), entry)
        if not _named_well(name, entry, twin, problems):
            continue
        text = section.triggers[name]
        condition = known.condition(text, entry.node, f"the trigger '{name}'", problems)
        if condition is None:
            continue
        for tag in (*condition.values, *condition.qualities):
            if "recorder" not in known.uses[tag].readers:
                known.uses[tag].readers.append("recorder")
        reads = tuple(known.places[tag] for tag in condition.values)
        shown = " ".join(text.split())
        made.append(RecorderTrigger(name=name, text=shown, when=condition.steps, reads=reads))
    return tuple(made)


def _named_well(name: str, entry: Entry, twin: Entry, problems: Problems) -> bool:
    if _NAME.fullmatch(name) is None:
        problems.error(
            entry.mark,
            f"'{name}' is not a name for a trigger",
            "names of files are made of it",
            "use letters, digits and _, at most 40",
        )
        return False
    if name.casefold() in CAUSES:
        problems.error(
            entry.mark,
            f"a trigger cannot be called '{name}'",
            "recordings that the runtime keeps by itself have this name",
            "choose another name",
        )
        return False
    if twin is not entry:
        problems.error(
            entry.mark,
            f"'{name}' differs from the name in line {twin.mark.line} only in case",
            "names of files are made of them, in small letters",
            "choose another name",
        )
        return False
    return True
