"""The port: who may connect, how long one may stay without a session, frames within limits.

asyncua's protocol and server, subclassed. Whatever does not decode ends the connection that sent it
and touches nothing else.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from typing import TYPE_CHECKING, Any, Final

import structlog
from asyncua import Server, ua
from asyncua.common.utils import Buffer
from asyncua.crypto import uacrypto
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.ua.ua_binary import header_from_binary, uatcp_to_binary

from cellwright.opcua_model.address_space.ids import status_code
from cellwright.opcua_model.security.addresses import plain
from cellwright.opcua_model.security.admission import Guest, Stage
from cellwright.opcua_model.security.certificate import OwnCertificate
from cellwright.opcua_model.services import limits
from cellwright.opcua_model.services.internal_server import CellInternalServer
from cellwright.opcua_model.services.transport import CellProcessor, transport_limits

if TYPE_CHECKING:
    from collections.abc import Callable

_log = structlog.get_logger(__name__)

_FRAME: Final = struct.Struct("<3scI")
_KINDS: Final = frozenset({b"HEL", b"OPN", b"MSG", b"CLO"})
_LARGEST_HELLO: Final = 4096 + 32
_BACKLOG: Final = 100


class CellProtocol(OPCUAProtocol):
    """Cuts the byte stream into frames and feeds them to the processor one by one."""

    iserver: CellInternalServer

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self._bytes = bytearray()
        self._queued = 0
        """Bytes of the frames that wait for their turn, the one that is served included."""
        self._guest: Guest | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept, with our processor."""
        super().connection_made(transport)
        if self.processor is None:
            return
        self.processor = CellProcessor(self.iserver, transport, self.policies)
        self._guest = Guest(plain(str(self.peer_name[0])), self._stage, self._end)
        self.iserver.admission.enter(self._guest)

    def connection_lost(self, ex: BaseException | None) -> None:
        """The place is free."""
        if self._guest is not None:
            self.iserver.admission.leave(self._guest)
        super().connection_lost(ex)

    def _stage(self) -> Stage:
        return self.processor.stage if isinstance(self.processor, CellProcessor) else Stage.UNPROVEN

    def _end(self, why: str) -> None:
        self._abort(ua.StatusCodes.BadTcpNotEnoughResources, why)

    def _account(self) -> None:
        """Tell how many bytes this connection makes the server hold."""
        if self._guest is not None and isinstance(self.processor, CellProcessor):
            held = len(self._bytes) + self._queued + self.processor.held_bytes
            self.iserver.admission.hold(self._guest, held)

    async def _activation_watchdog(self) -> None:
        """Close a connection that has been without a session for too long, at any time."""
        since = time.monotonic()
        while self.transport is not None:
            closing = self.transport.is_closing()
            await asyncio.sleep(limits.IDLE_TIMEOUT_S / 2)
            if closing:
                self.transport.abort()  # it does not even read what was sent before
                return
            if not isinstance(self.processor, CellProcessor) or self.processor.activated:
                since = time.monotonic()
                continue
            allowed_s = limits.IDLE_TIMEOUT_S
            if self.processor.has_session:
                allowed_s = self.iserver.max_pending_activation_seconds
            if time.monotonic() - since >= allowed_s:
                self._abort(ua.StatusCodes.BadTimeout, f"no session within {allowed_s:g} s")

    def data_received(self, data: bytes) -> None:
        """Queue every whole frame; a frame of a wrong kind or size ends the connection."""
        if self.transport is None or self.transport.is_closing():
            return
        self._bytes += data
        self._cut()
        self._account()

    def _cut(self) -> None:
        held = self._bytes
        while len(held) >= _FRAME.size:
            kind, chunk, size = _FRAME.unpack_from(held)
            largest = _LARGEST_HELLO if kind == b"HEL" else limits.MAX_CHUNK_BYTES
            if kind not in _KINDS or chunk not in b"FCA":
                self._abort(ua.StatusCodes.BadTcpMessageTypeInvalid, "unknown message type")
                return
            if not _FRAME.size < size <= largest:
                self._abort(ua.StatusCodes.BadTcpMessageTooLarge, f"frame of {size} bytes")
                return
            if len(held) < size:
                return
            frame = Buffer(bytes(held[:size]))
            del held[:size]
            try:
                self.messages.put_nowait((header_from_binary(frame), frame))
                self._queued += size
            except asyncio.QueueFull:
                self._abort(ua.StatusCodes.BadTcpNotEnoughResources, "too many requests waiting")
                return
            except (ua.UaError, ValueError, struct.error) as error:
                self._abort(ua.StatusCodes.BadDecodingError, f"frame header: {error}")
                return

    async def _process_received_message_loop(self) -> None:
        while True:
            header, frame = await self.messages.get()
            if header is None or self.transport is None or self.transport.is_closing():
                return
            try:
                if not await self._process_one_msg(header, frame):
                    return
                self._queued -= header.header_size + header.body_size
                self._account()
                self._check_unread()
            except Exception as error:  # noqa: BLE001 - the connection's outermost edge
                code = getattr(error, "code", ua.StatusCodes.BadDecodingError)
                self._abort(code, f"{type(error).__name__}: {error}")
                return

    def _check_unread(self) -> None:
        """A client that asks and does not read the answers is let go."""
        unproven = self._stage() < Stage.ANONYMOUS
        most = limits.MAX_UNREAD_UNPROVEN_BYTES if unproven else limits.MAX_UNREAD_BYTES
        if self.transport is not None and self.transport.get_write_buffer_size() > most:
            _log.warning("connection closed", client=str(self.peer_name), why="it does not read")
            self.transport.abort()

    def _abort(self, code: int, why: str) -> None:
        self._bytes.clear()
        if self.transport is None:
            return
        if self.transport.is_closing():
            self.transport.abort()
            return
        _log.warning(
            "connection closed",
            client=str(self.peer_name),
            why=why[:200],
            status=status_code(code).name,
        )
        message = ua.ErrorMessage(status_code(code), ua.String("refused"))
        kind: Any = ua.MessageType.Error
        self.transport.write(uatcp_to_binary(kind, message))
        self.transport.close()


class CellBinaryServer(BinaryServer):
    """Listens with `CellProtocol`."""

    def _make_protocol(self) -> OPCUAProtocol:
        return CellProtocol(
            iserver=self.iserver,
            policies=self._policies,
            clients=self.clients,
            closing_tasks=self.closing_tasks,
            limits=self.limits,
        )

    async def start(self) -> None:
        """Open the port; all addresses of IPv6 are those of IPv4 too. Raises OSError."""
        if self.hostname != "::":
            await super().start()
            return
        # asyncio would make an IPv6 wildcard one of IPv6 alone.
        both = socket.create_server(
            ("::", self.port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG
        )
        self._server = await asyncio.get_running_loop().create_server(
            self._make_protocol, sock=both
        )
        self.port = both.getsockname()[1]
        self.cleanup_task = asyncio.create_task(self._close_task_loop())


class CellTransportServer(Server):
    """asyncua's server object with our listener; `on_ready` runs before the port opens."""

    iserver: CellInternalServer

    def __init__(self, iserver: CellInternalServer, on_ready: Callable[[], None]) -> None:
        super().__init__(iserver=iserver)
        self.limits = transport_limits()
        self._on_ready = on_ready

    def use_certificate(self, own: OwnCertificate) -> None:
        """Show this certificate from the next connection on; open ones go on with theirs."""
        self.iserver.certificate, self.iserver.private_key = own.certificate, own.key
        for policy in self._policies:
            policy.certificate, policy.private_key = own.certificate, own.key
        for endpoint in self.iserver.endpoints:
            endpoint.ServerCertificate = uacrypto.der_from_x509(own.certificate)

    async def start(self) -> None:
        """Open the endpoints; OSError when the port cannot be had."""
        await self._setup_server_nodes()
        await self.iserver.start()
        self._on_ready()
        host, port = self._get_bind_socket_info()
        listener = CellBinaryServer(self.iserver, host or "0.0.0.0", port or 0, self.limits)
        listener.set_policies(self._policies)
        try:
            await listener.start()
        except OSError:
            await self.iserver.stop()
            raise
        self.bserver = listener
