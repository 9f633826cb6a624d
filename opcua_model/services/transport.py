"""The connection: frames within limits, channels that were really opened, tokens bound to channels.

asyncua's protocol and processor, subclassed. Whatever does not decode ends the connection that
sent it and touches nothing else.
"""

from __future__ import annotations

import hashlib
import math
import time
import traceback
from typing import TYPE_CHECKING, Any, Final, cast

import structlog
from asyncua import ua
from asyncua.common.connection import SecureConnection, TransportLimits
from asyncua.common.utils import Buffer, NotEnoughData, ServiceError
from asyncua.crypto import uacrypto
from asyncua.crypto.security_policies import SecurityPolicyNone
from asyncua.server.internal_session import SessionState
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua import ua_binary
from asyncua.ua.ua_binary import struct_from_binary
from cryptography.exceptions import InvalidSignature

from cellwright.opcua_model.address_space.ids import status_code
from cellwright.opcua_model.security import checks
from cellwright.opcua_model.security.access import AUDITORS, SERVICES
from cellwright.opcua_model.security.addresses import plain
from cellwright.opcua_model.security.admission import Stage
from cellwright.opcua_model.security.audit import Step
from cellwright.opcua_model.security.clients import ClientCertificates
from cellwright.opcua_model.security.lockout import Place
from cellwright.opcua_model.services import limits, slices
from cellwright.opcua_model.services.history.wire import refused_updates
from cellwright.opcua_model.services.internal_server import CellInternalServer
from cellwright.opcua_model.services.session import CellSession

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = structlog.get_logger(__name__)

_BAD_SIGNATURE: Final = (InvalidSignature, uacrypto.InvalidSignature)
"""The library has one of its own and lets that of its library through."""
_LEAST_NONCE: Final = 32
"""Bytes of a client's nonce in CreateSession (OPC 10000-4, 5.6.2)."""


_CREATE: Final = slices.request("CreateSession")
_ACTIVATE: Final = slices.request("ActivateSession")
_BROWSE_NEXT: Final = slices.request("BrowseNext")
_SET_TRIGGERING: Final = slices.request("SetTriggering")
_HISTORY_READ: Final = slices.request("HistoryRead")
_HISTORY_UPDATE: Final = slices.request("HistoryUpdate")
_REGISTERING: Final = frozenset(
    {slices.request("RegisterNodes"), slices.request("UnregisterNodes")}
)
"""Both carry one list of NodeIds and nothing else."""
_SESSIONLESS: Final = frozenset(
    {
        slices.request("FindServers"),
        slices.request("GetEndpoints"),
        slices.request("CloseSecureChannel"),
    }
)


class CellConnection(SecureConnection):
    """A secure channel whose client was checked, and whose token lives within our limits."""

    def __init__(self, limits: TransportLimits, clients: ClientCertificates) -> None:
        super().__init__(SecurityPolicyNone(), limits)
        self._clients = clients
        self.sent: list[Any] = []
        """The client's certificate, and its issuers as far as it sent them."""
        self.trusted = False
        """It was accepted, and the client has proven to hold its key."""

    def open(self, params: Any, server: Any) -> ua.OpenSecureChannelResult:
        """Open or renew; the requested lifetime is revised."""
        nonce = params.ClientNonce or b""
        if len(nonce) != self.security_policy.secure_channel_nonce_length:
            raise ua.UaStatusCodeError(ua.StatusCodes.BadNonceInvalid)
        params.RequestedLifetime = min(
            max(params.RequestedLifetime, limits.MIN_CHANNEL_LIFETIME_MS),
            limits.MAX_CHANNEL_LIFETIME_MS,
        )
        return super().open(params, server)

    def select_policy(
        self, uri: str, peer_certificate: bytes | None, mode: ua.MessageSecurityMode | None = None
    ) -> None:
        """Take the policy that the client asks for.

        asyncua calls it twice: before it verifies the signature, where only what that takes is
        checked, and then with the mode, when the client has proven that the key is its own.
        Raises CertificateRefusedError and UaStatusCodeError.
        """
        if uri != SecurityPolicyNone.URI:
            self.sent = checks.split(peer_certificate)
            if mode is None:
                checks.check_key(self.sent[0])
            else:
                self._clients.check(self.sent)
                self.trusted = True
            peer_certificate = uacrypto.der_from_x509(self.sent[0])
        try:
            super().select_policy(uri, peer_certificate, mode)
        except ua.UaError as error:
            raise ua.UaStatusCodeError(ua.StatusCodes.BadSecurityPolicyRejected) from error

    def receive_from_header_and_body(self, header: ua.Header, body: Buffer) -> Any:
        """One frame; a channel is opened only for who means this server (Part 6, 6.7.2.3)."""
        kind: Any = header.MessageType
        if kind == ua.MessageType.SecureOpen:
            asked = struct_from_binary(ua.AsymmetricAlgorithmHeader, body.copy(header.body_size))
            if asked.SecurityPolicyURI != SecurityPolicyNone.URI:
                named = asked.ReceiverCertificateThumbPrint or b""
                if not any(named == hashlib.sha1(own).digest() for own in self._own()):
                    raise ua.UaStatusCodeError(ua.StatusCodes.BadCertificateInvalid)
        return super().receive_from_header_and_body(header, body)

    def _own(self) -> Iterator[bytes]:
        for policy in self._policies:
            if policy.certificate is not None:
                yield uacrypto.der_from_x509(policy.certificate)


class CellProcessor(UaProcessor):
    """The services of one connection; holds at most one session."""

    def __init__(self, server: CellInternalServer, transport: Any, policies: list[Any]) -> None:
        super().__init__(server, transport, transport_limits())
        self.cell = server
        self._connection: CellConnection = CellConnection(self._limits, server.clients)
        self._offered = frozenset((policy.cls.URI, policy.mode) for policy in policies)
        # asyncua's processor has no annotations; these calls go through an untyped name.
        self._untyped = cast(Any, self)
        self._untyped.set_policies(policies)
        self._greeted = False

    @property
    def client_chain(self) -> list[Any]:
        """The client's certificate and the issuers that it sent; empty without security."""
        return self._connection.sent

    @property
    def has_session(self) -> bool:
        """A session was made on it that is not closed."""
        return self.session is not None and self.session.state is not SessionState.Closed

    @property
    def activated(self) -> bool:
        """Somebody has logged in on it, and be it nobody in particular."""
        return self.session is not None and self.session.is_activated()

    @property
    def stage(self) -> Stage:
        """How far it has come."""
        session = self.session
        if isinstance(session, CellSession) and session.is_activated():
            return Stage.ANONYMOUS if session.caller.user.anonymous else Stage.NAMED
        return Stage.TRUSTED if self._connection.trusted else Stage.UNPROVEN

    @property
    def held_bytes(self) -> int:
        """Of a message whose end has not come."""
        return int(self._connection._incoming_size)

    @property
    def place(self) -> Place:
        """Where the client is, and which application it is."""
        sent = self._connection.sent
        return Place(plain(str(self.name[0])), checks.thumbprint(sent[0]) if sent else "")

    def end(self) -> None:
        """Close the connection."""
        self._untyped._transport.close()

    async def process(self, header: ua.Header, body: Buffer) -> bool:
        """One frame; False ends the connection."""
        kind: Any = header.MessageType
        if kind == ua.MessageType.Hello:
            hello = struct_from_binary(ua.Hello, body.copy())
            if self._greeted or not _acceptable(hello):
                raise ua.UaStatusCodeError(ua.StatusCodes.BadTcpMessageTypeInvalid)
            self._greeted = True
        elif not self._greeted or (
            kind != ua.MessageType.SecureOpen and not self._connection.is_open()
        ):
            raise ua.UaStatusCodeError(ua.StatusCodes.BadTcpSecureChannelUnknown)
        opens = kind == ua.MessageType.SecureOpen and not self._connection.is_open()
        if opens:
            await self.cell.clients.look()
        parent: Any = super()
        try:
            return bool(await parent.process(header, body))
        except checks.CertificateRefusedError as error:
            await self._refuse(error)
            raise ua.UaStatusCodeError(error.code) from error
        except ua.UaStatusCodeError as error:
            if opens:
                self.audit("channel", error.code, "")
            raise
        except (*_BAD_SIGNATURE, ValueError) as error:
            secured = bool(self._connection.sent)
            if isinstance(error, ValueError) and not (opens and secured):
                raise  # it does not decode; of one that opens a channel it was not for this server
            code = ua.StatusCodes.BadSecurityChecksFailed
            if opens:
                self.audit("channel", code, "signature or encryption does not fit the certificate")
            raise ua.UaStatusCodeError(code) from error

    def audit(self, step: Step, code: int, why: str) -> None:
        """Put a refusal on record."""
        sent = self._connection.sent
        subject = checks.name_of(sent[0]) if sent else ""
        status = status_code(code).name
        self.cell.audit.record(step, status, self.place.address, subject=subject, why=why)

    async def _refuse(self, error: checks.CertificateRefusedError) -> None:
        """Tell the people here why, and keep the certificate for them to decide."""
        self.cell.counters.security_rejected_requests += 1
        sent = self._connection.sent
        self.audit("certificate", error.code, str(error))
        _log.warning(
            "client certificate refused",
            client=str(self.name),
            certificate=checks.name_of(sent[0]) if sent else "",
            thumbprint=checks.thumbprint(sent[0]) if sent else "",
            why=str(error),
            status=status_code(error.code).name,
        )
        if sent and error.code == ua.StatusCodes.BadCertificateUntrusted:
            await self.cell.clients.refused(sent[0])

    async def _process_message(
        self, typeid: ua.NodeId, requesthdr: Any, seqhdr: Any, body: Buffer
    ) -> bool:
        try:
            return await self._dispatch(typeid, requesthdr, seqhdr, body)
        except (ServiceError, ua.UaStatusCodeError) as error:
            self.cell.counters.rejected_requests += 1
            if error.code in _SECURITY_CODES:
                self.cell.counters.security_rejected_requests += 1
            raise
        except Exception as error:
            if not _while_decoding(error):
                raise
            self.cell.counters.rejected_requests += 1
            raise ServiceError(ua.StatusCodes.BadDecodingError) from error

    async def _dispatch(
        self, typeid: ua.NodeId, requesthdr: Any, seqhdr: Any, body: Buffer
    ) -> bool:
        if typeid == _CREATE:
            try:
                await self._check_may_create(body)
            except ServiceError as error:
                self.audit("session", error.code, "")
                raise
        elif typeid == _ACTIVATE:
            await self._activate(requesthdr, seqhdr, body)
            return True
        elif typeid in SERVICES:
            session = self.session
            if session is None or session.state is SessionState.Closed:
                raise ServiceError(ua.StatusCodes.BadSessionIdInvalid)
            if requesthdr.AuthenticationToken != session.auth_token:
                raise ServiceError(ua.StatusCodes.BadSecureChannelIdInvalid)
            if isinstance(session, CellSession):
                hint_ms = requesthdr.TimeoutHint
                session.deadline_s = time.monotonic() + hint_ms / 1e3 if hint_ms else math.inf
        elif typeid not in _SESSIONLESS:
            raise ServiceError(ua.StatusCodes.BadServiceUnsupported)
        slices.check_length(typeid, body)
        if typeid in slices.SERVICES:
            # The library's watch over silent sessions looks at this.
            self._untyped.session_last_activity = time.monotonic()
            self._activated().begin_request()
            response, results = await slices.SERVICES[typeid].answer(self._activated(), body)
            self._send_encoded(requesthdr, seqhdr, response, results)
            return True
        if typeid in _REGISTERING:
            # Registering does nothing here, so that nothing behind this looks at the request.
            nodes = struct_from_binary(ua.RegisterNodesParameters, body.copy()).NodesToRegister
            limits.check_count(nodes, limits.MAX_NODES_PER_REGISTER)
        own = {
            _BROWSE_NEXT: self._browse_next,
            _SET_TRIGGERING: self._set_triggering,
            _HISTORY_READ: self._history_read,
            _HISTORY_UPDATE: self._history_update,
        }.get(typeid)
        if own is not None:
            await own(self._activated(), requesthdr, seqhdr, body)
            return True
        parent: Any = super()
        done = bool(await parent._process_message(typeid, requesthdr, seqhdr, body))
        if typeid == _CREATE and isinstance(self.session, CellSession):
            self.session.channel = self
            self.session.address = self.place.address
            self.session.client_certificate = self._connection.security_policy.peer_certificate
        return done

    async def _check_may_create(self, body: Buffer) -> None:
        policy = self._connection.security_policy
        # A channel without security may always be opened to ask for endpoints (OPC 10000-4,
        # 5.5.4); a session on it needs an endpoint that offers it.
        if (policy.URI, policy.Mode) not in self._offered:
            self.cell.counters.security_rejected_sessions += 1
            raise ServiceError(ua.StatusCodes.BadSecurityPolicyRejected)
        if self.session is not None and self.session.state is not SessionState.Closed:
            raise ServiceError(ua.StatusCodes.BadTooManySessions)
        if not self._connection.sent:
            return
        params = struct_from_binary(ua.CreateSessionParameters, body.copy())
        if len(params.ClientNonce or b"") < _LEAST_NONCE:
            raise ServiceError(ua.StatusCodes.BadNonceInvalid)
        leaf = self._connection.sent[0]
        try:
            if checks.split(params.ClientCertificate)[0] != leaf:
                raise ServiceError(ua.StatusCodes.BadSecurityChecksFailed)
            checks.check_uri(leaf, params.ClientDescription.ApplicationUri)
        except checks.CertificateRefusedError as error:
            self.cell.counters.security_rejected_sessions += 1
            await self._refuse(error)
            raise ServiceError(error.code) from error

    async def _activate(self, requesthdr: Any, seqhdr: Any, body: Buffer) -> None:
        params = struct_from_binary(ua.ActivateSessionParameters, body)
        session = self._session_to_activate(requesthdr.AuthenticationToken)
        policy = self._connection.security_policy
        challenge = (policy.host_certificate or b"") + (session.nonce or b"")
        try:
            policy.asymmetric_cryptography.verify(
                challenge, params.ClientSignature.Signature or b""
            )
        except _BAD_SIGNATURE as error:
            raise ServiceError(ua.StatusCodes.BadApplicationSignatureInvalid) from error
        user = await self.cell.login(session, params, self.place, policy)
        self.cell.check_place(session, user)
        result = session.activate(user)
        session.encrypted = policy.Mode == ua.MessageSecurityMode.SignAndEncrypt
        if session is not self.session:
            self._take_over(session)
        response = ua.ActivateSessionResponse()
        response.Parameters = result
        self._untyped.send_response(requesthdr.RequestHandle, seqhdr, response)

    def _session_to_activate(self, token: ua.NodeId) -> CellSession:
        own = self.session
        if isinstance(own, CellSession) and own.state is not SessionState.Closed:
            if own.auth_token != token:
                raise ServiceError(ua.StatusCodes.BadSessionIdInvalid)
            return own
        session = self.cell.lookup_external_session(token)
        if not isinstance(session, CellSession) or not self.cell.is_live(session):
            raise ServiceError(ua.StatusCodes.BadSessionIdInvalid)
        # Another channel may take a session over only with the certificate that made the
        # session; its key has just signed, or is about to (OPC 10000-4, 5.6.3).
        certificate = self._connection.security_policy.peer_certificate
        if certificate is None or certificate != session.client_certificate:
            self.cell.counters.security_rejected_sessions += 1
            raise ServiceError(ua.StatusCodes.BadSecureChannelIdInvalid)
        return session

    def _take_over(self, session: CellSession) -> None:
        before = session.channel
        if isinstance(before, CellProcessor) and before.session is session:
            before.session = None
        self.session = session
        session.channel = self
        for subscription in self.cell.subscriptions.of_session(session.session_id).values():
            subscription.pub_result_callback = self.forward_publish_response
            subscription.pub_request_callback = self._untyped.get_publish_request

    def _send_encoded(self, requesthdr: Any, seqhdr: Any, response: Any, results: bytes) -> None:
        response.ResponseHeader.RequestHandle = requesthdr.RequestHandle
        connection = cast(Any, self._connection)
        data = connection.message_to_binary(
            slices.encoded(response, results),
            message_type=ua.MessageType.SecureMessage,
            request_id=seqhdr.RequestId,
        )
        self._untyped._transport.write(data)

    def _activated(self) -> CellSession:
        session = self.session
        assert isinstance(session, CellSession)
        if not session.is_activated():
            raise ServiceError(ua.StatusCodes.BadSessionNotActivated)
        session.touch()
        self.session_last_activity = time.monotonic()  # the library's own watch looks at this one
        return session

    async def _browse_next(
        self, session: CellSession, requesthdr: Any, seqhdr: Any, body: Buffer
    ) -> None:
        params = struct_from_binary(ua.BrowseNextParameters, body)
        response = ua.BrowseNextResponse()
        response.Parameters.Results = await session.browse_next(params)
        self._untyped.send_response(requesthdr.RequestHandle, seqhdr, response)

    async def _set_triggering(
        self, session: CellSession, requesthdr: Any, seqhdr: Any, body: Buffer
    ) -> None:
        params = struct_from_binary(ua.SetTriggeringParameters, body)
        response = ua.SetTriggeringResponse()
        added, removed = session.set_triggering(params)
        response.Parameters.AddResults, response.Parameters.RemoveResults = added, removed
        self._untyped.send_response(requesthdr.RequestHandle, seqhdr, response)

    async def _history_read(
        self, session: CellSession, requesthdr: Any, seqhdr: Any, body: Buffer
    ) -> None:
        results = await self.cell.history.read(
            body,
            session.history_points,
            self.cell.aspace.__contains__,
            auditor=session.caller.user.may(AUDITORS),
        )
        self._send_encoded(requesthdr, seqhdr, ua.HistoryReadResponse(), results)

    async def _history_update(
        self, session: CellSession, requesthdr: Any, seqhdr: Any, body: Buffer
    ) -> None:
        response = ua.HistoryUpdateResponse()
        response.Results = refused_updates(body)
        self._untyped.send_response(requesthdr.RequestHandle, seqhdr, response)

    async def close(self) -> None:
        """The connection is gone: what waits to be published must not go into it."""
        self._publish_requests.clear()
        session = self.session
        was_open = session is not None and session.state is not SessionState.Closed
        parent: Any = super()
        await parent.close()
        if was_open and isinstance(session, CellSession):
            aborted = session.state is SessionState.Closed and not session.timed_out
            self.cell.counters.session_aborts += aborted


_SECURITY_CODES: Final = frozenset(
    {
        ua.StatusCodes.BadSessionIdInvalid,
        ua.StatusCodes.BadSecureChannelIdInvalid,
        ua.StatusCodes.BadSecurityPolicyRejected,
        ua.StatusCodes.BadUserAccessDenied,
        ua.StatusCodes.BadIdentityTokenRejected,
        ua.StatusCodes.BadIdentityTokenInvalid,
        ua.StatusCodes.BadApplicationSignatureInvalid,
        ua.StatusCodes.BadSecurityChecksFailed,
        ua.StatusCodes.BadNonceInvalid,
    }
)


def _while_decoding(error: Exception) -> bool:
    """Whether it came of reading a request, where the library lets any exception out."""
    return isinstance(error, NotEnoughData) or any(
        frame.f_code.co_filename == ua_binary.__file__
        and ("from_binary" in frame.f_code.co_name or "unpack" in frame.f_code.co_name)
        for frame, _ in traceback.walk_tb(error.__traceback__)
    )


def _acceptable(hello: ua.Hello) -> bool:
    return min(hello.ReceiveBufferSize, hello.SendBufferSize) >= limits.MIN_CHUNK_BYTES


def transport_limits() -> TransportLimits:
    """What a chunk and a message may be, for asyncua."""
    return TransportLimits(
        max_recv_buffer=limits.MAX_CHUNK_BYTES,
        max_send_buffer=limits.MAX_CHUNK_BYTES,
        max_chunk_count=limits.MAX_CHUNKS,
        max_message_size=limits.MAX_MESSAGE_BYTES,
    )
