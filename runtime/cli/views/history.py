"""What the journal of a running cell adds to its image: why it is in its state, when alarms came.

Asked by ``status`` and ``alarms``. It only reads; where the journal cannot be read, the image alone
is told and `History.error` says why.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from cellwright.io.image import ACTIVE, ANNUNCIATED, AlarmStatus, AlarmView, Image
from cellwright.io.journal.journal import JOURNAL_FILE, JournalError, JournalReader, Search
from cellwright.io.messages import (
    AlarmChanged,
    CommandRefused,
    MessageError,
    ModeChanged,
    decode_event,
)
from cellwright.io.plan import CellState, Plan

LOOKED_AT: Final = 5_000
"""Newest changes of alarms among which the coming of the present ones is looked for."""

ALARMS_SHOWN: Final = 5
"""Alarms that `status` names; `cellwright alarms` lists all."""
RUN: Final = CellState.RUN.name
_ACTIVE: Final = frozenset(state.name for state in ACTIVE)


class History(msgspec.Struct, frozen=True):
    """What happened last."""

    entered: ModeChanged | None = None
    """How the cell came into its present state; None while the journal does not say it yet."""
    refused: CommandRefused | None = None
    """The command that was refused last, in whatever state."""
    error: str = ""


def history(plan: Plan, image: Image) -> History:
    """The last change of state and the last refusal."""
    try:
        with JournalReader(Path(plan.data) / JOURNAL_FILE) as journal:
            entered, refused = journal.last(ModeChanged), journal.last(CommandRefused)
    except JournalError as error:
        return History(error=str(error))
    if not isinstance(entered, ModeChanged) or entered.new != CellState(image.scan.state).name:
        entered = None
    return History(entered, refused if isinstance(refused, CommandRefused) else None)


def history_report(plan: Plan, image: Image) -> dict[str, Any]:
    """Why the cell is in its state and what an operator is to see, as plain data; times are UTC.

    ``last_state_change`` and ``last_refused`` are None where the journal does not tell of any.
    """
    past = history(plan, image)
    entered, refused = past.entered, past.refused
    reader = image.snapshot_reader()
    reader.read()
    standing = [one for one in AlarmView(plan, reader).statuses() if one.state in ANNUNCIATED]
    return {
        "last_state_change": entered
        and {
            "since": _utc(entered.utc_ns),
            "from": entered.old,
            "by": entered.actor,
            "reason": entered.reason,
            "request": entered.request,
        },
        "last_refused": refused
        and {
            "at": _utc(refused.utc_ns),
            "command": refused.command,
            "by": refused.actor,
            "why": refused.why,
        },
        "history_error": past.error,
        "alarms": [
            {
                "name": one.name,
                "state": one.state.name,
                "severity": one.severity,
                "since": _utc(one.since_utc_ns) if one.since_utc_ns else None,
                "text": one.text,
            }
            for one in sorted(with_their_coming(plan, standing), key=lambda one: -one.severity)
        ],
    }


def history_lines(report: dict[str, Any]) -> list[tuple[str, str]]:
    """What `history_report` found, for people: lines with their styles.

    In RUN nobody asks why, and a refusal before the last change of state is past; alarms are told
    in every state.
    """
    lines: list[tuple[str, str]] = []
    entered, refused, state = report["last_state_change"], report["last_refused"], report["state"]
    if state != RUN and entered:
        why = f": {entered['reason']}" if entered["reason"] else ""
        lines.append((f"{state} since {_local(entered['since'])}, by {entered['by']}{why}", ""))
    elif state != RUN and report["history_error"]:
        lines.append((f"why is not known: {report['history_error']}", "yellow"))
    if refused and state != RUN and (not entered or refused["at"] >= entered["since"]):
        lines.append(
            (
                f"last refused: {refused['command']} by {refused['by']} at "
                f"{_local(refused['at'])}: {refused['why']}",
                "yellow",
            )
        )
    alarms = report["alarms"]
    for one in alarms[:ALARMS_SHOWN]:
        since = f" since {_local(one['since'])}" if one["since"] else ""
        word = one["state"].replace("_", " ")
        lines.append((f"alarm {one['name']} {word}{since}: {one['text']}", "red"))
    if len(alarms) > ALARMS_SHOWN:
        more = len(alarms) - ALARMS_SHOWN
        lines.append((f"and {more} more; see 'cellwright alarms'", "red"))
    return lines


def _utc(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat(timespec="milliseconds")


def _local(utc: str) -> str:
    return f"{datetime.fromisoformat(utc).astimezone():%Y-%m-%d %H:%M:%S %Z}"


def with_their_coming(plan: Plan, statuses: Iterable[AlarmStatus]) -> list[AlarmStatus]:
    """The alarms, ``since_utc_ns`` of those that an operator is to see being when they came.

    The image knows only when an alarm came into its present state, which is later once somebody
    has acknowledged it or its condition is gone.
    """
    found = list(statuses)
    wanted = {one.name: one.state.name for one in found if one.state in ANNUNCIATED}
    if not wanted:
        return found
    try:
        came = _came(Path(plan.data) / JOURNAL_FILE, wanted)
    except JournalError:
        came = {}  # `status` tells of a journal that cannot be read
    return [
        msgspec.structs.replace(one, since_utc_ns=came[one.name]) if one.name in came else one
        for one in found
    ]


def _came(journal: Path, wanted: dict[str, str]) -> dict[str, int]:
    """When these alarms came, by name; ``wanted`` has the state of each. Without those of whose
    last change the journal does not know yet."""
    search = Search(kinds=(str(AlarmChanged.__struct_config__.tag),))
    with JournalReader(journal) as reader:
        rows = reader.newest(search, limit=LOOKED_AT)
    open_, known, came = set(wanted), set[str](), dict[str, int]()
    for row in rows:
        if not open_:
            break
        try:
            event = decode_event(row.payload)
        except MessageError:
            continue  # a row that the disk has damaged: an older one may tell
        if not isinstance(event, AlarmChanged) or event.alarm not in open_:
            continue
        if event.alarm not in known and event.new != wanted[event.alarm]:
            open_.discard(event.alarm)
        elif event.new in _ACTIVE and event.old not in _ACTIVE:
            came[event.alarm] = event.utc_ns
            open_.discard(event.alarm)
        known.add(event.alarm)
    return came
