"""The fork server of the Lua engine: a process with lupa loaded that forks engines on request.

`lua_process` starts it with ``python -m cellwright.tasks.marking.lua.server <fd>`` and talks to it
over that socket. It has one thread, so that forking is safe, and ends with all its engines when the
socket closes. It never runs a template itself.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
from typing import Any, Final

import msgspec

from cellwright.tasks.marking.lua.engine import LuaEngine, LuaLimits, Template, TemplateError

MAX_MESSAGE: Final = 192 * 1024
"""Largest request or reply, bytes; the sockets keep message boundaries."""

_PR_SET_PDEATHSIG: Final = 1


class Request(msgspec.Struct, frozen=True):
    """One operation for the engine: ``execute``, ``validate`` or ``status``."""

    operation: str
    template: Template
    data: dict[str, str] = {}


class Reply(msgspec.Struct, frozen=True):
    """``value`` of the operation, or the sentence of a TemplateError."""

    value: Any = None
    error: str = ""


class Control(msgspec.Struct, frozen=True):
    """To the fork server: ``fork`` an engine on the socket that comes along, or ``kill`` it."""

    action: str
    limits: LuaLimits = LuaLimits()
    pid: int = 0


_requests = msgspec.msgpack.Decoder(Request)
_controls = msgspec.msgpack.Decoder(Control)
_encode = msgspec.msgpack.Encoder().encode


def handle(engine: LuaEngine, request: Request) -> Reply:
    """Do one operation; a TemplateError becomes the reply's sentence."""
    try:
        match request.operation:
            case "execute":
                return Reply(engine.execute_marking(request.template, request.data))
            case "validate":
                return Reply(engine.validate_product_data(request.template, request.data))
            case "status":
                return Reply(engine.get_status(request.template))
            case other:
                return Reply(error=f"the Lua engine knows no operation '{other}'")
    except TemplateError as error:
        return Reply(error=str(error))


def serve(link: socket.socket, limits: LuaLimits) -> None:
    """Answer requests on ``link`` until the other end closes it."""
    engine = LuaEngine(limits)
    while True:
        message = link.recv(MAX_MESSAGE)
        if not message:
            return
        request = _requests.decode(message)
        answer = _encode(handle(engine, request))
        if len(answer) > MAX_MESSAGE:
            # A longer one would arrive cut short, or not at all and end the engine.
            answer = _encode(
                Reply(
                    error=f"template {request.template.name}: its result takes {len(answer)} "
                    f"bytes, at most {MAX_MESSAGE} fit; shorten its texts"
                )
            )
        link.send(answer)


def _fork(control: socket.socket, link: socket.socket, limits: LuaLimits) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        link.close()
        return pid
    code = 1
    try:
        # A looping engine must not outlive a killed fork server.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(2)  # it was killed before that: nobody sends the signal any more
        control.close()
        serve(link, limits)
        code = 0
    except OSError:
        code = 2
    finally:
        os._exit(code)


def main(descriptor: int) -> None:
    """Serve control messages on the inherited socket until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    engines: set[int] = set()
    with socket.socket(fileno=descriptor) as control:
        while True:
            message, descriptors, _, _ = socket.recv_fds(control, MAX_MESSAGE, 1)
            if not message:
                break
            order = _controls.decode(message)
            if order.action == "fork":
                pid = _fork(control, socket.socket(fileno=descriptors[0]), order.limits)
                engines.add(pid)
                control.send(_encode(pid))
            elif order.pid in engines:
                engines.discard(order.pid)
                _end(order.pid)
                control.send(_encode(order.pid))
    for pid in engines:
        _end(pid)


def _end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
