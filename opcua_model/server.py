"""The cell's OPC UA server: assembles the address space from the plan and keeps it true.

The gateway process builds one `CellServer` and runs it. Values come from the image, changes go
to the scan by the sender; the server itself decides nothing about the cell.
"""

from __future__ import annotations

import asyncio
import gc
import socket
from pathlib import Path
from typing import Final
from urllib.parse import urlparse

import structlog
from asyncua import ua

from cellwright.io.image import Image
from cellwright.io.log_once import LogOnce
from cellwright.io.timing.clock import Clock
from cellwright.mes.kernel.errors import MesError
from cellwright.mes.people.roles import Role, short_name
from cellwright.mes.people.sign_in import People
from cellwright.opcua_model.address_space.builder import Builder
from cellwright.opcua_model.address_space.tag_values import TagValues
from cellwright.opcua_model.address_space.values import utc_datetime
from cellwright.opcua_model.errors import CertificateError, ModelError
from cellwright.opcua_model.events.types import EventTypes
from cellwright.opcua_model.isa95 import structures
from cellwright.opcua_model.isa95.mes_users import MesAuthenticator, MesUsers
from cellwright.opcua_model.isa95.mes_view import MesState, MesStore, MesView
from cellwright.opcua_model.model import VERSION, Behind, build_model
from cellwright.opcua_model.nodes import roles
from cellwright.opcua_model.nodes.cell_tree import application_uri
from cellwright.opcua_model.nodes.controller import CellControl
from cellwright.opcua_model.nodes.events.cell_events import CellEvents
from cellwright.opcua_model.nodes.publishing import Diagnostics
from cellwright.opcua_model.nodes.server_methods import ServerMethods
from cellwright.opcua_model.nodes.standard import StandardNodes
from cellwright.opcua_model.security.access import ServiceRules
from cellwright.opcua_model.security.addresses import reached_by, url_host
from cellwright.opcua_model.security.audit import AuditTrail
from cellwright.opcua_model.security.certificate import OwnCertificate, own_certificate
from cellwright.opcua_model.security.checks import Rules, thumbprint
from cellwright.opcua_model.security.clients import ClientCertificates
from cellwright.opcua_model.security.permissions import Permissions
from cellwright.opcua_model.security.trust_list import TrustList
from cellwright.opcua_model.security.users import Authenticator, FileUsers, WatchedUsers
from cellwright.opcua_model.services.command_sender import CommandSender
from cellwright.opcua_model.services.history.service import HistoryService
from cellwright.opcua_model.services.internal_server import CellInternalServer
from cellwright.opcua_model.services.listener import CellTransportServer
from cellwright.opcua_model.services.user_changes import UserChanges
from cellwright.opcua_model.services.writes import WritePath

_log = structlog.get_logger(__name__)

DIAGNOSTICS_NS: Final = 250_000_000
"""How often statistics are looked at."""
STANDARD_NS: Final = 1_000_000_000
"""How often ServerDiagnostics is written."""
MES_NS: Final = 500_000_000
"""How often the MES is read; a job order method reads it at once."""

CERTIFICATE_S: Final = 60.0
"""How often the server's certificate is compared with its names and its time."""

_POLICIES: Final = [
    ua.SecurityPolicyType.Basic256Sha256_Sign,
    ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
    ua.SecurityPolicyType.Aes128Sha256RsaOaep_Sign,
    ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
    ua.SecurityPolicyType.Aes256Sha256RsaPss_Sign,
    ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
]


class CellServer:
    """One cell's server. Use: `start`, then `run` (or `publish` at will), then `stop`."""

    def __init__(
        self,
        image: Image,
        commands: CommandSender,
        mes: MesStore | None,
        *,
        pki: Path,
        clock: Clock,
    ) -> None:
        """``pki`` is the folder of certificates; made when absent. Raises OpcUaError."""
        plan = image.plan
        if plan.opcua is None:
            raise ModelError(f"cell {plan.cell} has no opcua section; add one to have a server")
        self._plan = plan
        self._settings = plan.opcua
        self._image = image
        self._reader = image.snapshot_reader()
        self._tags = TagValues(plan, self._reader)
        self._clock = clock
        self._pki = pki
        file = plan.opcua.users_file
        # Without a users file and without MES nobody can log in; anonymous reading needs neither.
        listed = FileUsers(Path(plan.folder) / file) if file else None
        self._users: WatchedUsers | None = listed
        self._writes = WritePath(commands, self._tags.paths)
        self._control = CellControl(commands)
        self._commands = commands
        self._authenticator = Authenticator({} if listed is None else listed, clock)
        if mes is not None:
            users = MesUsers(People(mes), listed)
            self._users, self._authenticator = users, MesAuthenticator(users, clock)
        self._mes = MesView(mes) if mes is not None else None
        self._history = HistoryService(plan, mes, self._tags.paths.tag_of)
        self._watch: asyncio.Task[None] | None = None
        self._certificate_watch: asyncio.Task[None] | None = None
        self._event_watch: asyncio.Task[None] | None = None
        self._mes_task: asyncio.Task[None] | None = None
        self._mes_news: MesState | None = None
        self._once = LogOnce(_log)
        self._mes_reads = 0
        self._mes_newest = 0
        """Number of the read whose state is the newest one that is known."""
        self._due_ns = {"diagnostics": 0, "standard": 0, "mes": 0}

    async def start(self) -> None:
        """Build everything and open the port. Raises OpcUaError or OSError."""
        collecting = gc.isenabled()
        gc.disable()  # it would walk all that was built so far, again and again
        try:
            await self._start()
        finally:
            if collecting:
                gc.enable()
        _log.info("OPC UA server started", endpoint=self.endpoint, tags=len(self._plan.tags))

    async def _start(self) -> None:
        plan, settings = self._plan, self._settings
        uri = application_uri(plan)
        structures.register()
        own = self._own_certificate()
        trust = TrustList(self._pki)
        trust.make()
        rules = Rules(settings.clients == "trusted", frozenset(settings.suppress))
        internal = CellInternalServer(
            self._authenticator,
            ClientCertificates(trust, rules, self._clock),
            AuditTrail(self._image.events["gateway"].put, self._clock),
            self._writes,
            self._tags,
            history=self._history,
            anonymous=settings.anonymous == "read",
        )
        self._internal = internal
        if self._users is not None:
            internal.user_changes = UserChanges(
                self._users, self._image, self._clock, lambda: internal.sessions
            )
            await internal.user_changes.look()
        internal.certificate, internal.private_key = own.certificate, own.key
        server = CellTransportServer(internal, self._build)
        self._server = server
        server.name = f"Cellwright {plan.cell}"
        server.product_uri = "urn:cellwright"
        server.manufacturer_name = "Cellwright"
        server.application_type = ua.ApplicationType.Server
        server._application_uri = uri
        await server.init()
        await server.set_build_info(
            server.product_uri,
            server.manufacturer_name,
            server.name,
            VERSION,
            VERSION,
            utc_datetime(self._clock.utc_ns()),
        )
        server.set_endpoint(settings.endpoint)
        policies = list(_POLICIES)
        if settings.insecure:
            policies.append(ua.SecurityPolicyType.NoSecurity)
        server.set_security_policy(policies, ServiceRules())
        await server.start()
        self._watch = asyncio.create_task(internal.watch())
        self._certificate_watch = asyncio.create_task(self._watch_certificate())
        self._event_watch = asyncio.create_task(self._events.run())

    def _build(self) -> None:
        """Everything below Objects, before the port opens."""
        internal = self._internal
        builder = Builder(internal.aspace)
        self._standard = StandardNodes(builder, internal)
        self._standard.prepare(application_uri(self._plan))
        server_methods = ServerMethods(internal)
        server_methods.register()
        self._events = CellEvents(
            self._plan,
            self._clock,
            self._image.events["gateway"].put,
            internal.subscriptions.emit,
        )
        model = build_model(
            builder,
            internal.nodes,
            self._plan,
            Behind(
                self._tags.paths,
                self._tags.data_value,
                internal.methods,
                self._control,
                self._events,
                self._mes,
                self.refresh_mes,
            ),
        )
        self._history.events = self._events
        self._history.types = EventTypes(internal.aspace)
        self._events.methods(internal.methods, self._commands, server_methods.find)
        self._build_roles(builder)
        self._diagnostics = Diagnostics(self._image, model.nodes)
        self._work_orders = model.work_orders

    def _build_roles(self, builder: Builder) -> None:
        """When all methods are known: every role that the cell gives rights to, or a user has."""
        internal = self._internal
        users = self._users
        named = {role for tag in self._plan.tags for role in tag.write}
        named |= {role for method in internal.methods.methods.values() for role in method.callers}
        named |= {role for user in (users.values() if users else ()) for role in user.roles}
        if self._mes is not None:  # whose users may get any role while the server runs
            named |= {short_name(role) for role in Role}
        anonymous = self._settings.anonymous == "read"
        internal.permissions = Permissions(self._plan.cell, named, anonymous=anonymous)
        roles.build_roles(builder, internal.permissions, lambda: users.values() if users else ())
        roles.default_rights(builder, internal.permissions)
        internal.secrets = roles.identities_of(builder.space)

    @property
    def port(self) -> int:
        """The port that the server listens on; raises ModelError before `start`."""
        listener = self._server.bserver
        if listener is None:
            raise ModelError("the server is not started; call start() first")
        return int(listener.port)

    @property
    def endpoint(self) -> str:
        """A URL by which a client on this network reaches the server."""
        host = urlparse(self._settings.endpoint).hostname or "0.0.0.0"
        if host in ("0.0.0.0", "::"):
            host = socket.gethostname()
        return f"opc.tcp://{url_host(host)}:{self.port}"

    def _own_certificate(self) -> OwnCertificate:
        """Read it, renew it where that is due, and tell. Raises CertificateError."""
        own = own_certificate(
            self._pki,
            application_uri(self._plan),
            self._plan.cell,
            self._clock.utc_ns(),
            reached_by(self._settings.endpoint),
        )
        if own.renewed:
            _log.warning(
                "the server has a new certificate; clients that kept the former one must trust it",
                why=own.renewed,
                thumbprint=thumbprint(own.certificate),
            )
        if own.warning:
            self._once.trouble(
                "certificate",
                "the server's certificate should be replaced by a new one in pki/own",
                level="warning",
                cause=own.warning,
                why=own.warning,
            )
        else:
            self._once.well("certificate")
        return own

    async def look_at_certificate(self) -> None:
        """Show another certificate when there is one, or when it is time for one."""
        try:
            own = await asyncio.to_thread(self._own_certificate)
        except CertificateError as error:
            self._once.trouble(
                "pki", "the server's certificate stays", cause=str(error), why=str(error)
            )
            return
        self._once.well("pki", "the server's certificate can be read again")
        if own.certificate != self._internal.certificate:
            self._server.use_certificate(own)

    async def _watch_certificate(self) -> None:
        while True:
            await asyncio.sleep(CERTIFICATE_S)
            await self.look_at_certificate()

    async def stop(self) -> None:
        """Close every connection and the port."""
        if self._mes_task is not None:
            self._mes_task.cancel()
            await asyncio.gather(self._mes_task, return_exceptions=True)
        for task in (self._watch, self._certificate_watch, self._event_watch):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self._server.stop()
        if self._mes is not None:
            await asyncio.to_thread(self._mes.close)
        _log.info("OPC UA server stopped", cell=self._plan.cell)

    async def publish(self) -> int:
        """Show what is due; gives the number of values that were written.

        Statistics, diagnostics and the MES's state; tags are taken from the image by those who look
        at them. It never waits for the MES: what a background read brought is shown in the next
        pass.
        """
        count = 0
        self._tags.refresh()
        if self._due("diagnostics", DIAGNOSTICS_NS):
            count += self._diagnostics.publish(self._reader)
        if self._due("standard", STANDARD_NS):
            self._standard.refresh()
        if self._mes is not None:
            self._start_mes_read()
            count += self._show_mes()
        return count

    async def run(self, stop: asyncio.Event, interval_s: float = 0.05) -> None:
        """Publish every ``interval_s`` seconds until ``stop`` is set."""
        while not stop.is_set():
            await self.publish()
            try:
                async with asyncio.timeout(interval_s):
                    await stop.wait()
            except TimeoutError:
                continue

    async def refresh_mes(self) -> None:
        """Read the MES now and show it; a failure is logged and what is shown stays."""
        if self._mes is None:
            return
        await self._read_mes(self._mes)
        self._show_mes()

    def _due(self, name: str, every_ns: int) -> bool:
        now_ns = self._clock.now_ns()
        if now_ns < self._due_ns[name]:
            return False
        self._due_ns[name] = now_ns + every_ns
        return True

    def _start_mes_read(self) -> None:
        running = self._mes_task is not None and not self._mes_task.done()
        if self._mes is not None and not running and self._due("mes", MES_NS):
            self._mes_task = asyncio.create_task(self._read_mes(self._mes))

    async def _read_mes(self, mes: MesView) -> None:
        self._mes_reads += 1
        number = self._mes_reads
        try:
            state = await mes.read()
            self._once.well("mes")
            # A slow read must not undo what one that began later has shown.
            if number > self._mes_newest:
                self._mes_newest, self._mes_news = number, state
        except (MesError, TimeoutError) as error:
            self._once.trouble(
                "mes",
                "cannot read the MES; showing what was read last",
                level="warning",
                why=str(error),
            )

    def _show_mes(self) -> int:
        news, self._mes_news = self._mes_news, None
        if news is None:
            return 0
        return self._work_orders.show(news, utc_datetime(self._clock.utc_ns()))
