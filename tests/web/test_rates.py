"""Limits of requests a minute: for each user, for each address, over all workers."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.web.limits.rates import MINUTE_NS, SLOTS, Rates, TooManyError
from support.notes import serving


class Clock:
    now = 10 * MINUTE_NS

    def __call__(self) -> int:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += int(seconds * 1e9)


def rates(file: Path | None, clock: Clock, worker: int = 0, workers: int = 1) -> Rates:
    return Rates(file, worker=worker, workers=workers, user=10, address=4, now_ns=clock)


def answered(limit: Rates, name: str, tries: int = 100) -> int:
    """How many of the tries are answered."""
    done = 0
    for _ in range(tries):
        try:
            limit.check_user(name)
        except TooManyError:
            continue
        done += 1
    return done


def test_so_many_requests_are_answered_and_no_more() -> None:
    limit = rates(None, Clock())
    assert answered(limit, "ada") == 10
    assert answered(limit, "bob") == 10, "each has its own"
    for _ in range(4):
        limit.check_address("10.0.0.1")
    with pytest.raises(TooManyError):
        limit.check_address("10.0.0.1")
    limit.check_address("10.0.0.2")


def test_after_the_time_that_the_refusal_names_a_request_is_answered() -> None:
    for offset_s in (0.0, 0.5, 29.0, 59.9):
        clock = Clock()
        clock.pass_s(offset_s)
        limit = rates(None, clock)
        assert answered(limit, "ada") == 10
        for _ in range(3):
            with pytest.raises(TooManyError) as refused:
                limit.check_user("ada")
            assert 1 <= refused.value.retry_after_s <= 121
            clock.pass_s(refused.value.retry_after_s)
            assert answered(limit, "ada", 100) >= 1
            assert answered(limit, "ada", 100) == 0


@given(st.lists(st.floats(0, 30), max_size=60))
def test_no_minute_has_more_than_twice_the_limit(pauses: list[float]) -> None:
    clock, times = Clock(), list[int]()
    limit = rates(None, clock)
    for pause in pauses:
        clock.pass_s(pause)
        times += [clock.now] * answered(limit, "ada", 3)
    for begin in times:
        assert sum(begin <= at < begin + MINUTE_NS for at in times) <= 20


def test_workers_count_together_and_one_that_starts_again_finds_its_counts(tmp_path: Path) -> None:
    clock, file = Clock(), tmp_path / "rates"
    first, second = (rates(file, clock, worker, 2) for worker in (0, 1))
    assert answered(first, "ada", 6) == 6
    assert answered(second, "ada") == 4
    first.close()
    assert answered(rates(file, clock, 0, 2), "ada") == 0
    assert file.stat().st_mode & 0o777 == 0o600


def test_an_ipv6_network_is_one_address_and_a_mapped_one_is_its_own() -> None:
    limit = rates(None, Clock())
    for host in range(4):
        limit.check_address(f"2001:db8::{host}")
    with pytest.raises(TooManyError):
        limit.check_address("2001:db8::99")
    limit.check_address("2001:db8:0:1::1")
    for address in ("10.0.0.1", "::ffff:10.0.0.1") * 2:
        limit.check_address(address)
    with pytest.raises(TooManyError):
        limit.check_address("10.0.0.1")


def test_more_names_than_there_is_room_for_push_out_the_least_busy() -> None:
    limit = rates(None, Clock())
    assert answered(limit, "busy") == 10
    for n in range(2 * SLOTS):
        answered(limit, f"user {n}", 1)
    assert answered(limit, "busy") <= 10


def test_over_http_the_limit_is_429_with_the_time_to_wait(tmp_path: Path) -> None:
    clock = Clock()
    with serving(tmp_path, rates=rates(None, clock)) as server:
        headers = {"Authorization": "Bearer ada"}
        with httpx.Client(base_url=server.url) as client:
            statuses = [client.get("/api/v1/notes", headers=headers).status_code for _ in range(12)]
            assert statuses == [200] * 10 + [429] * 2
            paths = ("/nothing", "/api/v1/notes", "/openapi.json", "/nothing", "/x")
            nobody = [client.get(path).status_code for path in paths]
            assert nobody == [404, 401, 200, 404, 429]
            wrong = client.get("/api/v1/notes", headers={"Authorization": "Bearer guess"})
            assert wrong.status_code == 429, "guessing is limited like asking without a token"
            assert wrong.json()["code"] == "too_many_requests"
            assert int(wrong.headers["retry-after"]) >= 1
            for path in ("/health", "/ready", "/metrics"):
                assert [client.get(path).status_code for _ in range(6)] == [200] * 6
            clock.pass_s(120)
            assert client.get("/api/v1/notes", headers=headers).status_code == 200
