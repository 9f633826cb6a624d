"""The internal server: asyncua's, with our sessions, subscriptions, views and methods put in.

One per `CellServer`. It counts what ServerDiagnostics shows and holds the rules of log-in.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import struct
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto import uacrypto
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession, SessionState
from asyncua.server.user_managers import UserManager

from cellwright.opcua_model.address_space import standard_cache
from cellwright.opcua_model.address_space.ids import status_code
from cellwright.opcua_model.address_space.tag_values import TagValues
from cellwright.opcua_model.address_space.values import utc_datetime
from cellwright.opcua_model.address_space.virtual_nodes import VirtualNodes
from cellwright.opcua_model.security import user_tokens
from cellwright.opcua_model.security.access import ANONYMOUS, CellUser
from cellwright.opcua_model.security.addresses import plain, url_host
from cellwright.opcua_model.security.admission import Admission, may_be_anonymous
from cellwright.opcua_model.security.audit import AuditTrail
from cellwright.opcua_model.security.checks import CertificateRefusedError, name_of
from cellwright.opcua_model.security.clients import ClientCertificates
from cellwright.opcua_model.security.lockout import Place
from cellwright.opcua_model.security.permissions import Permissions
from cellwright.opcua_model.security.turns import TooManyError, Turns
from cellwright.opcua_model.security.users import Authenticator
from cellwright.opcua_model.services import limits
from cellwright.opcua_model.services.history.service import HistoryService
from cellwright.opcua_model.services.methods import CellMethods
from cellwright.opcua_model.services.session import CellSession, Counters
from cellwright.opcua_model.services.subscriptions.service import CellSubscriptionService
from cellwright.opcua_model.services.user_changes import LOOK_S, UserChanges
from cellwright.opcua_model.services.views import CellViews
from cellwright.opcua_model.services.writes import WritePath

_log = structlog.get_logger(__name__)

_LOW_PRIORITY: Final = 15
"""Nice value of password checks (setpriority(2); on Linux of one thread)."""
_LONGEST_HOST: Final = 253
"""Of a DNS name (RFC 1035)."""
_DECRYPT: Final[dict[str, Callable[..., Any]]] = {
    "http://www.w3.org/2001/04/xmlenc#rsa-oaep": uacrypto.decrypt_rsa_oaep,
    "http://opcfoundation.org/UA/security/rsa-oaep-sha2-256": uacrypto.decrypt_rsa_oaep_sha256,
}
"""PKCS#1 v1.5 is left out: it is open to padding oracles and no policy of ours names it."""


class CellInternalServer(InternalServer):
    """Sessions, subscriptions and services of one cell's server."""

    def __init__(
        self,
        authenticator: Authenticator,
        clients: ClientCertificates,
        audit: AuditTrail,
        writes: WritePath,
        tags: TagValues,
        *,
        history: HistoryService,
        anonymous: bool,
    ) -> None:
        super().__init__(user_manager=_NoUsers())
        self.authenticator = authenticator
        self.clients = clients
        self.audit = audit
        self.writes = writes
        self.tags = tags
        self.history = history
        self.anonymous = anonymous
        self.permissions = Permissions(tags.plan.cell, (), anonymous=anonymous)
        self.secrets: frozenset[ua.NodeId] = frozenset()
        self.counters = Counters()
        self._session_numbers = itertools.count(1)
        self._logins = Turns()
        self._hashing = ThreadPoolExecutor(1, "password", _give_way)
        self.user_changes: UserChanges | None = None
        self.nodes = VirtualNodes.into(self.aspace)
        self.views = CellViews(self.aspace)
        self.view_service = self.views
        self.method_service.stop()
        self.methods = CellMethods(self.aspace)
        self.method_service = self.methods
        self.subscriptions = CellSubscriptionService(self.aspace, self, tags)
        self.subscription_service = self.subscriptions
        self.isession.subscription_service = self.subscriptions
        self.allow_remote_admin = False
        self.disabled_clock = True  # `StandardNodes.refresh` writes the time
        tokens: tuple[Any, ...] = (ua.UserNameIdentityToken, ua.X509IdentityToken)
        self.supported_tokens = (ua.AnonymousIdentityToken, *tokens) if anonymous else tokens
        self.max_pending_messages_per_connection = limits.MAX_QUEUED_MESSAGES
        self.admission = Admission()
        self.max_connections = sys.maxsize  # `admission` decides
        self.max_pending_activation_seconds = limits.ACTIVATION_TIMEOUT_S
        self.max_monitored_item_queue_size = limits.MAX_QUEUE_SIZE
        self.max_unacked_messages_per_subscription = 100

    async def load_standard_address_space(self, shelf_file: Path | None = None) -> None:
        """The nodes of the OPC UA namespace."""
        await asyncio.to_thread(standard_cache.fill, self.aspace)

    def _mangle_endpoint_url(
        self,
        ep_url: str,
        params_ep_url: str | None = None,
        sockname: tuple[Any, ...] | None = None,
    ) -> str:
        """An endpoint as its client reaches it: by the host that it asked, else by our address."""
        ours = urlsplit(ep_url)
        host, port = (str(sockname[0]), int(sockname[1])) if sockname else (ours.hostname, None)
        try:
            asked = urlsplit(params_ep_url or "")
            if asked.hostname and len(asked.hostname) <= _LONGEST_HOST:
                host, port = asked.hostname, asked.port or port
        except ValueError:
            pass  # no URL, such as an IPv6 address without brackets
        netloc = f"{url_host(plain(host or ''))}:{port or ours.port}"
        return ours._replace(netloc=netloc).geturl()

    def rights_on(self, node_id: ua.NodeId) -> list[ua.RolePermissionType]:
        """Permissions of every role on a node, as the services decide."""
        index = self.tags.index_of(node_id)
        if index is not None:
            return self.permissions.on(write=self.tags.plan.tags[index].write)
        method = self.methods.methods.get(node_id)
        callers = None if method is None else method.callers
        return self.permissions.on(call=callers, secret=node_id in self.secrets)

    def next_session_number(self) -> int:
        """Number in a session's NodeId; not a secret."""
        return next(self._session_numbers)

    @property
    def sessions(self) -> list[CellSession]:
        """The clients' sessions that are not closed."""
        return [item for item in self._external_sessions.values() if isinstance(item, CellSession)]

    def subscription_owner(self, subscription: Any) -> CellSession | None:
        """The live session that a subscription belongs to."""
        if subscription is None:
            return None
        return next(
            (item for item in self.sessions if item.session_id == subscription.session_id), None
        )

    def create_session(
        self, name: str, user: User = ANONYMOUS, external: bool = False
    ) -> InternalSession:
        """A session for a client; refused when there are too many."""
        if not external:
            return super().create_session(name, user, external)
        if sum(each.is_activated() for each in self.sessions) >= limits.MAX_SESSIONS:
            self.counters.rejected_sessions += 1
            raise ServiceError(ua.StatusCodes.BadTooManySessions)
        self.counters.sessions += 1
        return CellSession(self, name)

    def check_place(self, session: CellSession, user: CellUser) -> None:
        """Whether there is a place for this session with this user. Raises ServiceError."""
        if session.is_activated():
            return
        active = [each for each in self.sessions if each.is_activated()]
        nobodies = [each.address for each in active if each.caller.user.anonymous]
        if len(active) >= limits.MAX_SESSIONS or (
            user.anonymous and not may_be_anonymous(session.address, nobodies)
        ):
            self.counters.rejected_sessions += 1
            raise ServiceError(ua.StatusCodes.BadTooManySessions)

    def register_server(self, server: Any, conf: Any = None) -> None:
        """This server is no discovery server."""
        raise ServiceError(ua.StatusCodes.BadServiceUnsupported)

    async def login(
        self, session: CellSession, asked: ua.ActivateSessionParameters, place: Place, policy: Any
    ) -> CellUser:
        """The user behind the identity token of ActivateSession; raises ServiceError.

        The password check runs in a thread of low priority, one at a time for the whole server,
        and few wait for it, so that a flood of logins costs neither the event loop nor memory.
        """
        token: Any = asked.UserIdentityToken
        if token is None or (isinstance(token, ua.ExtensionObject) and token.TypeId.is_null()):
            token = ua.AnonymousIdentityToken()
        if isinstance(token, ua.AnonymousIdentityToken) and self.anonymous:
            return ANONYMOUS
        if isinstance(token, ua.X509IdentityToken):
            return await self._certified(session, token, asked.UserTokenSignature, place, policy)
        if not isinstance(token, ua.UserNameIdentityToken):
            raise self._refused(ua.StatusCodes.BadIdentityTokenRejected, "", session)
        name = token.UserName or ""
        encrypted = policy.Mode == ua.MessageSecurityMode.SignAndEncrypt
        password = self._password(session, token, encrypted)
        lockout = self.authenticator.lockout
        try:
            if lockout.locked(name, place):
                raise self._wrong(name, session, place)
            async with self._logins.turn(place.address, known=lockout.known(name, place)):
                if self.user_changes is not None:
                    await self.user_changes.look()
                user = await asyncio.get_running_loop().run_in_executor(
                    self._hashing, self.authenticator.check, name, password, place
                )
        except TooManyError as error:
            busy = ua.StatusCodes.BadServerTooBusy
            raise self._refused(busy, name, session, "too many logins wait") from error
        if user is None:
            raise self._wrong(name, session, place)
        _log.info("logged in", user=name, session=session.session_id.to_string())
        self.audit.record("login", "Good", place.address, user=name, subject=session.label)
        return CellUser(UserRole.User, name, user.roles)

    async def _certified(
        self,
        session: CellSession,
        token: ua.X509IdentityToken,
        signature: ua.SignatureData,
        place: Place,
        policy: Any,
    ) -> CellUser:
        """The user whose certificate it is. No lock holds it: a key is not guessed."""
        server = policy.host_certificate or uacrypto.der_from_x509(self.certificate)
        now = utc_datetime(self.clients.clock.utc_ns())
        try:
            shown = user_tokens.proven(token, signature, server + (session.nonce or b""), now)
            if self.user_changes is not None:
                async with self._logins.turn(place.address, known=True):
                    await self.user_changes.look()
        except user_tokens.TokenRefusedError as error:
            raise self._refused(error.code, "", session, str(error)) from error
        except TooManyError as error:
            busy = ua.StatusCodes.BadServerTooBusy
            raise self._refused(busy, "", session, "too many logins wait") from error
        user = self.authenticator.owner(user_tokens.fingerprint(shown))
        if user is None:
            why = f"nobody has the certificate {name_of(shown)}"
            raise self._refused(ua.StatusCodes.BadIdentityTokenRejected, "", session, why)
        self.authenticator.lockout.succeeded(user.name, place)
        _log.info("logged in by certificate", user=user.name, certificate=name_of(shown))
        self.audit.record("login", "Good", place.address, user=user.name, subject=name_of(shown))
        return CellUser(UserRole.User, user.name, user.roles)

    def _wrong(self, name: str, session: CellSession, place: Place) -> ServiceError:
        why = self.authenticator.why_refused(name, place)
        return self._refused(ua.StatusCodes.BadUserAccessDenied, name, session, why)

    async def watch(self) -> None:
        """Look for other users and other trusted clients once a second, until cancelled."""
        while True:
            if self.user_changes is not None:
                with contextlib.suppress(TooManyError):  # then each login looks
                    async with self._logins.turn(known=True):
                        await self.user_changes.look()
            self.audit.flush()
            if await self.clients.look():
                await self._check_clients_again()
            await asyncio.sleep(LOOK_S)

    async def _check_clients_again(self) -> None:
        """Close the sessions of clients that are trusted no more."""
        for session in self.sessions:
            channel = session.channel
            if channel is None or not channel.client_chain:
                continue
            try:
                self.clients.check(channel.client_chain)
            except CertificateRefusedError as error:
                _log.warning(
                    "session closed: its client is trusted no more",
                    session=session.session_id.to_string(),
                    client=str(session.name),
                    why=str(error),
                )
                await session.close_session(True)
                channel.end()

    def _password(
        self, session: CellSession, token: ua.UserNameIdentityToken, channel_encrypts: bool
    ) -> str:
        name, secret = token.UserName or "", token.Password or b""
        invalid = ua.StatusCodes.BadIdentityTokenInvalid
        try:
            if not token.EncryptionAlgorithm:
                if not channel_encrypts:
                    raise self._refused(ua.StatusCodes.BadIdentityTokenRejected, name, session)
                return bytes(secret).decode()
            decrypt = _DECRYPT.get(token.EncryptionAlgorithm)
            if decrypt is None:
                raise self._refused(invalid, name, session)
            plain: bytes = decrypt(self.private_key, secret)
            nonce = session.nonce or b""
            (length,) = struct.unpack_from("<I", plain)
            if length + 4 != len(plain) or not plain.endswith(nonce) or length < len(nonce):
                raise self._refused(invalid, name, session)
            return plain[4 : len(plain) - len(nonce)].decode()
        except (ValueError, struct.error) as error:
            raise self._refused(invalid, name, session) from error

    def _refused(self, code: int, name: str, session: CellSession, why: str = "") -> ServiceError:
        self.counters.security_rejected_sessions += 1
        self.counters.rejected_sessions += 1
        self.audit.record(
            "login",
            status_code(code).name,
            session.address,
            user=name,
            subject=session.label,
            why=why,
        )
        _log.warning(
            "login refused",
            user=name[:64],
            why=why or status_code(code).name,
            session=session.session_id.to_string(),
            client=str(session.name),
            status=status_code(code).name,
        )
        return ServiceError(code)

    async def stop(self) -> None:
        """Close every session, then the rest."""
        for session in self.sessions:
            await session.close_session(True)
        await super().stop()
        self._hashing.shutdown(cancel_futures=True)
        self.history.close()

    def is_live(self, session: CellSession) -> bool:
        """True for a session that is registered and was activated."""
        return (
            self.lookup_external_session(session.auth_token) is session
            and session.state is SessionState.Activated
        )


def _give_way() -> None:
    """The thread of password checks leaves the cores to whoever else wants them."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOW_PRIORITY)


class _NoUsers(UserManager):
    """asyncua's user manager is never asked: `CellInternalServer.login` decides."""

    def get_user(self, *args: Any, **more: Any) -> None:
        return None
