"""A running cell of real processes: its figures are scraped, and its machine is looked at."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prepare import free_port
from prometheus_client.parser import text_string_to_metric_families

from cellwright.runtime.diagnosis.latency_cell import write_cell
from support.small_cell import SmallCell

CLI = [sys.executable, "-m", "cellwright.runtime.cli"]
DEADLINE_S = 60.0
CORE = max(os.sched_getaffinity(0))
ASKED = ("scheduler", "memory", "core")
"""What the scan asks for itself; it tells a refusal in the kernel's words."""


@dataclass
class Cell:
    port: int
    environment: dict[str, str]

    def scrape(self) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def command(self, *words: str) -> str:
        done = subprocess.run(
            [*CLI, *words],
            env=self.environment,
            cwd=self.environment["CELLWRIGHT_RUN"],  # no other cell's folder is above it
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cell]:
    folder = tmp_path_factory.mktemp("cell")
    port = free_port()
    file = write_cell(folder, 20_000_000)
    file.write_text(
        file.read_text()
        .replace("LatencyBench}", "Metered, start: run}")
        .replace(
            "base: 20ms", f"base: 20ms, watchdog: 10s, realtime: {{priority: 5, core: {CORE}}}"
        )
        # No task trips where the machine stands still for a while.
        .replace(", interval:", ", watchdog: 3s, interval:")
        + f"metrics: {{listen: '127.0.0.1:{port}'}}\n"
    )
    environment = {**os.environ, "CELLWRIGHT_RUN": str(tmp_path_factory.mktemp("run"))}
    with subprocess.Popen(
        [*CLI, "run", str(file)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as supervisor:
        try:
            yield Cell(port, environment)
        finally:
            supervisor.send_signal(signal.SIGTERM)
            supervisor.wait(DEADLINE_S)


def values_of(page: str) -> Callable[..., float]:
    """``value(name, label=...)``; KeyError for a sample that is not there."""
    samples = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    return lambda name, **labels: samples[name, frozenset(labels.items())]


def figures_when(cell: Cell, name: str, wanted: float, **labels: str) -> Callable[..., float]:
    """The values once one sample has reached a value."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            value = values_of(cell.scrape())
            if value(name, **labels) >= wanted:
                return value
        except OSError:
            pass  # the gateway does not listen yet
        assert time.monotonic() < deadline, f"{name} did not reach {wanted}"
        time.sleep(0.1)


def test_a_running_cell_without_opcua_serves_its_figures(cell: Cell) -> None:
    figures_when(cell, "cellwright_state", 1, state="RUN")
    name = "cellwright_task_runs_total"
    value = figures_when(cell, name, 5, task="bank")
    for process in ("supervisor", "scan", "journal", "gateway"):
        assert value("cellwright_process_up", process=process) == 1
    lateness = "cellwright_scan_start_lateness_seconds"
    ticks = "cellwright_scan_ticks_total"
    counted = value(f"{lateness}_count")
    # A page is not one instant: cycles go on between its lines.
    assert counted >= value(ticks, result="run")
    more = figures_when(cell, name, value(name, task="bank") + 2, task="bank")
    assert more(ticks, result="run") >= counted
    assert more("cellwright_journal_ok") == 1


@pytest.mark.behaviour(21)
def test_figures_are_served_while_another_program_has_the_port_of_the_opcua_server(
    tmp_path: Path,
) -> None:
    cell, port = SmallCell(tmp_path / "cell", tmp_path / "run"), free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = f"opc.tcp://127.0.0.1:{taken.getsockname()[1]}"
        with cell.file.open("a") as file:
            file.write(f"opcua: {{endpoint: '{endpoint}', anonymous: read}}\n")
            file.write(f"metrics: {{listen: '127.0.0.1:{port}'}}\n")
        with cell.running():
            figures_when(Cell(port, {}), "cellwright_state", 1, state="RUN")
            (log,) = cell.folder.rglob("gateway.jsonl")
            assert "OPC UA server listens" not in log.read_text()


def test_status_and_doctor_say_the_same_of_the_scans_machine(cell: Cell) -> None:
    figures_when(cell, "cellwright_state", 1, state="RUN")
    status = json.loads(cell.command("status", "--json"))
    doctor = json.loads(cell.command("doctor", "--json"))
    assert [row["item"] for row in status["machine"]] == [row["item"] for row in doctor]
    rows = {row["item"]: row for row in doctor}
    assert rows["core"]["finding"] == f"pinned to core {CORE}"
    shown = cell.command("status")
    degraded = [row["item"] for row in doctor if row["state"] == "degraded"]
    assert (f"machine: {', '.join(degraded)} degraded; see 'cellwright doctor'" in shown) == bool(
        degraded
    )
    assert "the scan of cell 'Metered':" in cell.command("doctor")


@pytest.mark.behaviour(21)
def test_the_tag_degraded_says_what_was_refused_and_what_the_machine_lacks(cell: Cell) -> None:
    figures_when(cell, "cellwright_state", 1, state="RUN")
    (tag,) = json.loads(cell.command("tags", "list", "sys.degraded", "--json"))
    doctor = json.loads(cell.command("doctor", "--json"))
    lacking = [row["short"] for row in doctor if row["short"] and row["item"] not in ASKED]
    refused = [row for row in doctor if row["short"] and row["item"] in ASKED]
    words = tag["value"].split("; ") if tag["value"] else []
    assert len(words) >= len(refused)
    told = "; ".join(words[len(refused) :])
    # The tag holds 200 bytes.
    assert "; ".join(lacking).startswith(told)
    assert told == "; ".join(lacking) or len(tag["value"].encode()) > 190
