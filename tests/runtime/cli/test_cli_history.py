"""What ``status`` and ``alarms`` say of the past: the cause of a state, when an alarm came."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest
from ruamel.yaml import YAML

from support.small_cell import SmallCell

T = TypeVar("T")


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallCell]:
    """A cell in RUN with two alarms, of which one stops it."""
    place = tmp_path_factory.mktemp("past")
    small = SmallCell(place / "cell", place / "run")
    yaml = YAML()
    file = yaml.load(small.file)
    for name in ("guard_open", "oil_low"):
        file["tags"][name] = {"type": "BOOL", "memory": True, "write": ["Operator"]}
    file["alarms"] = {
        "guard": {"when": "guard_open", "severity": 900, "consequence": "stop", "text": "Shut it"},
        "oil": {"when": "oil_low", "severity": 300, "text": "Fill up oil"},
    }
    yaml.dump(file, small.file)
    with small.running():
        yield small


@pytest.fixture(autouse=True)
def quiet(cell: SmallCell) -> Iterator[None]:
    """Every test begins in RUN without alarms."""
    yield
    for name in ("guard_open", "oil_low"):
        cell.type("tags", "set", name, "false")
    cell.type("ack", "all")
    cell.type("start")
    soon(lambda: status(cell)["state"] == "RUN" and not status(cell)["alarms"])


def soon(look: Callable[[], T]) -> T:
    """What the look finds once it finds something: an event is durable a moment later."""
    deadline = time.monotonic() + 15
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def done(cell: SmallCell, *words: str) -> str:
    typed = cell.type(*words)
    assert typed.returncode == 0, typed
    return typed.stdout


def status(cell: SmallCell) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done(cell, "status", "--json"))
    return found


def alarm(cell: SmallCell, name: str, state: str) -> dict[str, Any]:
    """The alarm once it is in that state and the journal knows it."""

    def look() -> dict[str, Any] | None:
        rows = json.loads(done(cell, "alarms", "--json", "--all"))
        return next((row for row in rows if row["name"] == name and row["state"] == state), None)

    soon(look)
    kind = ("events", "--kind", "alarm_changed", "--json", "--limit", "1")
    soon(lambda: f'"new": "{state}"' in done(cell, *kind))
    found = look()
    assert found is not None
    return found


def test_status_in_stop_says_since_when_who_and_why(cell: SmallCell) -> None:
    before = datetime.now(UTC)
    done(cell, "stop", "--reason", "lunch [break]")
    soon(lambda: status(cell)["state"] == "STOP")
    entered = soon(lambda: status(cell)["last_state_change"])
    assert (entered["from"], entered["reason"], entered["request"]) == (
        "RUN", "lunch [break]", "stop",
    )  # fmt: skip
    assert entered["by"].endswith("@console")
    age_s = (datetime.fromisoformat(entered["since"]) - before).total_seconds()
    assert -0.1 < age_s < 15
    text = done(cell, "status")
    local = datetime.fromisoformat(entered["since"]).astimezone()
    assert f"STOP since {local:%Y-%m-%d %H:%M:%S}" in text
    assert f", by {entered['by']}: lunch [break]\n" in text


def test_in_run_nobody_is_told_why(cell: SmallCell) -> None:
    assert soon(lambda: status(cell)["last_state_change"])["from"] in ("STOP", "INIT")
    assert "RUN since" not in done(cell, "status")


def test_a_start_that_was_refused_is_told_until_the_state_changes(cell: SmallCell) -> None:
    done(cell, "stop")
    soon(lambda: status(cell)["state"] == "STOP" and status(cell)["last_state_change"])
    assert cell.type("resume").returncode == 1
    refused = soon(lambda: status(cell)["last_refused"])
    assert (refused["command"], "'hot_start' is not possible in STOP" in refused["why"]) == (
        "SetMode", True,
    )  # fmt: skip
    assert "last refused: SetMode by " in done(cell, "status")
    done(cell, "start")
    # The answer may come within the cycle that takes the new state to the image.
    soon(lambda: status(cell)["state"] == "RUN")
    assert "last refused" not in done(cell, "status")
    assert status(cell)["last_refused"] == refused
    done(cell, "stop")
    soon(lambda: status(cell)["state"] == "STOP" and status(cell)["last_state_change"])
    assert "last refused" not in done(cell, "status")


def test_an_alarm_that_stopped_the_cell_is_named_as_the_cause_and_as_standing(
    cell: SmallCell,
) -> None:
    done(cell, "tags", "set", "guard_open", "true")
    soon(lambda: status(cell)["state"] == "STOP" and status(cell)["last_state_change"])
    report = status(cell)
    assert "guard" in report["last_state_change"]["reason"]
    (standing,) = report["alarms"]
    assert (standing["name"], standing["state"], standing["severity"]) == (
        "guard", "UNACKNOWLEDGED", 900,
    )  # fmt: skip
    text = done(cell, "status")
    assert "alarm guard UNACKNOWLEDGED since " in text
    assert "Shut it" in text


def test_an_alarm_keeps_the_time_at_which_it_came(cell: SmallCell) -> None:
    done(cell, "tags", "set", "oil_low", "true")
    came = alarm(cell, "oil", "UNACKNOWLEDGED")["since"]
    done(cell, "tags", "set", "oil_low", "false")
    assert alarm(cell, "oil", "RETURNED_UNACKNOWLEDGED")["since"] == came
    assert datetime.fromisoformat(status(cell)["alarms"][0]["since"]) <= datetime.fromisoformat(
        came
    )
    done(cell, "tags", "set", "oil_low", "true")
    again = alarm(cell, "oil", "UNACKNOWLEDGED")["since"]
    assert again > came
    done(cell, "ack", "oil")
    assert alarm(cell, "oil", "ACKNOWLEDGED")["since"] == again


def test_a_journal_that_cannot_be_read_takes_only_the_reasons(
    cell: SmallCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(cell, "tags", "set", "oil_low", "true")
    alarm(cell, "oil", "UNACKNOWLEDGED")
    done(cell, "stop")
    soon(lambda: status(cell)["state"] == "STOP")
    monkeypatch.setattr("cellwright.runtime.cli.views.history.JOURNAL_FILE", "gone.db")
    report = status(cell)
    assert report["last_state_change"] is report["last_refused"] is None
    assert "gone.db does not exist" in report["history_error"]
    assert [one["name"] for one in report["alarms"]] == ["oil"]
    assert "why is not known: the journal " in done(cell, "status")
