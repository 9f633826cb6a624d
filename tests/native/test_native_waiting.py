"""Waiting and what is asked of the kernel."""

from __future__ import annotations

import errno
import os
import resource
import signal
import threading
import time
from types import FrameType

import pytest

from cellwright.native import ffi, lib


def test_the_clock_is_the_monotonic_one() -> None:
    before = time.monotonic_ns()
    now = lib.cw_now()
    assert before <= now <= time.monotonic_ns()


def test_waiting_ends_at_the_deadline_and_not_before() -> None:
    deadline = lib.cw_now() + 20_000_000
    assert lib.cw_wait_until(deadline, 0) >= deadline


def _sleeps() -> int:
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def test_a_wait_sleeps_until_the_part_that_it_is_to_spend_awake() -> None:
    sleeps = _sleeps()
    deadline = lib.cw_now() + 20_000_000
    assert lib.cw_wait_until(deadline, 5_000_000) >= deadline
    assert _sleeps() > sleeps


def test_a_wait_that_is_to_be_awake_all_along_never_gives_up_the_processor() -> None:
    sleeps = _sleeps()
    for _ in range(5):
        deadline = lib.cw_now() + 2_000_000
        assert lib.cw_wait_until(deadline, 60_000_000_000) >= deadline
    assert _sleeps() == sleeps


@pytest.mark.parametrize("deadline", [-5, 0, 1])
def test_a_deadline_in_the_past_returns_at_once(deadline: int) -> None:
    before = lib.cw_now()
    assert before <= lib.cw_wait_until(deadline, 0) < before + 60_000_000_000


def test_waiting_lets_other_threads_run() -> None:
    ran = threading.Event()
    thread = threading.Thread(target=ran.set)
    deadline = lib.cw_now() + 100_000_000
    thread.start()
    lib.cw_wait_until(deadline, 0)
    thread.join()
    assert ran.is_set()


def test_a_signal_ends_the_waiting_early() -> None:
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)

    old = signal.signal(signal.SIGUSR1, note)
    ended = threading.Event()

    def knock() -> None:
        while not ended.wait(0.05):  # again: the first may come before the waiting has begun
            os.kill(os.getpid(), signal.SIGUSR1)

    knocking = threading.Thread(target=knock)
    knocking.start()
    try:
        deadline = lib.cw_now() + 60_000_000_000
        assert lib.cw_wait_until(deadline, 0) < deadline
    finally:
        ended.set()
        knocking.join()
        signal.signal(signal.SIGUSR1, old)
    assert set(seen) == {signal.SIGUSR1}


def test_the_probe_notes_how_late_each_wake_was() -> None:
    late = ffi.new("int64_t[]", [-1] * 20)
    first = lib.cw_now() + 1_000_000
    lib.cw_wait_probe(first, 100_000, late, 20)
    assert lib.cw_now() >= first + 19 * 100_000 + late[19]
    assert min(late) >= 0


def test_a_word_wakes_who_sleeps_on_it() -> None:
    memory = bytearray(16)
    area = ffi.from_buffer(memory)
    results: list[int] = []

    def sleep() -> None:
        results.append(lib.cw_word_wait(area, 16, 8, 0, 60_000_000_000))

    sleeper = threading.Thread(target=sleep)
    sleeper.start()
    assert lib.cw_word_bump(area, 16, 8) == 0
    sleeper.join(30)
    assert results == [0]
    assert lib.cw_word_load(area, 16, 8) == 1


def test_a_word_that_does_not_change_ends_in_a_time_out() -> None:
    area = ffi.from_buffer(bytearray(16))
    assert lib.cw_word_wait(area, 16, 0, 0, 1_000_000) == -errno.ETIMEDOUT
    assert lib.cw_word_wait(area, 16, 0, 1, 60_000_000_000) == 0


@pytest.mark.parametrize("offset", [1, 2, 13, 16, 2**63])
def test_a_word_outside_its_area_is_refused(offset: int) -> None:
    area = ffi.from_buffer(bytearray(16))
    assert lib.cw_word_wait(area, 16, offset, 0, 0) == -errno.EINVAL
    assert lib.cw_word_bump(area, 16, offset) == -errno.EINVAL
    assert lib.cw_word_load(area, 16, offset) == 0


def test_what_the_kernel_refuses_comes_back_as_its_error() -> None:
    assert lib.cw_schedule_fifo(0) == errno.EINVAL
    assert lib.cw_schedule_fifo(1000) == errno.EINVAL
    assert lib.cw_pin(-1) == errno.EINVAL
    assert lib.cw_pin(100_000) == errno.EINVAL


def test_a_process_is_pinned_scheduled_and_locked_as_far_as_it_may() -> None:
    core = min(os.sched_getaffinity(0))
    child = os.fork()
    if child == 0:
        good = lib.cw_pin(core) == 0 and os.sched_getaffinity(0) == {core}
        fifo, locked = lib.cw_schedule_fifo(1), lib.cw_lock_memory()
        if fifo == 0:
            good &= os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO
        else:
            good &= fifo == errno.EPERM
        good &= locked in (0, errno.EPERM, errno.ENOMEM)
        os._exit(0 if good else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0
