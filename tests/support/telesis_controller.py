"""A scripted Telesis controller on a real socket, for the client and the marking worker."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any


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
