"""The Lua engine as the marking worker sees it: a process of its own under a watchdog.

An operation that does not answer in time is ended by killing the engine; the next operation finds a
fresh one, forked from a server that has lupa loaded. Not for use in the scan process.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from cellwright.tasks.marking.lua.engine import LuaLimits, Rendered, Template, TemplateError
from cellwright.tasks.marking.lua.server import MAX_MESSAGE, Control, Reply, Request

_START_TIMEOUT_S: Final = 20.0
"""Longest wait for the fork server's first answer: Python has to start and import lupa."""

_encode = msgspec.msgpack.Encoder().encode
_replies = msgspec.msgpack.Decoder(Reply)
_pids = msgspec.msgpack.Decoder(int)

T = TypeVar("T")


class WatchdogError(TemplateError):
    """The operation took too long and its engine was killed."""


class LuaProcess:
    """One engine process. Not thread-safe; ten operations at once take ten of these.

    ``timeout_s`` is the watchdog time of an operation. Use it as a context manager or call
    `close`.
    """

    def __init__(self, limits: LuaLimits | None = None, timeout_s: float = 0.051) -> None:
        self.limits = limits or LuaLimits()
        self.timeout_s = timeout_s
        self.kills = 0
        """Engines killed by the watchdog so far."""
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._link: socket.socket | None = None
        self._pid = 0

    def __enter__(self) -> LuaProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Process number of the engine, 0 when none runs."""
        return self._pid

    def start(self) -> None:
        """Start the fork server and an engine if they do not run; raises TemplateError."""
        if self._server is not None and self._server.poll() is not None:
            self.close()
        if self._server is None:
            self._start_server()
        if self._link is None:
            self._fork_engine()

    def execute_marking(self, template: Template, data: Mapping[str, str]) -> Rendered:
        """See `LuaEngine.execute_marking`; raises TemplateError, WatchdogError."""
        return self._call("execute", template, data, Rendered)

    def validate_product_data(self, template: Template, data: Mapping[str, str]) -> list[str]:
        """See `LuaEngine.validate_product_data`; raises TemplateError, WatchdogError."""
        return self._call("validate", template, data, list[str])

    def get_status(self, template: Template) -> dict[str, str]:
        """See `LuaEngine.get_status`; raises TemplateError, WatchdogError."""
        return self._call("status", template, {}, dict[str, str])

    def close(self) -> None:
        """End the engine and its fork server; never raises."""
        self._drop_engine()
        control, self._control = self._control, None
        if control is not None:
            control.close()
        server, self._server = self._server, None
        if server is not None:
            try:
                server.wait(2.0)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()

    def _call(
        self, operation: str, template: Template, data: Mapping[str, str], kind: type[T]
    ) -> T:
        message = _encode(Request(operation, template, dict(data)))
        if len(message) > MAX_MESSAGE:
            raise TemplateError(
                f"template {template.name} and its data take {len(message)} bytes, "
                f"at most {MAX_MESSAGE} fit"
            )
        self.start()
        assert self._link is not None
        try:
            self._link.settimeout(self.timeout_s)
            self._link.send(message)
            answer = self._link.recv(MAX_MESSAGE)
        except TimeoutError as error:
            self.kills += 1
            self._kill_engine()
            raise WatchdogError(
                f"template {template.name} did not answer within {self.timeout_s * 1e3:.0f} ms; "
                "its engine was ended; look for a loop or a heavy pattern in the template"
            ) from error
        except OSError as error:
            self._kill_engine()
            raise TemplateError(
                f"template {template.name}: the Lua engine was lost: {error}; try again"
            ) from error
        if not answer:
            self._kill_engine()
            raise TemplateError(f"template {template.name}: the Lua engine died; try again")
        reply = _replies.decode(answer)
        if reply.error:
            raise TemplateError(reply.error)
        return msgspec.convert(reply.value, kind)

    def _start_server(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = dict(os.environ)
        # An entry with the separator in it would be taken for two.
        environment["PYTHONPATH"] = os.pathsep.join(
            entry for entry in sys.path if entry and os.pathsep not in entry
        )
        with theirs:
            self._server = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "cellwright.tasks.marking.lua.server",
                    str(theirs.fileno()),
                ],
                pass_fds=(theirs.fileno(),),
                env=environment,
                stdin=subprocess.DEVNULL,
            )
        self._control = ours
        ours.settimeout(_START_TIMEOUT_S)

    def _fork_engine(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._pid = self._order(Control("fork", self.limits), theirs.fileno())
            except (OSError, TemplateError):
                ours.close()
                raise
        self._link = ours

    def _kill_engine(self) -> None:
        pid = self._pid
        self._drop_engine()
        if pid and self._control is not None:
            try:
                self._order(Control("kill", pid=pid))
            except TemplateError:
                self.close()

    def _drop_engine(self) -> None:
        link, self._link = self._link, None
        self._pid = 0
        if link is not None:
            link.close()

    def _order(self, order: Control, descriptor: int | None = None) -> int:
        control = self._control
        assert control is not None
        descriptors: list[Any] = [] if descriptor is None else [descriptor]
        try:
            socket.send_fds(control, [_encode(order)], descriptors)
            answer = control.recv(1024)
        except OSError as error:
            raise TemplateError(f"the Lua engine's fork server was lost: {error}") from error
        if not answer:
            raise TemplateError("the Lua engine's fork server ended; try again")
        return _pids.decode(answer)
