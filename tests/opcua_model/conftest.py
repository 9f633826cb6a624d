"""A running cell server for the tests: real socket, real channel, real MES on SQLite.

Only the scan is a fake (`opcua_support`). Keys and password hashes are made once
for the whole run, because they cost more than the tests that use them.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import argon2
import pytest
import pytest_asyncio
from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography.hazmat.primitives import serialization

from cellwright.io.messages import Event
from cellwright.io.timing.clock import Clock, MonotonicClock
from cellwright.mes.definitions import master_data
from cellwright.mes.kernel.store import Store
from cellwright.mes.service.catalogue import open_store
from cellwright.opcua_model.security.certificate import own_certificate
from cellwright.opcua_model.security.users import add_user
from cellwright.opcua_model.server import CellServer
from support.opcua_events import Journal
from support.opcua_support import FakeScan, ImageBench, cell_plan

CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
CLIENT_URI = "urn:cellwright:tests:client"
PASSWORDS = {
    "op": "operator-1",
    "planner": "planner-1",
    "super": "supervisor-1",
    "clumsy": "clumsy-1",
    "foreman": "foreman-1",
    "chief": "chief-one",
}
PARTS = {
    "parts": [
        {
            "part_number": "BLD-7421",
            "revision": "C",
            "description": "Turbine blade",
            "serial_pattern": "SN{year:02d}{n:06d}",
            "fields": {"cage": "0CVA5"},
            "routing": [
                {"sequence": 10, "name": "Mark", "kind": "mark", "station": "mark"},
                {"sequence": 20, "name": "Read back", "kind": "inspect", "station": "inspect"},
            ],
        },
        {"part_number": "BLD-0000", "serial_pattern": "X{n:04d}"},
    ]
}


@dataclass(frozen=True)
class Keys:
    """Files that every server and client of the run shares."""

    server: Path
    client_certificate: Path
    client_key: Path
    other_certificate: Path
    other_key: Path
    users: Path


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    root = tmp_path_factory.mktemp("opcua-keys")
    own_certificate(root / "server", "urn:cellwright:Plant1:BladeMarking", "BladeMarking", _now())
    files: list[Path] = []
    for name in ("client", "other"):
        own = own_certificate(root / name, CLIENT_URI, name, _now())
        files.append(root / name / "own" / "certificate.der")
        key = root / f"{name}.pem"
        key.write_bytes(
            own.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        files.append(key)
    users = root / "users.yaml"
    add_user(users, "op", PASSWORDS["op"], ["Operator"], hasher=CHEAP)
    add_user(users, "planner", PASSWORDS["planner"], ["Planner"], hasher=CHEAP)
    add_user(users, "super", PASSWORDS["super"], ["Supervisor"], hasher=CHEAP)
    add_user(users, "clumsy", PASSWORDS["clumsy"], ["Operator"], hasher=CHEAP)
    add_user(users, "foreman", PASSWORDS["foreman"], ["Operator", "Planner"], hasher=CHEAP)
    add_user(users, "chief", PASSWORDS["chief"], ["Admin"], hasher=CHEAP)
    return Keys(root / "server", *files, users)


def _now() -> int:
    return MonotonicClock().utc_ns()


@dataclass
class Cell:
    """One running server and what stands around it."""

    server: CellServer
    image: ImageBench
    scan: FakeScan
    keys: Keys
    store: Store | None
    journal: Journal | None = None

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.server.port}"

    @asynccontextmanager
    async def client(
        self,
        user: str | None = "op",
        password: str | None = None,
        *,
        mode: ua.MessageSecurityMode = ua.MessageSecurityMode.SignAndEncrypt,
        policy: Any = SecurityPolicyBasic256Sha256,
    ) -> AsyncIterator[Client]:
        client = await self.unconnected(user, password, mode=mode, policy=policy)
        async with client:
            yield client

    async def unconnected(
        self,
        user: str | None = "op",
        password: str | None = None,
        *,
        mode: ua.MessageSecurityMode = ua.MessageSecurityMode.SignAndEncrypt,
        policy: Any = SecurityPolicyBasic256Sha256,
        other: bool = False,
    ) -> Client:
        client = Client(self.url, timeout=10)
        client.application_uri = CLIENT_URI
        # Within the server's own limit, or the client warns about the revision.
        client.session_timeout = 60_000
        await client.set_security(
            policy,
            self.keys.other_certificate if other else self.keys.client_certificate,
            self.keys.other_key if other else self.keys.client_key,
            mode=mode,
        )
        if user is not None:
            client.set_user(user)
            client.set_password(PASSWORDS[user] if password is None else password)
        return client


MakeCell = Callable[..., AbstractAsyncContextManager[Cell]]


@pytest.fixture(scope="session")
def make_cell(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> MakeCell:
    """Context managers that run a server; ``anonymous``, ``insecure``, ``reals``, ``mes``.

    ``told`` are the events in the cell's journal, which is there only when they are given.
    """

    @asynccontextmanager
    async def make(
        *,
        mes: bool = False,
        clock: Clock | None = None,
        told: Sequence[Event] | None = None,
        **options: Any,
    ) -> AsyncIterator[Cell]:
        tmp_path = tmp_path_factory.mktemp("cell")
        shutil.copy(keys.users, tmp_path / "users.yaml")
        shutil.copytree(keys.server, tmp_path / "pki")
        plan = cell_plan(tmp_path, **options)
        image = ImageBench(plan)
        scan = FakeScan(image)
        store = None
        if mes:
            store = open_store(f"sqlite:///{tmp_path / 'mes.db'}", secrets=tmp_path / "keys")
            with store.session() as session:
                data = master_data.MasterData.model_validate(PARTS)
                master_data.apply(session, data, "tests")
        journal = None
        if told is not None:
            journal = Journal(Path(plan.data))
            journal.tell(*told)
        server = CellServer(
            image.image, scan, store, pki=tmp_path / "pki", clock=clock or MonotonicClock()
        )
        await server.start()
        stop = asyncio.Event()
        loop = asyncio.create_task(server.run(stop, 0.02))
        try:
            yield Cell(server, image, scan, keys, store, journal)
        finally:
            stop.set()
            await loop
            await server.stop()
            image.image.close()
            if journal is not None:
                journal.writer.close()
            if store is not None:
                store.close()

    return make


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cell(make_cell: MakeCell) -> AsyncIterator[Cell]:
    """A secure cell with anonymous reading and a MES, for the whole run."""
    async with make_cell(anonymous="read", mes=True) as running:
        yield running


@pytest.fixture(autouse=True)
def quiet_library(caplog: pytest.LogCaptureFixture) -> None:
    """asyncua logs every refusal with a traceback; here refusals are what is tested."""
    caplog.set_level("CRITICAL", logger="asyncua")
