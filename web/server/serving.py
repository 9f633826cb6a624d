"""Runs the web application on uvicorn until it is to stop.

Called by the process of a cell and by ``cellwright mes serve``. Signals are its caller's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import structlog
import uvicorn
import uvloop

from cellwright.io.log_once import LogOnce
from cellwright.web.api.frame import Application
from cellwright.web.server.listening import listen, tls_context
from cellwright.web.server.protocol import PlantProtocol
from cellwright.web.server.settings import ServerSettings

LOOK_S: Final = 0.05
"""How often the caller is asked whether to stop."""
RETRY_S: Final = 2.0
"""Pause before a port that was taken is tried again."""
KEEP_ALIVE_S: Final = 15
"""How long a connection without a request stays open."""
GRACE_S: Final = 3
"""Longest time for requests under way when the server stops."""


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(
    app: Application,
    settings: ServerSettings,
    *,
    locks: Path,
    should_stop: Callable[[], bool],
    beat: Callable[[], object],
    listening: Callable[[], object] = lambda: None,
) -> None:
    """Serve until ``should_stop``; ``beat`` is called over and over, ``listening`` once.

    A port that is taken and a certificate that cannot be read are waited for, and the log says so.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(
            _serve(
                app, settings, locks=locks, should_stop=should_stop, beat=beat, listening=listening
            )
        )


async def _serve(
    app: Application,
    settings: ServerSettings,
    *,
    locks: Path,
    should_stop: Callable[[], bool],
    beat: Callable[[], object],
    listening: Callable[[], object],
) -> None:
    log = structlog.get_logger(__name__)
    # It warns of every request that is no HTTP: a scanner on the network would fill the log.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    config = uvicorn.Config(
        app,
        loop="none",
        http=PlantProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        interface="asgi3",
    )
    config.load()
    bound = await _listen(settings, locks, should_stop, beat)
    if bound is None:
        return
    listener, lock, config.ssl = bound
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        log.info("web server listens", url=settings.url, worker=settings.worker)
        listening()
        while not should_stop() and not serving.done():
            beat()
            await asyncio.sleep(LOOK_S)
    finally:
        server.should_exit = True
        await serving
        if lock >= 0:
            os.close(lock)


async def _listen(
    settings: ServerSettings,
    locks: Path,
    should_stop: Callable[[], bool],
    beat: Callable[[], object],
) -> tuple[socket.socket, int, ssl.SSLContext | None] | None:
    """The socket, its lock and TLS, waited for while one of them fails. None: it is to stop."""
    once = LogOnce(structlog.get_logger(__name__))
    while not should_stop():
        try:
            context = tls_context(settings.tls) if settings.tls is not None else None
            return *listen(settings, locks), context
        except OSError as error:
            once.trouble(
                "listen",
                "web server cannot listen and tries again; free the port, change web.listen, or "
                "mend the files of web.tls",
                cause=str(error),
                address=settings.address,
                error=str(error),
            )
        deadline = time.monotonic() + RETRY_S
        while time.monotonic() < deadline and not should_stop():
            beat()
            await asyncio.sleep(LOOK_S)
    return None
