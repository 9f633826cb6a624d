"""``cellwright events``: who did what, when and why, from the journal of a cell."""

from __future__ import annotations

import csv
import io
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest

from cellwright.io.journal.journal import CORRUPT, Record
from cellwright.io.journal.writer import JournalWriter
from cellwright.io.messages import (
    AnyEvent,
    CommandRefused,
    FaultRaised,
    ForceChanged,
    ModeChanged,
    PartReleased,
    TagWritten,
    encode,
)
from cellwright.runtime.cli.offline.times import moment
from cellwright.runtime.cli.views.folding import FoldedTable
from support.small_cell import COMMAND, SmallCell

NOW = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
S = 1_000_000_000
PART = "7d3f0c52-6c1e-4d1d-9f7a-0d5a3b0d9c11-000001"


def ns(hours_ago: float) -> int:
    return time.time_ns() - round(hours_ago * 3600 * S)


def happened(hours_ago: float, event: type[AnyEvent], **fields: Any) -> AnyEvent:
    made: Any = event
    return made(task="runtime", utc_ns=ns(hours_ago), cycle=7, **fields)  # type: ignore[no-any-return]


EVENTS: list[Callable[[], AnyEvent]] = [
    lambda: happened(
        50, ModeChanged, old="INIT", new="STOP", actor="supervisor", reason="cell is up"
    ),
    lambda: happened(
        26, ForceChanged, tag="clamp_pressure", value=4.5, actor="ana@console",
        reason="sensor drifts, valve is closed by hand until the fitter comes",
    ),
    lambda: happened(
        25, TagWritten, tag="clamp_setpoint", old=5.0, new=6.25, actor="ben", reason="trial"
    ),
    lambda: happened(3, ForceChanged, tag="", value=None, actor="ana@console", reason="mended"),
    lambda: happened(
        2, CommandRefused, command="ForceTag", actor="ben", why="there is no tag 'clamp'"
    ),
    lambda: happened(1, FaultRaised, code="watchdog", text="the task is late", culprit="clamp"),
    lambda: happened(0.5, PartReleased, part_id=PART, serial="SN1", verdict="good"),
]  # fmt: skip


def fill(cell: SmallCell, events: list[AnyEvent], first: int = 1) -> None:
    (cell.folder / "data").mkdir(exist_ok=True)
    with JournalWriter(cell.folder / "data" / "journal.db") as writer:
        writer.append(
            [
                Record(
                    producer="scan",
                    boot_id="0123abcd",
                    producer_sequence=number,
                    utc_ns=event.utc_ns,
                    kind=str(event.__struct_config__.tag),
                    task=event.task,
                    part_id=None,
                    payload=encode(event),
                )
                for number, event in enumerate(events, first)
            ]
        )


@pytest.fixture
def cell(tmp_path: Path) -> SmallCell:
    """A cell that has ended and left a journal."""
    small = SmallCell(tmp_path / "cell", tmp_path / "run")
    fill(small, [make() for make in EVENTS])
    return small


def told(cell: SmallCell, *words: str, **environment: str) -> str:
    done = cell.type("events", *words, **environment)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def data(cell: SmallCell, *words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in told(cell, "--json", *words).splitlines()]


def numbers(cell: SmallCell, *words: str) -> list[int]:
    return [row["sequence"] for row in data(cell, *words)]


def test_all_events_of_a_cell_that_has_ended_are_listed_newest_last(cell: SmallCell) -> None:
    rows = data(cell)
    assert [row["sequence"] for row in rows] == [1, 2, 3, 4, 5, 6, 7]
    force = rows[1]
    assert (force["kind"], force["tag"], force["value"]) == ("force_changed", "clamp_pressure", 4.5)
    assert (force["actor"], force["cycle"], force["task"]) == ("ana@console", 7, "runtime")
    at = datetime.fromisoformat(force["time"])
    assert at.utcoffset() is not None
    assert abs(at.timestamp() - force["utc_ns"] / 1e9) < 1e-3


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("--kind", "force_changed"), [2, 4]),
        (("--kind", "force_changed", "--kind", "tag_written"), [2, 3, 4]),
        (("--tag", "clamp_pressure"), [2, 4]),
        (("--tag", "clamp_*"), [2, 3, 4]),
        (("--tag", "clamp"), [4]),
        (("--actor", "ana"), [2, 4]),
        (("--actor", "ana@console"), [2, 4]),
        (("--actor", "*@console"), [2, 4]),
        (("--actor", "an"), []),
        (("--actor", "ben", "--kind", "command_refused"), [5]),
        (("--since", "4h"), [4, 5, 6, 7]),
        (("--since", "1.5h"), [6, 7]),
        (("--since", "2d", "--until", "24h"), [2, 3]),
        (("--until", "30h"), [1]),
        (("--since", "2030-01-01"), []),
        (("--since", "1970-01-01", "--until", "9998-12-31"), [1, 2, 3, 4, 5, 6, 7]),
        (("--limit", "2"), [6, 7]),
        (("--limit", "1", "--tag", "clamp_setpoint", "--kind", "tag_written"), [3]),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_events_are_chosen_by_kind_tag_actor_time_and_number(
    cell: SmallCell, words: tuple[str, ...], wanted: list[int]
) -> None:
    assert numbers(cell, *words) == wanted


@pytest.mark.parametrize(
    ("words", "say"),
    [
        (("--kind", "force_change"), "no kind of event 'force_change'; did you mean"),
        (("--since", "soon"), "--since: 'soon' is not a time; write a date"),
        (("--since", "5"), "--since: '5' is not a time"),
        (("--until", "2026-02-30"), "--until: '2026-02-30' is not a time"),
        (("--since", "999999999d"), "not a time that this computer counts"),
        (("--since", "1h", "--until", "2h"), "--since 1h is later than --until 2h"),
        (("--json", "--csv"), "--json and --csv cannot be had together"),
        (("--follow", "--until", "1h"), "--follow shows what is still to come"),
        ((".", "--cell", "FirstCell"), "give the cell once"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_meant_is_refused(cell: SmallCell, words: tuple[str, ...], say: str) -> None:
    done = cell.type("events", *words)
    assert (done.returncode, done.stdout) == (2, ""), done
    assert say in done.stderr


def test_the_cell_is_meant_by_its_folder_its_file_or_its_data(
    cell: SmallCell, tmp_path: Path
) -> None:
    for words in (
        (str(cell.folder),),
        (str(cell.file),),
        ("--cell", str(cell.folder)),
        ("--data", str(cell.folder / "data")),
    ):
        done = cell.type("events", "--json", *words, cwd=tmp_path)
        assert (done.returncode, len(done.stdout.splitlines())) == (0, 7), done
    nowhere = cell.type("events", cwd=tmp_path)
    assert nowhere.returncode == 1
    assert "of a cell that has ended, give the folder" in nowhere.stderr


def test_a_broken_cell_file_does_not_hide_the_journal(cell: SmallCell) -> None:
    cell.file.write_text("cell: [")
    assert len(told(cell, "--data", "data", "--json").splitlines()) == 7


def test_a_cell_that_never_ran_has_no_journal_and_is_told_how_to_get_one(tmp_path: Path) -> None:
    small = SmallCell(tmp_path / "cell", tmp_path / "run")
    done = small.type("events")
    assert done.returncode == 1
    assert "there is no journal" in done.stderr
    assert "it begins with 'cellwright run " in done.stderr


# --- the table and the list for spreadsheets ------------------------------------------------------


def test_the_table_fits_80_columns_and_breaks_no_word(cell: SmallCell) -> None:
    narrow = told(cell, COLUMNS="80", TZ="UTC").splitlines()
    assert max(map(len, narrow)) <= 80
    wide = told(cell, COLUMNS="300", TZ="UTC").splitlines()
    assert len(wide) == 8
    assert sorted(" ".join(narrow).split()) == sorted(" ".join(wide).split())
    assert wide[0].split() == ["time", "(UTC)", "kind", "what", "who", "why"]
    assert "clamp_pressure = 4.5  " in wide[2]
    assert "all forces released" in wide[4]
    assert "(UTC)" not in "\n".join(wide[1:])


def test_older_events_that_are_left_out_are_told_of(cell: SmallCell) -> None:
    done = cell.type("events", "--limit", "7")
    assert done.stderr == ""
    done = cell.type("events", "--limit", "6")
    assert done.stderr == "(the newest 6; --limit shows more)\n"


def test_nothing_found_is_said_in_words_and_is_an_empty_list_for_machines(cell: SmallCell) -> None:
    words = ("--kind", "alarm_changed")
    assert told(cell, *words).startswith("no such events in ")
    assert told(cell, *words, "--json") == ""
    assert told(cell, *words, "--csv").count("\n") == 1


def test_a_spreadsheet_gets_one_line_an_event(cell: SmallCell) -> None:
    rows = list(csv.DictReader(io.StringIO(told(cell, "--csv"))))
    assert [row["sequence"] for row in rows] == list("1234567")
    force = rows[1]
    assert force["what"] == "clamp_pressure = 4.5"
    assert (force["who"], force["cycle"]) == ("ana@console", "7")
    assert force["why"].startswith("sensor drifts, valve")
    assert force["time"].endswith("Z")


def test_text_cannot_steer_the_terminal_and_numbers_stay_json(cell: SmallCell) -> None:
    nasty = happened(
        0, TagWritten, tag="t", old=float("nan"), new=[float("inf"), 1.0], actor="x",
        reason="a\nb\x1b[31m",
    )  # fmt: skip
    fill(cell, [nasty], 8)
    assert "a\\nb\\x1b[31m" in told(cell, "--limit", "8")
    assert "\x1b" not in told(cell)
    row = data(cell, "--tag", "t")[-1]
    assert (row["old"], row["new"]) == ("NaN", ["Infinity", 1.0])


def test_a_row_that_holds_no_event_is_shown_as_what_it_is(cell: SmallCell) -> None:
    with JournalWriter(cell.folder / "data" / "journal.db") as writer:
        writer.append(
            [
                Record(
                    producer="scan", boot_id="0123abcd", producer_sequence=9, utc_ns=ns(0),
                    kind=CORRUPT, task="", part_id=None, payload=b"\xff\x00",
                )
            ]
        )  # fmt: skip
    assert data(cell)[-1]["kind"] == CORRUPT
    assert numbers(cell, "--kind", CORRUPT) == [8]
    assert "a row that holds no event" in told(cell)


def test_every_kind_of_event_is_an_allowed_one(cell: SmallCell) -> None:
    for one in get_args(AnyEvent):
        told(cell, "--kind", one.__struct_config__.tag)


# --- a journal that grows -------------------------------------------------------------------------


@pytest.fixture
def following(cell: SmallCell) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        # Whoever runs the tests in the background of a script has Ctrl-C ignored, and hands it on.
        [
            "env",
            "--default-signal=INT",
            *COMMAND,
            "events",
            "--follow",
            "--json",
            "--limit",
            "1",
            "--kind",
            "tag_written",
        ],
        cwd=cell.folder,
        env=dict(cell.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def test_new_events_follow_until_it_is_interrupted(
    cell: SmallCell, following: subprocess.Popen[str]
) -> None:
    assert following.stdout is not None
    assert json.loads(following.stdout.readline())["sequence"] == 3
    made = [make() for make in EVENTS]
    fill(cell, [made[1], made[2]], 8)
    assert json.loads(following.stdout.readline())["sequence"] == 9
    following.send_signal(signal.SIGINT)
    assert following.communicate(timeout=30) == ("", "")
    assert following.returncode in (0, 130)


def test_a_journal_that_is_taken_away_ends_the_following_with_a_sentence(
    cell: SmallCell, following: subprocess.Popen[str]
) -> None:
    assert following.stdout is not None
    following.stdout.readline()
    (cell.folder / "data").rename(cell.folder / "gone")
    _, said = following.communicate(timeout=30)
    assert following.returncode == 1
    assert "journal" in said
    assert "Traceback" not in said


def test_a_running_cell_says_who_forced_what(tmp_path: Path) -> None:
    small = SmallCell(tmp_path / "cell", tmp_path / "run")
    with small.running():
        small.type("force", "clamp_pressure", "4.5", "--reason", "trial")
        deadline = time.monotonic() + 10
        while not (rows := data(small, "--kind", "force_changed")):
            assert time.monotonic() < deadline
    (row,) = rows
    assert (row["tag"], row["value"], row["reason"]) == ("clamp_pressure", 4.5, "trial")
    assert row["actor"].endswith("@console")


def test_a_cell_that_was_killed_is_found_by_its_name(tmp_path: Path) -> None:
    small = SmallCell(tmp_path / "cell", tmp_path / "run")
    with small.running():
        words = ("events", "--json", "--cell", "FirstCell", "--kind", "mode_changed")
        expected = small.type(*words, cwd=tmp_path).stdout
        kept = shutil.copytree(small.run, tmp_path / "left")
    shutil.rmtree(small.run)
    kept.rename(small.run)
    found = small.type(*words, cwd=tmp_path)
    assert found.returncode == 0, found
    assert found.stdout.startswith(expected)
    assert expected


# --- times ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "end", "wanted"),
    [
        ("2h", False, "2026-03-04T10:30:00"),
        ("90 s", False, "2026-03-04T12:28:30"),
        ("1.5d", False, "2026-03-03T00:30:00"),
        ("2026-03-01", False, "2026-03-01T00:00:00"),
        ("2026-03-01", True, "2026-03-01T23:59:59.999999"),
        ("today", False, "2026-03-04T00:00:00"),
        ("yesterday", True, "2026-03-03T23:59:59.999999"),
        ("12:00", False, "2026-03-04T12:00:00"),
        ("13:00", False, "2026-03-03T13:00:00"),
        ("2026-03-01 07:15", False, "2026-03-01T07:15:00"),
        ("2026-03-01T07:15:30Z", False, "2026-03-01T07:15:30"),
        ("2026-03-01T07:15+02:00", False, "2026-03-01T05:15:00"),
    ],
)
def test_a_time_is_typed_as_people_write_it(
    text: str, end: bool, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        assert moment(text, NOW, end=end) == datetime.fromisoformat(wanted + "+00:00")
    finally:
        monkeypatch.undo()
        time.tzset()


# --- folding --------------------------------------------------------------------------------------


def test_a_column_without_room_goes_below_and_only_text_is_wrapped() -> None:
    table = FoldedTable(("a", "b", "c"), 12)
    assert table.lines([("12345", "67890", "one two three"), ("1", "2", "")]) == [
        "a      b",
        "    c",
        "12345  67890",
        "    one two",
        "    three",
        "1      2",
    ]
    assert table.lines([("x", "y", "z")], header=False) == ["x      y", "    z"]


def test_a_word_that_is_wider_than_the_terminal_stays_whole() -> None:
    assert FoldedTable(("a",), 4).lines([("abcdefgh ij",)]) == ["a", "abcdefgh", "ij"]
