"""The web process beside a cell, and without one: started, watched, killed, ended."""

from __future__ import annotations

import math
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML

from cellwright.runtime.cell.run_folder import known_cells
from support.notes import free_port
from support.small_cell import COMMAND, SmallCell


def until(condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout_s:g} s: {what}")


def status(url: str) -> int:
    try:
        return httpx.get(url, timeout=10).status_code
    except httpx.HTTPError:
        return 0


def cell_with_web(folder: Path, port: int, workers: int) -> SmallCell:
    cell = SmallCell(folder / "cell", folder / "run")
    yaml = YAML()
    made = yaml.load(cell.file)
    made["mes"] = {"database": "sqlite:///mes.db"}
    made["web"] = {"listen": f"127.0.0.1:{port}", "workers": workers}
    yaml.dump(made, cell.file)
    return cell


@pytest.fixture
def port() -> int:
    return free_port()


def pids(cell: SmallCell, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    monkeypatch.setenv("CELLWRIGHT_RUN", str(cell.run))
    (found,) = known_cells()
    _, image = found[0].attach()
    try:
        return {name: slot.pid for name, slot in image.processes.items() if "web" in name}
    finally:
        image.close()


def test_a_cell_serves_its_mes_with_several_workers_and_starts_a_dead_one_again(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = cell_with_web(tmp_path, port, workers=2)
    url = f"http://127.0.0.1:{port}"
    with cell.running():
        until(lambda: status(f"{url}/ready") == 200, "the web server is ready")
        before = until(lambda: all((p := pids(cell, monkeypatch)).values()) and p, "both run")
        assert set(before) == {"web:1", "web:2"}
        assert status(f"{url}/api/v1/workorders") == 401
        page = httpx.get(f"{url}/metrics").text
        assert "cellwright_" in page, "the cell's own figures"
        assert (
            'http_requests_total{method="GET",path="/api/v1/workorders",status_code="401"}' in page
        )
        subprocess.run(["kill", "-9", str(before["web:1"])], check=True)
        until(lambda: pids(cell, monkeypatch)["web:1"] not in (0, before["web:1"]), "it is back")
        until(lambda: status(f"{url}/ready") == 200, "it answers")
    assert status(f"{url}/health") == 0, "it ends with the cell"


def test_a_port_in_use_is_waited_for_and_the_cell_runs(tmp_path: Path, port: int) -> None:
    cell = cell_with_web(tmp_path, port, workers=1)
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with cell.running():
            log = cell.folder / "data" / "log" / "web-1.jsonl"
            until(lambda: log.exists() and "cannot listen" in log.read_text(), "it says so")
            other.close()
            url = f"http://127.0.0.1:{port}/health"
            until(lambda: status(url) == 200, "it listens")


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts ``cellwright mes serve``; ends it by Ctrl-C and holds that this is in order."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        command = [*COMMAND, "mes", "serve", "--database", f"sqlite:///{tmp_path / 'plant.db'}",
                   "--secrets", str(tmp_path), *words]  # fmt: skip
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True)  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.send_signal(signal.SIGINT)
        try:
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
        assert process.returncode == 0, err
        assert "Traceback" not in err


def test_a_plant_server_serves_without_a_cell(
    plant: Callable[..., subprocess.Popen[str]], port: int
) -> None:
    process = plant("--listen", f"127.0.0.1:{port}", "--workers", "2")
    url = f"http://127.0.0.1:{port}"
    until(lambda: status(f"{url}/ready") == 200, "the server is ready")
    assert status(f"{url}/api/v1/workorders") == 401
    assert process.stdout is not None
    assert process.stdout.readline().startswith(f"serving the MES at {url} with 2 workers")
    begun_s = time.monotonic()
    limits = [status(f"{url}/openapi.json") for _ in range(110)]
    # What the sliding minute lets go of meanwhile, if a new one begins.
    let_go = math.ceil(100 * (time.monotonic() - begun_s) / 60)
    assert 0 <= limits.count(200) - 99 <= let_go, "both workers count together, with one above"
    assert set(limits) == {200, 429}


def test_two_servers_never_share_a_port(
    plant: Callable[..., subprocess.Popen[str]], port: int
) -> None:
    first = plant("--listen", f"127.0.0.1:{port}", "--workers", "2")
    until(lambda: status(f"http://127.0.0.1:{port}/ready") == 200, "the first is ready")
    second = plant("--listen", f"127.0.0.1:{port}", "--workers", "2")
    assert second.stderr is not None
    line = next(line for line in second.stderr if "cannot listen" in line)
    assert "another cell or MES server" in line
    assert first.poll() is None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--listen", "0.0.0.0:8080"), "without TLS"),
        (("--listen", "nonsense"), "no address and port"),
        (("--certificate", "x.pem"), "belong together"),
        (("--certificate", "x.pem", "--key", "y.pem"), "there is no file"),
    ],
)
def test_a_server_that_cannot_be_is_refused_with_the_remedy(
    tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    serve = [*COMMAND, "mes", "serve", "--database", "sqlite:///x.db", "--secrets", str(tmp_path)]
    done = subprocess.run([*serve, *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert says in done.stderr
