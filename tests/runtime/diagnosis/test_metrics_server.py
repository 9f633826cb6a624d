"""The metrics over real sockets: what is answered, to whom, and that nobody can hold it up."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.runtime.diagnosis import metrics_server
from cellwright.runtime.diagnosis.metrics import CONTENT_TYPE, Exporter
from cellwright.runtime.diagnosis.metrics_server import MetricsServer, request_line
from support.scan_bench import Bench, program

TIMEOUT_S = 20.0


class Serving:
    """A metrics server in a thread with a loop of its own."""

    def __init__(self, server: MetricsServer) -> None:
        self.server = server
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        running = asyncio.create_task(self.server.run(self._stop))
        while self.server.address is None and not running.done():
            await asyncio.sleep(0.005)
        self._ready.set()
        await running

    def start(self) -> tuple[str, int]:
        self._thread.start()
        assert self._ready.wait(TIMEOUT_S)
        assert self.server.address is not None
        return self.server.address

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive()


@pytest.fixture
def pages() -> list[str]:
    return ["cellwright_info 1\n"]


@pytest.fixture
def address(pages: list[str]) -> Iterator[tuple[str, int]]:
    serving = Serving(MetricsServer("127.0.0.1", 0, lambda: pages[-1]))
    yield serving.start()
    serving.stop()


def request(
    address: tuple[str, int], method: str = "GET", path: str = "/metrics"
) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection(*address, timeout=TIMEOUT_S)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        connection.close()


def exchange(address: tuple[str, int], sent: bytes) -> bytes:
    """What comes back until the other side closes."""
    with socket.create_connection(address, TIMEOUT_S) as connection:
        connection.sendall(sent)
        received = b""
        while piece := connection.recv(65536):
            received += piece
        return received


def test_a_scrape_gets_the_page_with_the_formats_content_type(
    address: tuple[str, int], pages: list[str]
) -> None:
    status, headers, body = request(address)
    assert (status, body) == (200, "cellwright_info 1\n")
    assert headers["Content-Type"] == CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"
    pages.append("cellwright_info 2\n")
    assert request(address, path="/metrics?x=1")[2] == "cellwright_info 2\n"


def test_the_page_of_a_real_image_arrives_whole(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [], {"idle": program(lambda self, ctx: None)})
    exporter = Exporter(bench.plan, bench.image, bench.clock.now_ns)
    serving = Serving(MetricsServer("127.0.0.1", 0, exporter.page))
    address = serving.start()
    try:
        status, headers, body = request(address)
        assert status == 200
        assert int(headers["Content-Length"]) == len(body.encode())
        assert body == exporter.page()
    finally:
        serving.stop()
        bench.image.close()


def test_a_head_request_gets_the_length_and_no_page(address: tuple[str, int]) -> None:
    status, headers, body = request(address, "HEAD")
    assert (status, headers["Content-Length"], body) == (200, "18", "")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("POST", "/metrics", 405), ("GET", "/metricsx", 404)],
)
def test_other_paths_and_methods_are_refused(
    address: tuple[str, int], method: str, path: str, status: int
) -> None:
    assert request(address, method, path)[0] == status


def test_what_is_no_http_is_refused_and_a_head_without_end_too(address: tuple[str, int]) -> None:
    assert exchange(address, b"\x16\x03\x01 hello\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    endless = b"GET /metrics HTTP/1.1\r\nX: " + b"x" * metrics_server.HEAD_LIMIT
    assert exchange(address, endless).startswith(b"HTTP/1.1 431 ")
    assert request(address)[0] == 200


def test_a_silent_client_is_dropped_and_holds_nobody_up(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_server, "TIMEOUT_S", 2 * TIMEOUT_S)
    with socket.create_connection(address, TIMEOUT_S) as waiting:
        waiting.sendall(b"GET /metrics HT")
        assert request(address)[0] == 200
    monkeypatch.setattr(metrics_server, "TIMEOUT_S", 0.3)
    with socket.create_connection(address, TIMEOUT_S) as silent:
        silent.sendall(b"GET /metrics HT")
        assert silent.recv(100) == b""


def test_more_scrapers_than_allowed_are_told_so(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_server, "CONNECTIONS", 2)
    crowd = [socket.create_connection(address, TIMEOUT_S) for _ in range(2)]
    try:
        assert request(address)[0] == 503
    finally:
        for one in crowd:
            one.close()


def test_a_page_that_cannot_be_made_is_a_500_and_the_next_one_is_served() -> None:
    pages: list[str] = []
    serving = Serving(MetricsServer("127.0.0.1", 0, lambda: pages[0]))
    address = serving.start()
    try:
        assert request(address)[0] == 500
        pages.append("good\n")
        assert request(address)[::2] == (200, "good\n")
    finally:
        serving.stop()


def test_a_port_that_is_taken_is_tried_again_until_it_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics_server, "RETRY_S", 0.05)
    other = socket.create_server(("127.0.0.1", 0))
    port = other.getsockname()[1]
    serving = Serving(MetricsServer("127.0.0.1", port, lambda: "late\n"))
    timer = threading.Timer(0.3, other.close)
    timer.start()
    try:
        assert request(serving.start())[2] == "late\n"
    finally:
        timer.join()
        serving.stop()


def test_the_server_ends_while_a_client_is_connected() -> None:
    serving = Serving(MetricsServer("127.0.0.1", 0, lambda: ""))
    with socket.create_connection(serving.start(), TIMEOUT_S) as waiting:
        waiting.sendall(b"GET /metrics")
        serving.stop()
        assert waiting.recv(100) == b""


@given(head=st.binary(max_size=200))
def test_no_first_line_breaks_the_reader(head: bytes) -> None:
    method, target = request_line(head)
    assert method or not target
    assert method == "" or (method.isalpha() and head.startswith(method.encode("latin-1")))
