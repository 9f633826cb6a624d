"""Requests a second through the web server, beside a bare Litestar route on uvicorn that returns a
constant, in turns in the same run.

20 clients on raw sockets (a Python HTTP library would be what is measured) in one other process.
The orders are those of the product on SQLite. On two cores the clients take their share of them.
Print it: ``make bench ARGS='-k rest'``.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
import pytest

from support.notes import free_port
from support.rest_bench import prepare

CLIENTS: Final = 20
SECONDS: Final = 3.0
BODY: Final = json.dumps({"partNumber": "TB-1", "quantity": 5}).encode()
ORDER: Final = f"WO-{datetime.now(UTC).year}-000007"
HEAD: Final = "Host: bench\r\nAuthorization: Bearer ada\r\n"
REQUESTS: Final = {
    "GET one order": f"GET /api/v1/workorders/{ORDER} HTTP/1.1\r\n{HEAD}\r\n".encode(),
    "GET 20 orders": f"GET /api/v1/workorders?limit=20 HTTP/1.1\r\n{HEAD}\r\n".encode(),
    "create an order": f"POST /api/v1/workorders HTTP/1.1\r\n{HEAD}"
                       f"Content-Type: application/json\r\n"
                       f"Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY,
}  # fmt: skip


@contextmanager
def server(kind: str, workers: int, folder: Path) -> Iterator[int]:
    """The port of a server of that kind."""
    folder.mkdir()
    if kind == "mes":
        prepare(folder)
    port = free_port()
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "support.rest_bench", kind, str(port), str(number), str(workers),
             str(folder)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )
        for number in range(workers)
    ]  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/ready")
                break
            except httpx.HTTPError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        time.sleep(1.0)  # the second worker, too
        yield port
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)


async def _client(port: int, data: bytes, until: float, times: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while (begun := time.perf_counter()) < until:
        writer.write(data)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head[9:10] in b"2", head
        at = head.lower().index(b"content-length:") + 15
        await reader.readexactly(int(head[at : head.index(b"\r\n", at)]))
        times.append(time.perf_counter() - begun)
    writer.close()


def measured(port: int, data: bytes, seconds: float = SECONDS) -> tuple[float, float]:
    """Requests a second, and the 95th percentile of their time in ms."""

    async def run() -> list[float]:
        times: list[float] = []
        until = time.perf_counter() + seconds
        await asyncio.gather(*(_client(port, data, until, times) for _ in range(CLIENTS)))
        return times

    times = sorted(asyncio.run(run()))
    return len(times) / seconds, times[int(len(times) * 0.95)] * 1e3


@pytest.mark.parametrize("workers", [1, 2])
def test_requests_a_second_beside_a_bare_route(
    benchmark, workers: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def both() -> list[str]:
        lines = []
        with (
            server("mes", workers, tmp_path / "mes") as own,
            server("bare", workers, tmp_path / "bare") as bare,
        ):
            for name, data in REQUESTS.items():
                floor, _ = measured(bare, data)
                rate, p95_ms = measured(own, data)
                lines.append(
                    f"{name}, {workers} workers: {rate:6.0f}/s, p95 {p95_ms:5.1f} ms; bare route "
                    f"{floor:6.0f}/s; ratio {rate / floor:.2f}"
                )
        return lines

    lines = benchmark.pedantic(both, rounds=1, iterations=1)
    with capsys.disabled():
        print("", *lines, sep="\n")
