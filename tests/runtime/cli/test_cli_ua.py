"""`cellwright ua` against a server with a scan behind it, typed as a person would."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cellwright.io.messages import ModeChanged
from cellwright.io.timing.clock import MonotonicClock
from cellwright.mes.history.append import append, register
from cellwright.mes.history.batch import Batch, Kind
from cellwright.mes.kernel.store import Store
from cellwright.mes.service.catalogue import open_store
from cellwright.opcua_model.security.users import add_user
from cellwright.opcua_model.server import CellServer
from cellwright.runtime.cli import main
from support.opcua_events import Journal, change
from support.opcua_support import START_UTC_NS, FakeScan, ImageBench, cell_plan

NOON_NS = int(datetime(2026, 3, 14, 12, tzinfo=UTC).timestamp()) * 10**9
SPAN = ("--from", "2026-03-14T12:00:00+00:00", "--to", "2026-03-14T12:01:00+00:00")
RECIPE = "ns=4;s=BladeMarking.IO.Memory.recipe"
START = "/Objects/Controller/Resources/PLC1/MethodSet/Start"


@dataclass
class Served:
    """A server in a thread of its own."""

    url: str
    image: ImageBench
    password: Path

    def type(self, *words: str, code: int = 0, user: str | None = "op") -> Printed:
        login = [] if user is None else ["--user", user, "--password-file", str(self.password)]
        done = CliRunner().invoke(
            main.app, ["ua", *words, "--url", self.url, *login], env={"COLUMNS": "80"}
        )
        assert done.exit_code == code, done.output
        return Printed(*("".join(_own(text)) for text in (done.stdout, done.stderr)))


@dataclass
class Printed:
    """What the command printed, without the log of the server in the same process."""

    stdout: str
    stderr: str


def _own(text: str) -> Iterator[str]:
    for line in text.splitlines(keepends=True):
        if not re.match(r"20\d\d-\d\d-\d\d [\d:]+ \[", line):
            yield line


def record(store: Store, tag: str, type_: str, values: list[int]) -> None:
    """A value a second from noon on."""
    with store.session() as session:
        keys = register(session, "BladeMarking", [(tag, type_, Kind.INTEGER)])
        count = len(values)
        batch = Batch(
            np.full(count, keys[tag, type_], np.uint32),
            np.full(count, Kind.INTEGER, np.uint8),
            np.array([NOON_NS + number * 10**9 for number in range(count)], np.int64),
            np.zeros(count, np.uint32),
            np.array(values, np.int64).view(np.uint64),
            [],
        )
        append(session, "BladeMarking", [batch])


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    add_user(folder / "users.yaml", "op", "operator-1", ["Operator"])
    password = folder / "password"
    password.write_text("operator-1\n")
    plan = cell_plan(folder, anonymous="read", alarms=2, history=("recipe",))
    store = open_store(f"sqlite:///{folder / 'mes.db'}", secrets=folder / "keys")
    record(store, "recipe", "INT", [1, 2, 3, 4])
    image = ImageBench(plan)
    Journal(Path(plan.data)).writer.close()
    image.set("air_pressure", 6.5)
    loop, stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    urls: list[str] = []

    async def serve() -> None:
        server = CellServer(
            image.image, FakeScan(image), store, pki=folder / "pki", clock=MonotonicClock()
        )
        await server.start()
        urls.append(f"opc.tcp://127.0.0.1:{server.port}")
        ready.set()
        await server.run(stop, 0.02)
        await server.stop()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(60)
        yield Served(urls[0], image, password)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()
        image.image.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
    with serving(tmp_path_factory.mktemp("served")) as running:
        yield running
    patch.undo()


@pytest.fixture(autouse=True)
def quiet_library(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", logger="asyncua")


def test_the_first_connection_keeps_the_server_and_says_so(served: Served, tmp_path: Path) -> None:
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    try:
        assert "the server's certificate is kept: SHA-1 " in served.type("read", RECIPE).stderr
        assert "certificate" not in served.type("read", RECIPE).stderr
        (kept,) = (tmp_path / "cellwright/opcua/servers").iterdir()
        own = tmp_path / "cellwright/opcua/own/certificate.der"
        kept.write_bytes(own.read_bytes())
        refused = served.type("read", RECIPE, code=1).stderr
        assert "shows another certificate than before" in refused
        assert "--trust-new" in refused
        served.type("read", RECIPE, "--trust-new")
        served.type("read", RECIPE)
    finally:
        patch.undo()


def test_browse_shows_names_and_values_within_eighty_columns(served: Served) -> None:
    shown = served.type("browse", "/Objects/IO", "--depth", "3").stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert "air_pressure" in shown
    assert "6.5" in shown
    found = json.loads(served.type("browse", "/Objects/IO/Memory", "--json").stdout)
    assert {"recipe", "label"} <= {each["name"] for each in found}
    methods = served.type("browse", "/Objects/Controller/Resources/PLC1/MethodSet").stdout
    assert "Start()" in methods


def test_read_tells_type_status_and_times(served: Served) -> None:
    tag = "ns=4;s=BladeMarking.IO.Inputs.remote_io.air_pressure"
    shown = served.type("read", tag).stdout
    assert f"{tag} = 6.5  (Float)" in shown
    assert "source 2026-" in shown
    (told,) = json.loads(served.type("read", tag, "--json").stdout)
    assert (told["value"], told["status"]) == (6.5, "Good")
    folder = served.type("read", "/Objects/IO", code=1)
    assert "BadAttributeIdInvalid" in folder.stdout
    assert "a folder has no value" in folder.stderr


@pytest.mark.parametrize(
    ("node", "value", "shown"),
    [
        (RECIPE, "42", "42"),
        ("ns=4;s=BladeMarking.IO.Memory.label", "Blade 7", "Blade 7"),
        ("ns=4;s=BladeMarking.IO.Memory.dwell", "-1.5", "-1.5"),
    ],
)
def test_write_takes_the_type_of_the_node(
    served: Served, node: str, value: str, shown: str
) -> None:
    assert served.type("write", node, value).stdout == f"{node} = {shown}\n"


@pytest.mark.parametrize(
    ("node", "value", "code", "complaint"),
    [
        (RECIPE, "many", 2, "invalid literal"),
        (RECIPE, "70000", 2, "does not fit: Int16 is from -32768 to 32767"),
        ("ns=4;s=BladeMarking.IO.Inputs.remote_io.air_pressure", "1", 1, "nobody can write"),
        ("ns=4;s=nowhere", "1", 1, "there is no such node"),
        ("/Objects/IO/Nowhere", "1", 1, "/Objects/IO has no 'Nowhere'; it has Inputs, Outputs"),
        ("ns=x;s=y", "1", 2, "is no NodeId"),
        ("recipe", "1", 2, "found in the folder of a running cell"),
    ],
)
def test_what_cannot_be_written_is_told_with_a_remedy(
    served: Served, node: str, value: str, code: int, complaint: str
) -> None:
    assert complaint in served.type("write", node, value, code=code).stderr


def test_call_names_what_it_takes_and_what_it_gives_back(served: Served) -> None:
    shown = served.type("call", START, "trial run").stdout
    assert f"{START}: Good" in shown
    assert "Accepted = true" in shown
    assert "takes Reason; 0 given" in served.type("call", START, code=2).stderr
    denied = served.type("call", START, "x", user=None, code=1).stderr
    assert "the user may not do this" in denied


def test_watch_prints_changes(served: Served) -> None:
    timer = threading.Timer(1.0, lambda: served.image.set("recipe", 77))
    timer.start()
    shown = served.type("watch", RECIPE, "--count", "2", "--interval", "50").stdout
    timer.join()
    assert shown.splitlines()[-1].endswith(f"{RECIPE} = 77")


def test_events_prints_alarms_from_a_severity_on(served: Served) -> None:
    def tell() -> None:
        journal = Journal(Path(served.image.image.plan.data))
        journal.tell(
            ModeChanged(
                task="runtime", utc_ns=START_UTC_NS, old="STOP", new="RUN", actor="", reason=""
            ),
            change("pressure.high", "NORMAL", "UNACKNOWLEDGED"),
        )
        journal.writer.close()

    timer = threading.Timer(1.5, tell)
    timer.start()
    shown = served.type("events", "--count", "1", "--severity", "500").stdout
    timer.join()
    assert "500  air_pressure: Air pressure too high  active, to acknowledge" in shown


@pytest.mark.parametrize(
    ("url", "code", "complaint"),
    [
        ("opc.tcp://127.0.0.1:1", 1, "is the server running"),
        ("http://127.0.0.1:1", 2, "opc.tcp://host:4840"),
    ],
)
def test_a_server_that_is_not_there_is_told(url: str, code: int, complaint: str) -> None:
    done = CliRunner().invoke(main.app, ["ua", "read", "i=2253", "--url", url])
    assert (done.exit_code, complaint in done.stderr) == (code, True), done.stderr


def test_a_wrong_password_is_told(served: Served, tmp_path: Path) -> None:
    wrong: Any = Served(served.url, served.image, tmp_path / "wrong")
    wrong.password.write_text("wrong")
    assert "name or password is wrong" in wrong.type("read", RECIPE, code=1).stderr


def test_history_shows_values_and_aggregates(served: Served) -> None:
    shown = served.type("history", RECIPE, *SPAN).stdout.splitlines()
    assert shown == [f"2026-03-14T12:00:0{n}.000Z  {n + 1}" for n in range(4)]
    assert len(served.type("history", RECIPE, *SPAN, "--limit", "2").stdout.splitlines()) == 2
    lines = served.type("history", RECIPE, *SPAN, "--csv").stdout.splitlines()
    assert lines[:2] == ["time,value,status", "2026-03-14T12:00:00.000Z,1,Good"]
    least = served.type("history", RECIPE, *SPAN, "--aggregate", "maximum", "--interval", "2")
    assert [line.split()[1] for line in least.stdout.splitlines()[:2]] == ["2", "4"]


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        ((RECIPE, "--from", "yesterday"), 2, "is no time"),
        ((RECIPE, *SPAN[2:], "--from", "2026-03-15"), 2, "is not before"),
        ((RECIPE, *SPAN, "--aggregate", "median"), 2, "they are Average, TimeAverage"),
        (("ns=4;s=BladeMarking.IO.Memory.label", *SPAN), 1, "the server keeps no history"),
    ],
)
def test_history_that_cannot_be_had_is_told(
    served: Served, words: tuple[str, ...], code: int, complaint: str
) -> None:
    assert complaint in served.type("history", *words, code=code).stderr
