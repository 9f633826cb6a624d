"""The Telesis client against a scripted controller on a real socket."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from cellwright.io.markers.base import MarkContent, MarkerError, MarkOutcome
from cellwright.io.markers.telesis import Telesis, TelesisOptions
from support.telesis_controller import Controller

CONTENT = MarkContent("BLADE", "WO1|S1", ("S1", "B-17"))


@pytest.fixture
def make() -> Iterator[Any]:
    with contextlib.ExitStack() as stack:

        def build(
            options: dict[str, Any] | None = None, **script: list[str]
        ) -> tuple[Telesis, Controller]:
            options = options or {}
            controller = Controller(options.get("station"), **script)
            stack.callback(controller.close)
            given = {
                "host": "127.0.0.1",
                "port": controller.port,
                # Short only where an answer is disturbed, and three tries survive a stall as well.
                "answer_timeout_s": 0.3 if script else 20.0,
                "poll_s": 0.005,
                "mark_timeout_s": 10.0,
            }
            marker = Telesis("peen", TelesisOptions.model_validate({**given, **options}))
            stack.callback(marker.close)
            return marker, controller

        yield build


def count(controller: Controller, kind: str) -> int:
    return sum(1 for message in controller.received if message[0] == kind)


def test_a_mark_carries_symbol_and_texts_in_their_fields(make: Any) -> None:
    marker, controller = make()
    marker.connect()
    marker.prepare(CONTENT)
    result = marker.fire()
    assert result.outcome is MarkOutcome.ACKNOWLEDGED
    assert controller.marks == [{1: "WO1|S1", 2: "S1", 3: "B-17"}]
    assert controller.received[:5] == ["O", "PBLADE", "V01WO1|S1", "V02S1", "V03B-17"]


def test_the_station_number_travels_both_ways(make: Any) -> None:
    marker, controller = make({"station": 7})
    marker.prepare(CONTENT)
    assert marker.fire().outcome is MarkOutcome.ACKNOWLEDGED
    assert len(controller.marks) == 1


@pytest.mark.parametrize(
    "how", ["silent", "deaf", "nak", "garbage", "bad bcc", "split", "slow", "close", "half"]
)
@pytest.mark.parametrize("kind", ["O", "P", "V", "I"])
def test_everything_but_the_start_survives_one_disturbance(make: Any, kind: str, how: str) -> None:
    marker, controller = make(**{kind: [how]})
    marker.prepare(CONTENT)
    assert marker.fire().outcome is MarkOutcome.ACKNOWLEDGED
    assert len(controller.marks) == 1
    assert count(controller, "G") == 1


@pytest.mark.parametrize("how", ["silent", "garbage", "bad bcc", "split", "slow", "close", "half"])
def test_a_start_whose_answer_is_disturbed_is_sent_once_and_found_done(make: Any, how: str) -> None:
    marker, controller = make(G=[how])
    marker.prepare(CONTENT)
    assert marker.fire().outcome is MarkOutcome.ACKNOWLEDGED
    assert len(controller.marks) == 1
    assert count(controller, "G") == 1


def test_a_start_that_was_never_received_is_unknown_and_not_repeated(make: Any) -> None:
    marker, controller = make(G=["deaf"])
    marker.prepare(CONTENT)
    result = marker.fire()
    assert result.outcome is MarkOutcome.UNKNOWN
    assert "not started again" in result.detail
    assert (count(controller, "G"), controller.marks) == (1, [])


def test_a_start_that_is_refused_has_failed(make: Any) -> None:
    marker, controller = make(G=["nak"])
    marker.prepare(CONTENT)
    result = marker.fire()
    assert result.outcome is MarkOutcome.FAILED
    assert "disturbed" in result.detail
    assert count(controller, "G") == 1


def test_a_link_that_stays_down_after_the_start_is_unknown(make: Any) -> None:
    marker, controller = make(
        {"mark_timeout_s": 0.5, "answer_timeout_s": 20.0, "tries": 1}, G=["close"]
    )
    marker.prepare(CONTENT)
    controller.script["I"] = ["ok", *["close"] * 1000]
    result = marker.fire()
    assert result.outcome is MarkOutcome.UNKNOWN
    assert len(controller.marks) == 1
    assert count(controller, "G") == 1


def test_a_done_left_from_the_last_mark_proves_nothing_about_the_next(make: Any) -> None:
    marker, controller = make({"answer_timeout_s": 0.3})
    marker.prepare(CONTENT)
    assert marker.fire().outcome is MarkOutcome.ACKNOWLEDGED
    controller.script["G"] = ["deaf"]
    result = marker.fire()
    assert result.outcome is MarkOutcome.UNKNOWN
    assert len(controller.marks) == 1


def test_a_mark_that_never_ends_is_unknown_after_its_time(make: Any) -> None:
    marker, controller = make({"mark_timeout_s": 0.3})
    controller.never_done = True
    marker.prepare(CONTENT)
    result = marker.fire()
    assert result.outcome is MarkOutcome.UNKNOWN
    assert "0.3 s" in result.detail


def test_a_fault_during_the_mark_is_unknown_because_metal_may_be_touched(make: Any) -> None:
    marker, controller = make()
    controller.fault_during_mark = True
    marker.prepare(CONTENT)
    result = marker.fire()
    assert result.outcome is MarkOutcome.UNKNOWN
    assert "in part" in result.detail


def test_a_marker_with_a_fault_is_not_started(make: Any) -> None:
    marker, controller = make()
    marker.prepare(CONTENT)
    controller.fault = True
    with pytest.raises(MarkerError, match="nothing was sent"):
        marker.fire()
    assert count(controller, "G") == 0


def test_preparing_again_gives_the_same_content(make: Any) -> None:
    marker, controller = make()
    marker.prepare(CONTENT)
    marker.prepare(CONTENT)
    assert controller.fields == {1: "WO1|S1", 2: "S1", 3: "B-17"}


def test_an_unknown_pattern_is_reported_with_the_controllers_reason(make: Any) -> None:
    marker, controller = make()
    with pytest.raises(MarkerError, match="no such pattern"):
        marker.prepare(MarkContent("NONE", "x"))
    assert count(controller, "P") == 3


def test_a_silent_controller_is_down_after_three_tries(make: Any) -> None:
    marker, controller = make({"answer_timeout_s": 0.05}, O=["silent"] * 3)
    with pytest.raises(MarkerError, match=r"failed 3 times.*no answer within 0.05 s"):
        marker.prepare(CONTENT)
    assert count(controller, "O") == 3


def test_content_that_the_protocol_cannot_carry_sends_nothing(make: Any) -> None:
    marker, controller = make()
    with pytest.raises(MarkerError, match="control character"):
        marker.prepare(MarkContent("BLADE", "a\rb"))
    assert controller.received == []


def test_no_controller_at_the_address_is_an_error_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
    marker = Telesis("peen", TelesisOptions(host="127.0.0.1", port=port))
    with pytest.raises(MarkerError, match=rf"'peen' \(127.0.0.1:{port}\)"):
        marker.connect()
    marker.close()
