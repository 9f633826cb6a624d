"""The Telesis client against a scripted controller on a real socket."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from cellwright.io.markers.base import MarkContent, MarkerError, Outcome
from cellwright.io.markers.telesis import Telesis, TelesisOptions

CONTENT = MarkContent("BLADE", "WO1|S1", ("S1", "B-17"))


class Controller:
    """A controller that does what a Telesis does, except where ``script`` says otherwise.

    ``script`` maps a message type to what happens to its successive messages: ``ok``, ``nak``,
    ``silent`` (done, but not answered), ``deaf`` (not even received), ``garbage`` before the
    answer, ``bad bcc``, ``split`` into single bytes, ``slow``, ``close`` without an answer,
    ``half`` an answer and close. When a list is used up, ``ok``.
    """

    def __init__(self, station: int | None = None, **script: list[str]) -> None:
        self.script = script
        self.station = station
        self.marks: list[dict[str, Any]] = []
        self.received: list[str] = []
        self.pattern = ""
        self.fields: dict[int, str] = {}
        self.online = False
        self.done = False
        self.fault = False
        self.busy_polls = 0
        self.polls_per_mark = 2
        self.fault_during_mark = False
        self.never_done = False
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.05)
        self.port = int(self._server.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(5)
        self._server.close()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                link, _ = self._server.accept()
            except TimeoutError:
                continue
            thread = threading.Thread(target=self._talk, args=(link,))
            self._threads.append(thread)
            thread.start()

    def _talk(self, link: socket.socket) -> None:
        link.settimeout(0.02)
        buffer = b""
        with link, contextlib.suppress(ConnectionError, BrokenPipeError):
            while not self._stop.is_set():
                try:
                    chunk = link.recv(4096)
                except TimeoutError:
                    continue
                if not chunk:
                    return
                buffer += chunk
                while b"\r" in buffer:
                    frame, _, buffer = buffer.partition(b"\r")
                    if not self._message(link, frame[frame.rindex(b"\x01") :]):
                        return

    def _message(self, link: socket.socket, frame: bytes) -> bool:
        kind = chr(frame[1])
        data = frame[frame.index(b"\x02") + 1 : frame.index(b"\x03")].decode()
        assert int(frame[-3:]) == (frame[1] + sum(data.encode())) % 256
        with self._lock:
            self.received.append(kind + data)
            todo = self.script.get(kind, [])
            what = todo.pop(0) if todo else "ok"
            if what == "deaf":
                return True
            code, answer = (21, "disturbed") if what == "nak" else self._do(kind, data)
        number = b"" if self.station is None else f"{self.station:02d}".encode()
        total = (code + sum(answer.encode()) + (what == "bad bcc")) % 256
        wire = (
            b"\x01"
            + bytes([code])
            + number
            + b"\x02"
            + answer.encode()
            + b"\x03"
            + f"{total:03d}".encode()
            + b"\r"
        )
        match what:
            case "silent":
                return True
            case "close":
                return False
            case "half":
                link.sendall(wire[: len(wire) // 2])
                return False
            case "garbage":
                link.sendall(b"\x06\x15junk\r\x01\x01\x02" + wire)
            case "split":
                for byte in wire:
                    link.sendall(bytes([byte]))
            case "slow":
                self._stop.wait(0.6)
                link.sendall(wire)
            case _:
                link.sendall(wire)
        return True

    def _do(self, kind: str, data: str) -> tuple[int, str]:
        match kind:
            case "O":
                self.online, self.done, self.busy_polls = True, False, 0
            case "P" if data == "BLADE":
                self.pattern, self.fields = data, {}
            case "P":
                return 21, "no such pattern"
            case "V":
                self.fields[int(data[:2])] = data[2:]
            case "G" if self.online and not self.fault and self.pattern and not self.busy_polls:
                self.marks.append(dict(self.fields))
                self.done = False
                self.busy_polls = self.polls_per_mark
            case "G":
                return 21, "not ready"
            case "I":
                return 6, self._status()
            case _:
                return 21, "unknown type"
        return 6, ""

    def _status(self) -> str:
        if self.busy_polls:
            if self.fault_during_mark:
                self.fault = True
                self.busy_polls = 0
            elif not self.never_done:
                self.busy_polls -= 1
                self.done = self.busy_polls == 0
        ready = self.online and not self.busy_polls
        outputs = (1 if ready else 0) | (2 if self.done else 0) | (0 if self.fault else 8)
        return f"{outputs:02X};000"


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
                "answer_timeout_s": 0.3,
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
    assert result.outcome is Outcome.ACKNOWLEDGED
    assert controller.marks == [{1: "WO1|S1", 2: "S1", 3: "B-17"}]
    assert controller.received[:5] == ["O", "PBLADE", "V01WO1|S1", "V02S1", "V03B-17"]


def test_the_station_number_travels_both_ways(make: Any) -> None:
    marker, controller = make({"station": 7})
    marker.prepare(CONTENT)
    assert marker.fire().outcome is Outcome.ACKNOWLEDGED
    assert len(controller.marks) == 1


@pytest.mark.parametrize(
    "how", ["silent", "deaf", "nak", "garbage", "bad bcc", "split", "slow", "close", "half"]
)
@pytest.mark.parametrize("kind", ["O", "P", "V", "I"])
def test_everything_but_the_start_survives_one_disturbance(make: Any, kind: str, how: str) -> None:
    marker, controller = make(**{kind: [how]})
    marker.prepare(CONTENT)
    assert marker.fire().outcome is Outcome.ACKNOWLEDGED
    assert len(controller.marks) == 1
    assert count(controller, "G") == 1


@pytest.mark.parametrize("how", ["silent", "garbage", "bad bcc", "split", "slow", "close", "half"])
def test_a_start_whose_answer_is_disturbed_is_sent_once_and_found_done(make: Any, how: str) -> None:
    marker, controller = make(G=[how])
    marker.prepare(CONTENT)
    assert marker.fire().outcome is Outcome.ACKNOWLEDGED
    assert len(controller.marks) == 1
    assert count(controller, "G") == 1


def test_a_start_that_was_never_received_is_unknown_and_not_repeated(make: Any) -> None:
    marker, controller = make(G=["deaf"])
    marker.prepare(CONTENT)
    result = marker.fire()
    assert result.outcome is Outcome.UNKNOWN
    assert "not started again" in result.detail
    assert (count(controller, "G"), controller.marks) == (1, [])


def test_a_start_that_is_refused_has_failed(make: Any) -> None:
    marker, controller = make(G=["nak"])
    marker.prepare(CONTENT)
    result = marker.fire()
    assert result.outcome is Outcome.FAILED
    assert "disturbed" in result.detail
    assert count(controller, "G") == 1


def test_a_link_that_stays_down_after_the_start_is_unknown(make: Any) -> None:
    marker, controller = make({"mark_timeout_s": 0.5, "tries": 1}, G=["close"])
    marker.prepare(CONTENT)
    controller.script["I"] = ["ok", *["close"] * 1000]
    result = marker.fire()
    assert result.outcome is Outcome.UNKNOWN
    assert len(controller.marks) == 1
    assert count(controller, "G") == 1


def test_a_done_left_from_the_last_mark_proves_nothing_about_the_next(make: Any) -> None:
    marker, controller = make()
    marker.prepare(CONTENT)
    assert marker.fire().outcome is Outcome.ACKNOWLEDGED
    controller.script["G"] = ["deaf"]
    result = marker.fire()
    assert result.outcome is Outcome.UNKNOWN
    assert len(controller.marks) == 1


def test_a_mark_that_never_ends_is_unknown_after_its_time(make: Any) -> None:
    marker, controller = make({"mark_timeout_s": 0.3})
    controller.never_done = True
    marker.prepare(CONTENT)
    result = marker.fire()
    assert result.outcome is Outcome.UNKNOWN
    assert "0.3 s" in result.detail


def test_a_fault_during_the_mark_is_unknown_because_metal_may_be_touched(make: Any) -> None:
    marker, controller = make()
    controller.fault_during_mark = True
    marker.prepare(CONTENT)
    result = marker.fire()
    assert result.outcome is Outcome.UNKNOWN
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
