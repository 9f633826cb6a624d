"""The socket that a worker listens on, and who may listen there.

Several workers of one server share the port by SO_REUSEPORT. The kernel would let any other program
of the same user join them and take part of the requests, so the workers of a server hold a lock
file that names it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import ssl
from pathlib import Path
from typing import Final

from cellwright.web.server.settings import ServerSettings, Tls

BACKLOG: Final = 512


class PortTakenError(OSError):
    """Somebody else listens there; later nobody may."""


def listen(settings: ServerSettings, locks: Path) -> tuple[socket.socket, int]:
    """The listening socket, and the handle of the lock that must stay open as long (-1: none).

    Raises `PortTakenError`, and OSError for an address that is not this machine's.
    """
    lock = _own_port(settings, locks) if settings.workers > 1 else -1
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if settings.workers > 1:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        if lock >= 0:
            os.close(lock)
        if error.errno == errno.EADDRINUSE:
            raise PortTakenError(error.errno, f"{settings.address} is used by another program") from error  # noqa: E501  # fmt: skip
        raise
    return listener, lock


def tls_context(tls: Tls) -> ssl.SSLContext:
    """TLS 1.3 and nothing older. Raises OSError (of which ssl.SSLError is one) with the file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except OSError as error:
        raise OSError(f"TLS certificate {tls.certificate} with key {tls.key}: {error}") from error
    if tls.client_ca:
        try:
            context.load_verify_locations(tls.client_ca)
        except OSError as error:
            raise OSError(f"TLS client_ca {tls.client_ca}: {error}") from error
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _own_port(settings: ServerSettings, locks: Path) -> int:
    """Hold the lock of the port in the name of this server, shared with its other workers."""
    locks.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(locks / f"web-{settings.port}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)  # noqa: E501  # fmt: skip
    try:
        for kind in (fcntl.LOCK_EX, fcntl.LOCK_SH):
            try:
                fcntl.flock(handle, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if kind == fcntl.LOCK_EX:
                os.ftruncate(handle, 0)
                os.pwrite(handle, settings.server.encode(), 0)
                # Not in one step: another server may be first, and then its name stands there.
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if os.pread(handle, 4096, 0).decode(errors="replace") == settings.server:
                return handle
            break
        raise BlockingIOError
    except BlockingIOError:
        os.close(handle)
        raise PortTakenError(
            errno.EADDRINUSE, f"{settings.address} is used by another cell or MES server"
        ) from None
    except BaseException:
        os.close(handle)
        raise
