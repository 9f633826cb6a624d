"""Telesis marking controllers over TCP: the marker seam on top of `telesis_protocol`.

Used by the marking worker. It sends the print command once per `fire` and never again, whatever
becomes of the answer; everything else may be repeated (``docs/reference/telesis.md``).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from pydantic import Field

from cellwright.io.markers.base import (
    FireResult,
    MarkContent,
    Marker,
    MarkerError,
    MarkerOptions,
    MarkOutcome,
)
from cellwright.io.markers.telesis.protocol import (
    Answer,
    AnswerDecoder,
    ProtocolError,
    Status,
    Type,
    decode_status,
    encode,
    field,
)
from cellwright.io.options import Host


class TelesisOptions(MarkerOptions):
    """Telesis Extended protocol over TCP (BenchMark 320/BM470 sheet 34753A, page 9)."""

    host: Host
    """Address of the controller."""
    port: int = Field(ge=1, le=65535)
    """TCP port of the controller."""
    station: int | None = Field(None, ge=0, le=99)
    """Station number where several controllers share a line; left out when absent."""
    answer_timeout_s: float = Field(3.0, gt=0)
    """Longest wait for one answer; the manual says three seconds."""
    tries: int = Field(3, ge=1, le=10)
    """How often a message is sent before the link counts as down; the manual says three."""
    connect_timeout_s: float = Field(3.0, gt=0)
    """Longest wait for the TCP connection."""
    mark_timeout_s: float = Field(30.0, gt=0)
    """Longest time from the start of a mark until the controller reports it done."""
    poll_s: float = Field(0.1, gt=0)
    """Pause between two status inquiries while the mark is made."""
    require_bcc: bool = True
    """Refuse answers without a block check; switch off for controllers that send none."""


class _LinkError(Exception):
    """The connection broke or no answer came in time; ``sent`` is False when nothing went out."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class Telesis(Marker[TelesisOptions]):
    """One Telesis controller. ``clock`` and ``sleep`` are replaced in tests only."""

    Options = TelesisOptions

    def __init__(
        self,
        name: str,
        options: TelesisOptions,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(name, options)
        self._clock = clock
        self._sleep = sleep
        self._socket: socket.socket | None = None
        self._decoder = self._new_decoder()

    @property
    def _where(self) -> str:
        return f"marker '{self.name}' ({self.options.host}:{self.options.port})"

    def connect(self) -> None:
        """Open the TCP connection if it is not open; raises MarkerError."""
        try:
            self._open()
        except _LinkError as error:
            raise MarkerError(f"{self._where}: {error}; check power, cable and address") from error

    def prepare(self, content: MarkContent) -> None:
        """Reset and go online, load the pattern, write field 01 (symbol) and 02.. (texts)."""
        try:
            messages = [(Type.ONLINE, ""), (Type.PATTERN, content.pattern)]
            for number, text in enumerate((content.symbol, *content.texts), start=1):
                messages.append((Type.VARIABLE, field(number, text)))
            for kind, data in messages:
                encode(kind, data, self.options.station)
        except ProtocolError as error:
            raise MarkerError(f"{self._where}: cannot send the content: {error}") from error
        for kind, data in messages:
            self._request(kind, data)

    def status(self) -> Status:
        """Ask for the signals (type I); raises MarkerError."""
        answer = self._request(Type.INQUIRE)
        try:
            return decode_status(answer.data)
        except ProtocolError as error:
            raise MarkerError(f"{self._where}: {error}; is it a Telesis controller?") from error

    def fire(self) -> FireResult:
        """Start one print cycle and wait for its end; the command goes out once.

        Raises MarkerError only before the command was sent: no link, not ready,
        paused, or a fault.
        """
        before = self.status()
        if before.fault or before.paused or not before.ready:
            raise MarkerError(
                f"{self._where} is not ready to mark: status {before}; nothing was sent; "
                "clear the fault at the controller and prepare again"
            )
        deadline = self._clock() + self.options.mark_timeout_s
        lost = ""
        try:
            answer = self._exchange(encode(Type.GO, "", self.options.station))
            if not answer.accepted:
                return FireResult(
                    MarkOutcome.FAILED, f"{self._where} refused to start: {answer.data or 'NAK'}"
                )
        except _LinkError as error:
            self._drop()
            if not error.sent:
                raise MarkerError(
                    f"{self._where}: {error}; nothing was sent, prepare again"
                ) from error
            lost = str(error)
        return self._wait_for_end(before, deadline, lost)

    def close(self) -> None:
        """Close the connection; never raises."""
        self._drop()

    # --- end of the mark ---------------------------------------------------------------------

    def _wait_for_end(self, before: Status, deadline: float, lost: str) -> FireResult:
        """Poll the status until DONE rises; DONE that was set before the start proves nothing."""
        story = f"the answer to the start was lost ({lost}); " if lost else ""
        stale = before.done
        seen_busy = False
        last = "no status"
        idle_polls = 0
        while True:
            try:
                status = self.status()
            except MarkerError as error:
                last = str(error)
            else:
                last = f"status {status}"
                stale = stale and status.done
                seen_busy = seen_busy or not status.ready
                if status.done and not stale and not status.fault:
                    return FireResult(
                        MarkOutcome.ACKNOWLEDGED, f"{story}{self._where} reports done"
                    )
                if status.fault:
                    return FireResult(
                        MarkOutcome.UNKNOWN,
                        f"{story}{self._where} reports a fault during the mark: {last}; "
                        "metal may be marked in part",
                    )
                idle = status.ready and not status.paused and not seen_busy
                idle_polls = idle_polls + 1 if idle else 0
                if lost and idle_polls >= self.options.tries:
                    return FireResult(
                        MarkOutcome.UNKNOWN,
                        f"{story}{self._where} shows {last} and no sign of a mark; it is not "
                        "started again",
                    )
            if self._clock() >= deadline:
                return FireResult(
                    MarkOutcome.UNKNOWN,
                    f"{story}{self._where} did not report the end of the mark within "
                    f"{self.options.mark_timeout_s:g} s: {last}",
                )
            self._sleep(self.options.poll_s)

    # --- one message and its answer ----------------------------------------------------------

    def _request(self, kind: Type, data: str = "") -> Answer:
        """Send until accepted, at most ``tries`` times; never used for the print command."""
        message = encode(kind, data, self.options.station)
        reason = ""
        for _ in range(self.options.tries):
            try:
                answer = self._exchange(message)
            except _LinkError as error:
                reason = str(error)
                self._drop()
                continue
            if answer.accepted:
                return answer
            reason = f"refused: {answer.data or 'NAK without a reason'}"
        raise MarkerError(
            f"{self._where}: message {kind.value} {data!r} failed {self.options.tries} times; "
            f"last: {reason}; check the controller, its pattern and the link"
        )

    def _exchange(self, message: bytes) -> Answer:
        """One message, one answer, within the time-out; raises _LinkError."""
        link = self._open()
        deadline = self._clock() + self.options.answer_timeout_s
        refused = self._decoder.refused
        self._discard_stale(link)
        try:
            link.settimeout(self.options.answer_timeout_s)
            link.sendall(message)
            while True:
                left = deadline - self._clock()
                if left <= 0:
                    raise TimeoutError
                link.settimeout(left)
                chunk = link.recv(4096)
                if not chunk:
                    raise _LinkError("the controller closed the connection", sent=True)
                answers = self._decoder.feed(chunk)
                if answers:
                    return answers[0]
        except TimeoutError as error:
            note = ""
            if self._decoder.refused > refused:
                note = f"; not understood: {self._decoder.last_refusal}"
            raise _LinkError(
                f"no answer within {self.options.answer_timeout_s:g} s{note}", sent=True
            ) from error
        except OSError as error:
            raise _LinkError(f"the connection broke: {error}", sent=True) from error

    def _discard_stale(self, link: socket.socket) -> None:
        """Throw away what came unasked, so that it is not taken for the coming answer."""
        link.setblocking(False)
        try:
            while True:
                if not link.recv(4096):
                    raise _LinkError("the controller had closed the connection", sent=False)
        except BlockingIOError:
            self._decoder = self._new_decoder()
        except OSError as error:
            raise _LinkError(f"the connection broke: {error}", sent=False) from error

    def _new_decoder(self) -> AnswerDecoder:
        return AnswerDecoder(require_bcc=self.options.require_bcc, station=self.options.station)

    def _open(self) -> socket.socket:
        if self._socket is None:
            try:
                link = socket.create_connection(
                    (self.options.host, self.options.port), self.options.connect_timeout_s
                )
            except OSError as error:
                raise _LinkError(f"cannot connect: {error}", sent=False) from error
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = link
            self._decoder = self._new_decoder()
        return self._socket

    def _drop(self) -> None:
        link, self._socket = self._socket, None
        if link is not None:
            link.close()
