"""The frame ring: what its client may rely on, also while its producer writes, dies and returns."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.cameras import frames
from cellwright.io.cameras.frames import (
    FrameError,
    FrameRestartedError,
    FrameRing,
    FrameTimeoutError,
    ring_path,
)
from support.campaign import times

# A producer that answers every trigger over and over, as fast as it can. The first four bytes of
# each frame are the CRC of the others, so that a mixture of two frames shows.
BUSY_PRODUCER = """
import sys, zlib
import numpy as np
from cellwright.io.cameras.frames import FrameRing

path, width, height, slots = sys.argv[1], *map(int, sys.argv[2:5])
generator = np.random.default_rng()
pool = []
for _ in range(5):
    gray = generator.integers(0, 256, (height, width), np.uint8)
    flat = gray.reshape(-1)
    flat[:4] = np.frombuffer(zlib.crc32(flat[4:].tobytes()).to_bytes(4, "little"), np.uint8)
    pool.append(gray)
ring = FrameRing.create(path, width, height, slots)
print("ready", flush=True)
count = 0
while True:
    count += 1
    ring.publish(pool[count % len(pool)], ring.requested, count)
"""


class BusyProducer:
    """A process that overwrites the ring without a pause."""

    def __init__(self, path: Path, width: int, height: int, slots: int) -> None:
        self._arguments = [str(path), str(width), str(height), str(slots)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self.process = subprocess.Popen(
            [sys.executable, "-c", BUSY_PRODUCER, *self._arguments],
            stdout=subprocess.PIPE,
            env=environment,
            cwd=path.parent,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def whole(gray: np.ndarray) -> bool:
    flat = gray.reshape(-1)
    return zlib.crc32(flat[4:].tobytes()) == int.from_bytes(flat[:4].tobytes(), "little")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ring"


@pytest.fixture
def producer(path: Path) -> Iterator[FrameRing]:
    with FrameRing.create(str(path), 8, 4, 3) as ring:
        yield ring


@pytest.fixture
def client(producer: FrameRing) -> Iterator[FrameRing]:
    with FrameRing.attach(str(producer.path)) as ring:
        yield ring


def picture(value: int) -> np.ndarray:
    return np.full((4, 8), value, np.uint8)


def test_a_name_lies_in_the_memory_file_system_and_a_path_is_used_as_it_is() -> None:
    assert ring_path("blade-cam") == Path("/dev/shm/cellwright-frames-blade-cam")
    assert ring_path("/tmp/x") == Path("/tmp/x")
    with pytest.raises(FrameError, match="does not name"):
        ring_path("")


def test_the_client_gets_the_frame_that_answers_its_trigger(
    producer: FrameRing, client: FrameRing
) -> None:
    first = client.request()
    assert producer.requested == first
    producer.publish(picture(7), first, 123)
    second = client.request()
    producer.publish(picture(8), second, 456)
    assert client.wait(first, 0).number == 1
    gray, number, utc_ns = client.wait(second, 0)
    assert (gray == 8).all()
    assert (number, utc_ns) == (2, 456)


def test_a_frame_is_a_copy_that_later_frames_do_not_change(
    producer: FrameRing, client: FrameRing
) -> None:
    producer.publish(picture(1), client.request(), 0)
    gray = client.wait(1, 0).gray
    for value in range(2, 8):
        producer.publish(picture(value), 99, 0)
    assert (gray == 1).all()


def test_the_newest_of_several_answers_to_a_trigger_is_given(
    producer: FrameRing, client: FrameRing
) -> None:
    trigger = client.request()
    for value in range(1, 8):
        producer.publish(picture(value), trigger, 0)
    assert client.wait(trigger, 0).number == 7


def test_waiting_ends_when_the_frame_arrives_from_another_thread(
    producer: FrameRing, client: FrameRing
) -> None:
    trigger = client.request()
    timer = threading.Timer(0.05, producer.publish, (picture(5), trigger, 0))
    timer.start()
    assert (client.wait(trigger, 10).gray == 5).all()
    timer.join()


def test_a_trigger_that_nobody_answers_times_out_and_names_the_producer(
    producer: FrameRing, client: FrameRing
) -> None:
    with pytest.raises(FrameTimeoutError, match=rf"never published.*process {os.getpid()}\) runs"):
        client.wait(client.request(), 0.01)


def test_an_older_frame_never_answers_a_newer_trigger(
    producer: FrameRing, client: FrameRing
) -> None:
    producer.publish(picture(1), client.request(), 0)
    with pytest.raises(FrameTimeoutError, match="last frame was number 1"):
        client.wait(client.request(), 0.01)


def test_a_missing_ring_is_named(path: Path) -> None:
    with pytest.raises(FrameError, match=r"there is no frame ring .*start the camera"):
        FrameRing.attach(str(path))


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda data: b"something else entirely" * 3, "is not a frame ring"),
        (lambda data: b"", "is not a frame ring"),
        (lambda data: data[:40], "is not a frame ring"),
        (lambda data: data[:-1], "is damaged"),
        (lambda data: data + b"x", "is damaged"),
        (lambda data: data[:8] + b"\x09" + data[9:], "version 9"),
        (lambda data: data[:32] + b"\xff" * 8 + data[40:], "is damaged"),
    ],
)
def test_a_file_that_is_no_whole_ring_is_refused(producer, damage, complaint) -> None:
    other = producer.path.with_name("damaged")
    other.write_bytes(damage(producer.path.read_bytes()))
    with pytest.raises(FrameError, match=complaint):
        FrameRing.attach(str(other))


@given(head=st.binary(max_size=64))
def test_no_header_makes_attaching_fail_in_another_way_than_frame_error(
    tmp_path_factory: pytest.TempPathFactory, head: bytes
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "ring"
    path.write_bytes((frames.MAGIC.to_bytes(8, "little") + head).ljust(8192, b"\0"))
    with pytest.raises(FrameError):
        FrameRing.attach(str(path))


@pytest.mark.parametrize(
    ("width", "height", "slots"), [(0, 4, 3), (8, 0, 3), (8, 4, 1), (8, 4, 65), (16385, 4, 2)]
)
def test_impossible_sizes_are_refused(path: Path, width: int, height: int, slots: int) -> None:
    with pytest.raises(FrameError, match="cannot make"):
        FrameRing.create(str(path), width, height, slots)


def test_a_ring_in_a_missing_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(FrameError, match="No such file or directory"):
        FrameRing.create(str(tmp_path / "nowhere" / "ring"), 8, 4)


def test_roles_are_kept_apart(producer: FrameRing, client: FrameRing) -> None:
    with pytest.raises(FrameError, match="only the process that created"):
        client.publish(picture(1), 1, 0)
    with pytest.raises(FrameError, match="attach to do so"):
        producer.request()


@pytest.mark.parametrize(
    "gray", [np.zeros((8, 4), np.uint8), np.zeros((4, 8), np.int16), np.zeros(32, np.uint8)]
)
def test_a_frame_of_another_shape_or_type_is_refused(producer, gray) -> None:
    with pytest.raises(FrameError, match=r"takes uint8\[4, 8\]"):
        producer.publish(gray, 1, 0)


def test_a_closed_ring_says_that_it_is_closed(path: Path) -> None:
    ring = FrameRing.create(str(path), 8, 4)
    ring.close()
    ring.close()
    with pytest.raises(FrameError, match="is closed"):
        _ = ring.requested
    assert not path.exists()


def test_a_client_notices_that_the_producer_closed(path: Path) -> None:
    producer = FrameRing.create(str(path), 8, 4)
    with FrameRing.attach(str(path)) as client:
        trigger = client.request()
        assert not client.stale
        producer.close()
        assert client.stale
        with pytest.raises(FrameRestartedError, match="attach again"):
            client.wait(trigger, 30)


def test_a_client_notices_a_producer_that_died_and_came_back(path: Path) -> None:
    first = BusyProducer(path, 64, 64, 2)
    with FrameRing.attach(str(path)) as client:
        client.wait(client.request(), 10)
        first.kill()
        second = BusyProducer(path, 64, 64, 2)
        try:
            assert client.stale
            with FrameRing.attach(str(path)) as again:
                assert whole(again.wait(again.request(), 10).gray)
        finally:
            second.kill()


def test_an_old_producer_that_closes_late_leaves_the_new_ring_alone(path: Path) -> None:
    old = FrameRing.create(str(path), 8, 4)
    with FrameRing.create(str(path), 8, 4):
        old.close()
        with FrameRing.attach(str(path)) as client:
            assert not client.stale


def test_a_dead_producer_is_reported_as_gone(path: Path) -> None:
    producer = BusyProducer(path, 8, 8, 2)
    with FrameRing.attach(str(path)) as client:
        producer.kill()
        with pytest.raises(FrameTimeoutError, match="is gone: start the camera"):
            client.wait(client.request(), 0.05)


@pytest.mark.campaign
def test_no_reader_sees_a_torn_frame_while_producers_write_at_full_speed_and_are_killed(
    path: Path,
) -> None:
    generator = random.Random(4)
    read = rounds = 0
    while rounds < times(3) or read <= times(50):
        rounds += 1
        producer = BusyProducer(path, 320, 240, 2)
        until = time.monotonic() + generator.uniform(0.15, 0.45)
        with FrameRing.attach(str(path)) as client:
            killer = threading.Timer(until - time.monotonic(), producer.kill)
            killer.start()
            last = 0
            try:
                while time.monotonic() < until:
                    frame = client.wait(client.request(), 5)
                    assert whole(frame.gray)
                    assert frame.number > last
                    last = frame.number
                    read += 1
            except FrameTimeoutError:
                pass  # killed between the request and its answer
            finally:
                killer.join()
            # Whatever the kill left behind: what is still readable is whole.
            for trigger in range(client.requested + 1):
                try:
                    assert whole(client.wait(trigger, 0).gray)
                except FrameTimeoutError:
                    continue


@pytest.mark.realtime
def test_figures_of_one_round_trip(path: Path) -> None:
    with (
        FrameRing.create(str(path), 1280, 1024) as producer,
        FrameRing.attach(str(path)) as client,
    ):
        gray = np.zeros((1024, 1280), np.uint8)
        times = []
        for _ in range(50):
            begin = time.perf_counter_ns()
            trigger = client.request()
            producer.publish(gray, trigger, 0)
            client.wait(trigger, 1)
            times.append(time.perf_counter_ns() - begin)
        print(f"publish and read 1280 x 1024: median {sorted(times)[25] / 1e6:.2f} ms")
        assert producer.published == 50
