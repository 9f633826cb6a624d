"""Runs the blade-marking cell in simulation, from an empty folder to the last recorded blade.

It plays the three outsiders of a real cell: the plant (a process behind sockets), the engineer who
types ``cellwright run``, and the planning system that places a job order over OPC UA and watches.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyncua import Client, Node, ua
from asyncua.crypto.cert_gen import generate_private_key, generate_self_signed_app_certificate
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from patience import Patience
from prepare import free_port, prepare
from rich.console import Console

from cellwright.io.plan import CellState
from cellwright.mes.service.catalogue import open_store
from cellwright.mes.shopfloor.parts import counts
from cellwright.opcua_model.security.users import add_user
from cellwright.runtime.config import compile_file
from plant.process import PlantProcess

CELL = "BladeMarking"
ORDER = "DEMO-1"
OPERATOR = "operator"
CALL_TIMEOUT_S = 60.0
ORDER_TIMEOUT_S = 120.0
PART_TIMEOUT_S = 30.0
SETTLE_S = 10.0

console = Console(soft_wrap=True, highlight=False)


@dataclass
class Outcome:
    """What the three witnesses say at the end."""

    arrived: int
    """Blades that the plant has sent through the cell, by its own log."""
    good: int
    rejected: int
    recorded: int
    duplicates: int
    double_marks: int


def main() -> int:
    """Parse the command line, run, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, default=20, help="blades to mark (default 20)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the plant")
    parser.add_argument("--speed", type=float, default=2.0, help="the plant's time against real")
    parser.add_argument("--folder", type=Path, default=Path("demo-data"), help="where it all lies")
    parser.add_argument(
        "--fault",
        action="append",
        help="kind@part[:duration] instead of the two default ones; 'none' for no fault",
    )
    parser.add_argument("--hold", action="store_true", help="keep running until Ctrl-C at the end")
    arguments = parser.parse_args()
    if arguments.parts < 1:
        parser.error("--parts must be at least 1")
    # A demo that is told to end takes its cell and its plant with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # The client library tells what a server has revised; nothing of that matters here.
    logging.getLogger("asyncua").setLevel(logging.ERROR)
    try:
        return asyncio.run(Demo(arguments).run())
    except KeyboardInterrupt:
        return 130


def default_faults(parts: int) -> list[str]:
    """A missing pin in the first third and a wrong dot in the second, when there is room."""
    faults = []
    if parts >= 2:
        faults = [f"missing_pin@{max(1, parts // 4)}", f"wrong_dot@{max(2, parts * 3 // 5)}"]
    return faults


class Demo:
    """One run."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.parts: int = arguments.parts
        self.folder: Path = arguments.folder.resolve()
        self.hold: bool = arguments.hold
        given = arguments.fault or default_faults(self.parts)
        self.faults = tuple(fault for fault in given if fault != "none")
        self.password = secrets.token_urlsafe(12)
        self.opcua_port = 4840 if _is_free(4840) else free_port()
        self.web_port = 8080 if _is_free(8080) else free_port()
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)
        self.plant = PlantProcess(
            parts=self.parts,
            seed=arguments.seed,
            speed=arguments.speed,
            faults=self.faults,
            folder=self.folder,
        )

    def _edit(self, cell: Any) -> None:
        """REST beside OPC UA, and longer watchdogs: a demo runs on an office PC beside all else."""
        cell["web"] = {"listen": f"127.0.0.1:{self.web_port}"}
        cell["scan"]["watchdog"] = {"time": "500ms", "sensitivity": 2}
        for task in cell["tasks"].values():
            task["watchdog"]["sensitivity"] = 20

    async def run(self) -> int:
        """Everything, in order; the exit code."""
        with self.plant:
            file = prepare(
                self.folder,
                modbus_port=self.plant.modbus_port,
                marker_port=self.plant.marker_port,
                camera=self.plant.camera,
                opcua_port=self.opcua_port,
                edit=self._edit,
            )
            add_user(self.folder / "users.yaml", OPERATOR, self.password, ["Operator", "Planner"])
            plan = compile_file(file)
            assert plan.database is not None
            console.print(f"[bold]{CELL}[/]: {self.parts} blades, faults {', '.join(self.faults)}")
            console.print(f"OPC UA    opc.tcp://127.0.0.1:{self.opcua_port} (anonymous: read)")
            console.print(f"          {OPERATOR} / {self.password} (write, job orders)")
            console.print(f"REST      http://127.0.0.1:{self.web_port} (the same user)")
            console.print("look      .venv/bin/cellwright watch    .venv/bin/cellwright status")
            console.print(f"database  {plan.database}")
            cell = _launch(file)
            try:
                try:
                    finished = await self._make_parts(cell)
                except (OSError, TimeoutError, ua.UaError) as error:
                    why = f"the connection to the OPC UA server was lost ({type(error).__name__})"
                    raise SystemExit(self._lost(why)) from error
                outcome = await self._settle(plan.database)
                await asyncio.to_thread(self._read_over_rest)
                if self.hold:
                    console.print("holding; Ctrl-C ends")
                    with suppress(KeyboardInterrupt, asyncio.CancelledError):
                        while cell.poll() is None:
                            await asyncio.sleep(0.5)
            finally:
                code = _end(cell)
        return self._judge(outcome, finished, code)

    # --- the planning system --------------------------------------------------------------------

    async def _make_parts(self, cell: subprocess.Popen[bytes]) -> bool:
        client = await self._connect(cell)
        async with client:
            await client.load_data_type_definitions()
            await self._place_order(client)
            handler = _Progress()
            subscription = await client.create_subscription(100, handler)
            io = await client.get_namespace_index("urn:cellwright:io")
            for name in ("sequence.message", "sequence.part_id", "mark.serial", "inspect.read"):
                node = client.get_node(f"ns={io};s={CELL}.IO.Memory.{name}")
                await subscription.subscribe_data_change(node)
            done = await self._follow(client, cell)
            await subscription.delete()
        return done

    async def _connect(self, cell: subprocess.Popen[bytes]) -> Client:
        certificate, key = self._client_identity()
        patience = Patience(cell.pid)
        while True:
            client = Client(f"opc.tcp://127.0.0.1:{self.opcua_port}", timeout=CALL_TIMEOUT_S)
            client.application_uri = "urn:cellwright:demo"
            client.set_user(OPERATOR)
            client.set_password(self.password)
            try:
                await client.set_security(
                    SecurityPolicyBasic256Sha256,
                    certificate=str(certificate),
                    private_key=str(key),
                    mode=ua.MessageSecurityMode.SignAndEncrypt,
                )
            except (OSError, TimeoutError, ua.UaError):
                if cell.poll() is not None:
                    raise SystemExit("the cell ended before its OPC UA server came up") from None
                if why := patience.ends():
                    raise SystemExit(
                        self._lost(f"the OPC UA server does not come up: {why}")
                    ) from None
                await asyncio.sleep(0.3)
            else:
                return client

    def _lost(self, what: str) -> str:
        return f"{what}; its log is {self.folder / 'data' / 'log' / 'gateway.jsonl'}"

    def _client_identity(self) -> tuple[Path, Path]:
        folder = self.folder / "client"
        folder.mkdir(exist_ok=True)
        key = generate_private_key()
        certificate = generate_self_signed_app_certificate(
            key,
            "Cellwright demo",
            {},
            [x509.UniformResourceIdentifier("urn:cellwright:demo"), x509.DNSName("localhost")],
            [ExtendedKeyUsageOID.CLIENT_AUTH],
            30,
        )
        key_file, certificate_file = folder / "key.pem", folder / "certificate.der"
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.DER))
        return certificate_file, key_file

    async def _place_order(self, client: Client) -> None:
        cell = await client.get_namespace_index("urn:cellwright:cell")
        control = client.get_node(f"ns={cell};s={CELL}.JobManagement.JobOrderControl")
        order = ua.ISA95JobOrderDataType(
            JobOrderID=ORDER,
            WorkMasterID=[ua.ISA95WorkMasterDataType(ID="BLD-7421")],
            MaterialRequirements=[
                ua.ISA95MaterialDataType(MaterialUse="Produced", Quantity=str(self.parts))
            ],
        )
        comment = [ua.LocalizedText("placed by the demo")]
        method = client.get_node(f"ns={cell};s={CELL}.JobManagement.JobOrderControl.StoreAndStart")
        deadline = time.monotonic() + ORDER_TIMEOUT_S
        while True:
            status = await control.call_method(
                method.nodeid, ua.Variant(order), ua.Variant(comment, ua.VariantType.LocalizedText)
            )
            if status in (0, 1):
                console.print(f"job order {ORDER} stored and started over OPC UA")
                return
            if time.monotonic() > deadline:
                raise SystemExit(f"StoreAndStart was refused: ReturnStatus {status:#x}")
            await asyncio.sleep(0.5)

    async def _follow(self, client: Client, cell: subprocess.Popen[bytes]) -> bool:
        """Print each blade as its verdict appears in the MES; False when nothing goes on."""
        index = await client.get_namespace_index("urn:cellwright:cell")
        seen = 0
        last_progress = time.monotonic()
        nodes = None
        state = client.get_node(f"ns={index};s={CELL}.Controller.Resources.PLC1.System.state")
        while cell.poll() is None and time.monotonic() - last_progress < PART_TIMEOUT_S:
            if await state.read_value() == CellState.FAULT:
                await asyncio.to_thread(self._operate, "reset", "start")
            if nodes is None:
                nodes = await self._order_nodes(client, index)
            else:
                serials, verdicts, reasons = await client.read_values(nodes)
                decided = [
                    row
                    for row in zip(serials, verdicts, reasons, strict=True)
                    if row[1] in ("good", "rejected")
                ]
                for number, (serial, verdict, reason) in enumerate(decided[seen:], seen + 1):
                    style = "green" if verdict == "good" else "red"
                    why = f"  {reason}" if reason else ""
                    console.print(f"{number:4d}  {serial or '-':12s} [{style}]{verdict}[/]{why}")
                    last_progress = time.monotonic()
                seen = len(decided)
                # A blade that never got a serial (a stuck clamp) belongs to no order: the plant
                # knows when the last one has left.
                if seen >= self.parts or self.plant.events("finished"):
                    return True
            await asyncio.sleep(0.2)
        return False

    def _operate(self, *requests: str) -> None:
        """Do what an operator does after a fault; a busy office PC may well trip a watchdog."""
        console.print("      [yellow]FAULT: the demo's operator resets the cell and starts it[/]")
        for request in requests:
            subprocess.run(
                [sys.executable, "-m", "cellwright.runtime.cli", request, "--reason", "demo",
                 "--cell", str(self.folder)],
                check=False,
            )  # fmt: skip

    async def _order_nodes(self, client: Client, index: int) -> list[Node] | None:
        folder = client.get_node(f"ns={index};s={CELL}.MES.WorkOrders")
        for order in await folder.get_children():
            names = {
                (await child.read_browse_name()).Name: child for child in await order.get_children()
            }
            if await names["JobOrderID"].read_value() == ORDER:
                return [names["Serials"], names["Verdicts"], names["Reasons"]]
        return None

    # --- the judge ------------------------------------------------------------------------------

    async def _settle(self, database: str) -> Outcome:
        """Wait until the plant has seen the last blade leave, then count in database and log."""
        deadline = time.monotonic() + SETTLE_S
        while not self.plant.events("finished") and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        log = Counter(entry["event"] for entry in self.plant.events())
        store = open_store(database)
        try:
            with store.session() as session:
                found = counts(session)
        finally:
            store.close()
        return Outcome(
            arrived=log["arrived"],
            good=found.good,
            rejected=found.rejected,
            recorded=found.recorded,
            duplicates=found.duplicates,
            double_marks=log["double_mark"],
        )

    def _read_over_rest(self) -> None:
        """Log in and read the order, as an ERP bridge would."""
        base = f"http://127.0.0.1:{self.web_port}"
        login = json.dumps({"username": OPERATOR, "password": self.password}).encode()
        try:
            answer = _fetch(f"{base}/auth/login", login)
            (order,) = _fetch(f"{base}/api/v1/workorders", token=answer["accessToken"])
        except (OSError, ValueError) as error:
            console.print(f"[red]the order cannot be read over REST: {error}[/]")
            return
        console.print(
            f"over REST: {order['id']} {order['status']}, {order['quantityGood']} good, "
            f"{order['quantityScrap']} rejected, {order['progress']:g} %"
        )

    def _judge(self, outcome: Outcome, finished: bool, code: int) -> int:
        lost = outcome.arrived - outcome.recorded
        if not finished:
            console.print("[red]the cell did not finish its parts in time[/]")
        if outcome.double_marks:
            console.print(f"[red]{outcome.double_marks} blades were marked twice[/]")
        if code:
            console.print(f"[red]the cell ended with exit code {code}[/]")
        expected = {
            int(fault.split("@")[1].split(":")[0]) for fault in self.faults if _spoils(fault)
        }
        if outcome.rejected != len(expected):
            console.print(f"[red]{len(expected)} faulty blades, {outcome.rejected} rejected[/]")
        # Plain print: the last line is read by machines too.
        print(
            f"demo: {outcome.arrived} parts, {outcome.good} good, {outcome.rejected} rejected, "
            f"{outcome.recorded} recorded, {lost} lost, {outcome.duplicates} duplicate serials",
            flush=True,
        )
        right = (
            finished
            and code == 0
            and outcome.arrived == self.parts
            and lost == outcome.duplicates == outcome.double_marks == 0
            and outcome.rejected == len(expected)
        )
        return 0 if right else 1


class _Progress:
    """Shows the tags of the cell as they change; what a SCADA screen would show."""

    def __init__(self) -> None:
        self._last = ""

    def datachange_notification(self, node: object, value: object, data: object) -> None:
        """Called by the client for each change."""
        text = str(value)
        if str(node).endswith("sequence.message") and text and text != self._last:
            self._last = text
            console.print(f"      [dim]{text}[/]")


def _launch(file: Path) -> subprocess.Popen[bytes]:
    """What the engineer types; in a session of its own, so that Ctrl-C is ours to pass on."""
    return subprocess.Popen(
        [sys.executable, "-m", "cellwright.runtime.cli", "run", str(file)],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def _fetch(url: str, body: bytes | None = None, *, token: str = "") -> Any:
    """The JSON that the address answers with."""
    headers = {"Content-Type": "application/json"} if body else {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, body, headers)
    with urllib.request.urlopen(request, timeout=CALL_TIMEOUT_S) as answer:
        return json.load(answer)


def _spoils(fault: str) -> bool:
    return fault.partition("@")[0] in ("missing_pin", "wrong_dot", "wrong_content", "stuck_clamp")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _end(cell: subprocess.Popen[bytes]) -> int:
    """Stop the cell in order; its exit code."""
    if cell.poll() is None:
        os.kill(cell.pid, signal.SIGTERM)
    try:
        return cell.wait(30)
    except subprocess.TimeoutExpired:
        cell.kill()
        return cell.wait()


if __name__ == "__main__":
    sys.exit(main())
