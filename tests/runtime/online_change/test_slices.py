"""Code that runs in turns stands still between them, whatever it does."""

from __future__ import annotations

import importlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from cellwright.runtime.online_change import slices as slices_module
from cellwright.runtime.online_change.slices import (
    CancelledError,
    InTheWayError,
    Slices,
    StillRunsError,
)

FOR_EVER_NS = 60_000_000_000
slices_file = slices_module.__file__


class Clock:
    """Moves by one with each reading."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        self.now += 1
        return self.now


class Turns:
    """Notes when the code is let in."""

    def __init__(self) -> None:
        self.inside = False
        self.entered = 0

    def enter(self) -> None:
        assert not self.inside
        self.inside = True
        self.entered += 1

    def leave(self) -> None:
        assert self.inside
        self.inside = False


Made = Callable[[Callable[[], Any]], tuple[Slices[Any], Clock, Turns]]


@pytest.fixture
def clock() -> Clock:
    """The time of the turns."""
    return Clock()


@pytest.fixture
def made(clock: Clock) -> Iterator[Made]:
    """Lays down code; the thread is ended after the test."""
    slices: Slices[Any] = Slices(clock)

    def begin(work: Callable[[], Any]) -> tuple[Slices[Any], Clock, Turns]:
        turns = Turns()
        slices.begin(work, turns.enter, turns.leave)
        return slices, clock, turns

    yield begin
    slices.close()
    assert not slices._thread.is_alive()


def test_code_goes_on_only_in_its_turns_and_ends_with_its_result(made: Made) -> None:
    seen: list[int] = []

    def work() -> int:
        for number in range(200):
            seen.append(number)
        return sum(seen)

    slices, clock, turns = made(work)
    steps = 0
    while not slices.step(clock.now + 20, clock.now + FOR_EVER_NS):
        steps += 1
        before = list(seen)
        assert not turns.inside
        assert seen == before, "it stands still"
    assert steps > 5
    assert turns.entered == steps + 1
    assert (slices.result, slices.error) == (sum(range(200)), None)
    assert slices.step(0, 0)


def test_what_the_code_raises_is_kept_and_an_exit_is_an_error(made: Made) -> None:
    for error in (ValueError("no"), SystemExit(3), KeyboardInterrupt(), CancelledError()):

        def work(error: BaseException = error) -> None:
            raise error

        slices, clock, turns = made(work)
        while not slices.step(clock.now + FOR_EVER_NS, clock.now + FOR_EVER_NS):
            pass
        assert repr(error) in repr(slices.error) or slices.error is error
        assert not turns.inside


def test_code_that_is_given_up_ends_at_its_next_line(made: Made) -> None:
    ended = threading.Event()

    def work() -> None:
        try:
            # fmt: off
            while True: pass  # noqa: E701 - no line event in it
            # fmt: on
        finally:
            ended.set()

    slices, clock, turns = made(work)
    assert not slices.step(clock.now + 50, clock.now + FOR_EVER_NS)
    slices.cancel()
    assert ended.wait(60)
    while not slices.step(clock.now + 50, clock.now + FOR_EVER_NS):
        pass
    assert not turns.inside
    again, _, _ = made(lambda: 7)
    while not again.step(clock.now + FOR_EVER_NS, clock.now + FOR_EVER_NS):
        pass
    assert again.result == 7


def test_a_call_that_does_not_end_keeps_nobody_waiting(made: Made) -> None:
    gate = threading.Lock()
    gate.acquire()
    slices, clock, turns = made(gate.acquire)
    try:
        for _ in range(3):
            assert not slices.step(clock.now + 50, clock.now + 1_000_000)
        assert not turns.inside, "the beat does not see the code's world while it is in the call"
        with pytest.raises(StillRunsError):
            made(lambda: 7)
    finally:
        gate.release()
    while not slices.step(clock.now + FOR_EVER_NS, clock.now + FOR_EVER_NS):
        pass
    assert slices.result is True
    assert not turns.inside


def test_what_is_done_at_once_is_not_broken_into_turns(made: Made) -> None:
    steps: list[int] = []

    def work() -> None:
        def action() -> None:
            for number in range(100):
                steps.append(number)

        slices.at_once(action)

    slices, clock, _ = made(work)
    lengths = set()
    while not slices.step(clock.now + 3, clock.now + FOR_EVER_NS):
        lengths.add(len(steps))
    assert lengths <= {0, 100}
    assert len(steps) == 100


def test_code_whose_call_ends_between_two_turns_goes_on_in_the_next_one_within_its_line(
    made: Made,
) -> None:
    gate = threading.Lock()
    gate.acquire()
    seen: list[bool] = []

    def work() -> None:
        seen.append(gate.acquire() and turns.inside)

    slices, clock, turns = made(work)
    while not turns.entered:  # the machine may have other work to do than this thread
        assert not slices.step(clock.now + 50, clock.now + 100_000_000)
    assert not turns.inside
    clock.now += 100
    gate.release()
    until(lambda: not slices._rest.locked())
    assert seen == [], "it stands still although its line is not over"
    while not slices.step(clock.now + FOR_EVER_NS, clock.now + FOR_EVER_NS):
        pass
    assert seen == [True]
    assert turns.entered == 2


def test_code_that_holds_a_lock_which_the_beat_wants_is_given_up(clock: Clock) -> None:
    slices: Slices[None] = Slices(clock, patience_ns=100_000_000)
    lock, ended = threading.Lock(), threading.Event()

    def work() -> None:
        try:
            with lock:
                while True:
                    pass
        finally:
            ended.set()

    turns = Turns()
    slices.begin(work, turns.enter, turns.leave)
    while not lock.locked():
        assert not slices.step(clock.now + 20, clock.now + FOR_EVER_NS)
    with lock:
        assert ended.wait(60)
    while not slices.step(clock.now + 50, clock.now + FOR_EVER_NS):
        pass
    assert isinstance(slices.error, InTheWayError)
    assert not turns.inside
    slices.begin(lambda: None, turns.enter, turns.leave)
    while not slices.step(clock.now + FOR_EVER_NS, clock.now + FOR_EVER_NS):
        pass
    assert slices.error is None
    slices.close()


def test_no_rest_is_taken_where_a_lock_of_the_import_system_is_held(made: Made) -> None:
    def work() -> int:
        for _ in range(2):
            sys.modules.pop("this_is_none", None)
            with suppress(ModuleNotFoundError):
                importlib.import_module("this_is_none")
        return 7

    slices, clock, _ = made(work)
    while not slices.step(clock.now + 3, clock.now + FOR_EVER_NS):
        frame = sys._current_frames()[slices._thread.ident or 0]
        while frame is not None and frame.f_code.co_filename == slices_file:
            assert frame.f_back is not None
            frame = frame.f_back
        assert frame.f_globals["__name__"] != "importlib._bootstrap"
    assert slices.result == 7


def test_code_knows_whether_it_is_still_traced(made: Made) -> None:
    def work() -> tuple[bool, bool]:
        before = slices.traced
        sys.settrace(None)
        return before, slices.traced

    slices, clock, _ = made(work)
    while not slices.step(clock.now + FOR_EVER_NS, clock.now + FOR_EVER_NS):
        pass
    assert slices.result == (True, False)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)
