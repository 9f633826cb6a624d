"""The shared-memory camera behind the camera seam, with a real ring and a producer in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from cellwright.io.cameras.base import CameraError
from cellwright.io.cameras.frames import FrameRing
from cellwright.io.cameras.shared_memory import SharedMemoryCamera, SharedMemoryCameraOptions


class Producer:
    """Answers each trigger with frames of one grey level until it is stopped."""

    def __init__(self, path: Path, level: int) -> None:
        self.ring = FrameRing.create(str(path), 32, 16)
        self._level = level
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        served = 0
        while not self._stop.wait(0.001):
            if self.ring.requested != served:
                served = self.ring.requested
                gray = np.full((16, 32), self._level, np.uint8)
                self.ring.publish(gray, served, time.time_ns())

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self.ring.close()


def make(path: Path, **options: object) -> SharedMemoryCamera:
    values = {"path": str(path), "size": (32, 16), "timeout_s": 10.0, **options}
    return SharedMemoryCamera("camera", SharedMemoryCameraOptions(**values))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ring"


@pytest.fixture
def producer(path: Path) -> Iterator[Producer]:
    producer = Producer(path, 100)
    yield producer
    producer.stop()


def test_a_capture_gives_a_fresh_frame_each_time(path: Path, producer: Producer) -> None:
    camera = make(path)
    camera.open()
    before = time.time_ns()
    frames = [camera.capture(10) for _ in range(3)]
    camera.close()
    assert [frame.number for frame in frames] == [1, 2, 3]
    assert all((frame.gray == 100).all() for frame in frames)
    assert before <= frames[0].utc_ns <= frames[2].utc_ns <= time.time_ns()


def test_capture_opens_the_camera_by_itself(path: Path, producer: Producer) -> None:
    camera = make(path)
    assert camera.capture(10).gray.shape == (16, 32)
    camera.close()


def test_a_restarted_producer_is_found_again(path: Path) -> None:
    camera = make(path)
    first = Producer(path, 1)
    assert (camera.capture(10).gray == 1).all()
    first.stop()
    second = Producer(path, 2)
    assert (camera.capture(10).gray == 2).all()
    second.stop()
    camera.close()


def test_a_producer_that_restarts_during_a_capture_is_triggered_again(path: Path) -> None:
    silent = FrameRing.create(str(path), 32, 16)
    camera = make(path)
    camera.open()
    restarted: list[Producer] = []

    def restart() -> None:
        silent.close()
        time.sleep(0.05)
        restarted.append(Producer(path, 9))

    timer = threading.Timer(0.05, restart)
    timer.start()
    assert (camera.capture(10).gray == 9).all()
    timer.join()
    camera.close()
    restarted[0].stop()


def test_a_missing_ring_says_what_to_start(path: Path) -> None:
    camera = make(path)
    with pytest.raises(CameraError, match=r"camera camera: there is no frame ring .*start"):
        camera.open()
    with pytest.raises(CameraError, match=r"no frame within 0\.05 s: .*there is no frame ring"):
        camera.capture(0.05)


def test_another_size_than_configured_is_refused(path: Path, producer: Producer) -> None:
    camera = make(path, size=(64, 16))
    with pytest.raises(CameraError, match=r"gives 32 x 16 pixels.*64 x 16.*correct"):
        camera.open()


def test_a_silent_producer_is_reported_within_the_shorter_of_both_limits(path: Path) -> None:
    with FrameRing.create(str(path), 32, 16):
        for camera, timeout_s in ((make(path, timeout_s=0.05), 60), (make(path), 0.05)):
            with pytest.raises(CameraError, match=r"within 0\.05 s; it never published a frame"):
                camera.capture(timeout_s)
            camera.close()


def test_closing_twice_or_before_opening_is_harmless(path: Path) -> None:
    camera = make(path)
    camera.close()
    camera.close()


@pytest.mark.parametrize(
    "options",
    [
        {"path": "", "size": (32, 16)},
        {"path": "x"},
        {"path": "x", "size": (32, 16), "timeout_s": 0},
        {"path": "x", "size": (32, 16), "colour": True},
    ],
)
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SharedMemoryCameraOptions.model_validate(options)
