"""Clients that are slow, large, many, or gone."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import httpx
import pytest

from cellwright.web.server.protocol import PlantProtocol
from support.notes import Serving, serving

NOTES = "/api/v1/notes"
HEAD = f"POST {NOTES} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ada\r\nContent-Type: application/json\r\n"  # noqa: E501
LIMIT = 100_000


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory):
    """A server that takes bodies up to 100 kB and waits for them for a second."""
    with serving(tmp_path_factory.mktemp("small"), max_body_bytes=LIMIT, body_s=1.0) as running:
        yield running


def connected(server: Serving) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def answer_to(server: Serving, data: bytes) -> tuple[int, dict[str, object]]:
    """Status and body of the answer to raw bytes."""
    with connected(server) as client:
        client.sendall(data)
        return read_answer(client)


def read_answer(client: socket.socket) -> tuple[int, dict[str, object]]:
    received = b""
    while b"\r\n\r\n" not in received:
        data = client.recv(65536)
        assert data, received
        received += data
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(int(n.split(b":")[1]) for n in lines if n.startswith(b"content-length"))
    while len(body) < length:
        body += client.recv(65536)
    return int(head.split()[1]), json.loads(body)


def lives(server: Serving) -> bool:
    return httpx.get(f"{server.url}/health").status_code == 200


def test_a_body_that_is_too_large_is_413_whether_it_says_so_or_not(small: Serving) -> None:
    large = b"x" * (LIMIT + 1)
    with httpx.Client(base_url=small.url, headers={"Authorization": "Bearer ada"}) as client:
        for content in (large, iter([large]), iter([b"x" * 1000] * 200)):
            answer = client.post(
                NOTES, content=content, headers={"Content-Type": "application/json"}
            )
            assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        fits = json.dumps({"title": "a" * 9_000, "quantity": 1}).encode() + b" " * 90_000
        answer = client.post(NOTES, content=fits, headers={"Content-Type": "application/json"})
        assert answer.status_code == 201


def test_a_client_that_asks_before_it_sends_hears_that_it_is_too_large(small: Serving) -> None:
    head = f"{HEAD}Expect: 100-continue\r\nContent-Length: {LIMIT + 1}\r\n\r\n"
    assert answer_to(small, head.encode())[0] == 413


def test_a_body_that_comes_too_slowly_is_408(small: Serving) -> None:
    status, body = answer_to(small, f"{HEAD}Content-Length: 50\r\n\r\n{{".encode())
    assert (status, body["code"]) == (408, "request_timeout")


def test_a_head_that_comes_too_slowly_is_let_go(
    small: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PlantProtocol, "head_s", 0.3)
    with connected(small) as silent, connected(small) as slow:
        slow.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n")
        assert silent.recv(100) == b""
        assert read_answer(slow)[0] == 408
    with connected(small) as second:
        second.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_answer(second)[0] == 200
        second.sendall(b"GET /hea")
        assert read_answer(second)[0] == 408
    assert lives(small)


def test_a_head_without_end_is_431(small: Serving) -> None:
    with connected(small) as client:
        client.sendall(b"GET / HTTP/1.1\r\nX: ")
        for _ in range(40):
            client.sendall(b"y" * 4096)
            time.sleep(0.002)
            client.settimeout(0.001)
            try:
                answer = client.recv(65536, socket.MSG_PEEK)
            except TimeoutError:
                continue
            finally:
                client.settimeout(20)
            if answer:
                break
        assert read_answer(client)[0] == 431


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    ],
)
def test_what_is_no_http_is_400_as_json(small: Serving, data: bytes) -> None:
    status, body = answer_to(small, data)
    assert (status, body["code"]) == (400, "bad_request")


def test_a_client_that_goes_away_in_mid_request_leaves_nothing_behind(small: Serving) -> None:
    before = small.notes.created
    for _ in range(20):
        with connected(small) as client:
            client.sendall(f'{HEAD}Content-Length: 500\r\n\r\n{{"title"'.encode())
        with connected(small) as client:
            client.sendall(b"GET /sleep HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ada\r\n\r\n")
    assert lives(small)
    assert small.notes.created == before


def test_one_connection_serves_many_requests_and_pipelines(small: Serving) -> None:
    get = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    with connected(small) as client:
        for _ in range(3):
            client.sendall(get)
            assert read_answer(client)[0] == 200
        client.sendall(get * 5)
        received = b""
        while received.count(b'{"status":"ok"}') < 5:
            received += client.recv(65536)
        # A refusal keeps the connection, too.
        body = b"[]"
        client.sendall(f"{HEAD}Content-Length: 2\r\n\r\n".encode() + body)
        assert read_answer(client)[0] == 422
        client.sendall(get)
        assert read_answer(client)[0] == 200


def test_a_body_that_nobody_asked_for_disturbs_nothing(small: Serving) -> None:
    body = b'{"a":1}'
    head = f"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with connected(small) as client:
        for _ in range(3):
            client.sendall(head + body)
            assert read_answer(client)[0] == 200


def test_a_slow_action_does_not_hold_up_others(small: Serving) -> None:
    with connected(small) as slow:
        slow.sendall(b"GET /sleep HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ada\r\n\r\n")
        begun = time.monotonic()
        for _ in range(3):
            assert lives(small)
        slow.settimeout(0.001)
        with pytest.raises(TimeoutError):
            slow.recv(1)  # is not answered yet
        slow.settimeout(20)
        assert slow.recv(100).startswith(b"HTTP/1.1 204")
        assert time.monotonic() - begun < 20


def test_the_end_of_the_server_lets_requests_under_way_end(tmp_path: Path) -> None:
    with serving(tmp_path) as server, connected(server) as client:
        client.sendall(b"GET /sleep HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ada\r\n\r\n")
        time.sleep(0.1)
        server.stop.set()
        assert client.recv(100).startswith(b"HTTP/1.1 204")
