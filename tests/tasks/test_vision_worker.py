"""The vision worker with the shared-memory camera and drawn marks, and what it keeps."""

from __future__ import annotations

import errno
import gc
import threading
import time
import weakref
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellwright.io.cameras.base import Frame
from cellwright.io.cameras.frames import FrameRing
from cellwright.io.plan import Device
from cellwright.tasks.api import JobError, WorkerContext
from cellwright.tasks.vision.frames import RejectedFrames, png
from cellwright.tasks.vision.worker import VisionWorker
from tasks.marks import Gray, Look, draw, empty
from tasks.test_marking_worker import plan_for

SIZE = (640, 512)
CONTENT = "1AB23/B-17/S1"
BODY = {"part_id": "p1", "serial": "S1", "expected": CONTENT}


class Scene:
    """A producer of frames: each trigger gets the next frame, the last one for ever."""

    def __init__(self, path: Path, *frames: Gray) -> None:
        self.frames = list(frames)
        self.ring = FrameRing.create(str(path), *SIZE)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        served = 0
        while not self._stop.wait(0.001):
            if self.ring.requested != served:
                served = self.ring.requested
                frame = self.frames.pop(0) if len(self.frames) > 1 else self.frames[0]
                self.ring.publish(frame, served, time.time_ns())

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self.ring.close()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Any]:
    opened: list[Any] = []

    def build(*frames: Gray, **options: Any) -> VisionWorker:
        scene = Scene(tmp_path / "ring", *frames)
        opened.append(scene.stop)
        camera = Device(
            name="camera",
            kind="camera",
            driver="shared-memory-camera",
            options={"path": str(tmp_path / "ring"), "size": list(SIZE), "timeout_s": 20},
        )
        given = {"camera": "camera", "capture_timeout_s": 20.0, **options}
        worker = VisionWorker(WorkerContext("inspect", given, plan_for(tmp_path, camera)))
        worker.open()
        opened.insert(0, worker.close)
        return worker

    yield build
    for close in opened:
        close()


def kept(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "data" / "frames").glob("*"))


def test_a_good_mark_is_ok_and_its_frame_is_not_kept(make: Any, tmp_path: Path) -> None:
    found = make(draw(CONTENT, Look(), 1, size=SIZE).gray).handle("inspect", BODY)
    assert (found["verdict"], found["read"], found["module_errors"]) == ("ok", CONTENT, 0)
    assert found["frame"] == 1
    assert kept(tmp_path) == []


@pytest.mark.parametrize("flip", [(), ((4, 6),), ((4, 6), (7, 7), (9, 3), (11, 5))])
def test_nothing_of_a_frame_stays_in_memory_until_the_collector_looks(
    make: Any, flip: tuple[tuple[int, int], ...]
) -> None:
    worker = make(draw(CONTENT, Look(), 1, size=SIZE, flip=flip).gray)
    capture, frames = worker._camera.capture, []

    def noted(timeout_s: float) -> Frame:
        frame: Frame = capture(timeout_s)
        frames.append(weakref.ref(frame.gray))
        return frame

    worker._camera.capture = noted
    gc.disable()
    try:
        worker.handle("inspect", BODY)
        assert frames
        assert [frame() for frame in frames] == [None] * len(frames)
    finally:
        gc.enable()


def test_a_wrong_dot_is_rejected_and_its_frame_is_kept_by_serial(make: Any, tmp_path: Path) -> None:
    worker = make(draw(CONTENT, Look(), 1, size=SIZE, flip=((4, 6),)).gray)
    found = worker.handle("inspect", BODY)
    assert (found["verdict"], found["wrong_modules"]) == ("not_ok", [[4, 6]])
    assert kept(tmp_path) == ["000000000001_S1.png"]


def test_an_undecidable_frame_is_taken_again(make: Any) -> None:
    good = draw(CONTENT, Look(), 1, size=SIZE).gray
    found = make(empty(Look(), 1, SIZE), good).handle("inspect", BODY)
    assert (found["verdict"], found["frame"]) == ("ok", 2)


def test_captures_are_bounded(make: Any) -> None:
    found = make(empty(Look(), 1, SIZE), captures=3).handle("inspect", BODY)
    assert (found["verdict"], found["frame"]) == ("not_decidable", 3)


def test_the_limits_come_from_the_options(make: Any) -> None:
    worker = make(draw(CONTENT, Look(), 1, size=SIZE, flip=((4, 6),)).gray, max_module_errors=1)
    assert worker.handle("inspect", BODY)["verdict"] == "ok"


def test_an_order_without_content_is_not_decidable(make: Any) -> None:
    worker = make(empty(Look(), 1, SIZE))
    found = worker.handle("inspect", {**BODY, "expected": ""})
    assert found["verdict"] == "not_decidable"
    assert "nothing to compare" in found["reason"]


def test_a_full_or_forbidden_folder_does_not_change_the_verdict(make: Any, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    worker = make(draw(CONTENT, Look(), 1, size=SIZE, flip=((4, 6),)).gray)
    assert worker.handle("inspect", BODY)["verdict"] == "not_ok"


def test_no_frame_is_an_error_of_the_job(tmp_path: Path) -> None:
    camera = Device(
        name="camera",
        kind="camera",
        driver="shared-memory-camera",
        options={"path": str(tmp_path / "absent"), "size": list(SIZE)},
    )
    context = WorkerContext("inspect", {"camera": "camera"}, plan_for(tmp_path, camera))
    worker = VisionWorker(context)
    with pytest.raises(JobError):
        worker.open()
    worker.close()


def test_an_unknown_job_is_refused(make: Any) -> None:
    with pytest.raises(JobError, match="no job 'dance'"):
        make(empty(Look(), 1, SIZE)).handle("dance", {})


def test_only_the_last_rejected_frames_are_kept(tmp_path: Path) -> None:
    frames = RejectedFrames(tmp_path / "frames", 3)
    for number in range(7):
        frames.keep(np.zeros((2, 3), np.uint8), f"S{number}")
    (tmp_path / "frames" / "notes.txt").write_text("not ours")
    frames.keep(np.zeros((2, 3), np.uint8), "../../etc/passwd")
    assert [path.name for path in frames.files()] == [
        "000000000006_S5.png",
        "000000000007_S6.png",
        "000000000008_.._.._etc_passwd.png",
    ]
    assert (tmp_path / "frames" / "notes.txt").exists()
    assert not list((tmp_path / "frames").glob("*.part"))


def test_a_frame_whose_writer_was_killed_is_taken_away_and_other_files_are_not(
    tmp_path: Path,
) -> None:
    (tmp_path / "000000000004_S1.part").write_bytes(b"half a frame")
    (tmp_path / "mine.part").write_bytes(b"not ours")
    RejectedFrames(tmp_path, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.part"]


def test_a_frame_that_cannot_be_stored_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        RejectedFrames(tmp_path, 3).keep(np.zeros((2, 3), np.uint8), "S1")
    assert not list(tmp_path.iterdir())


def test_nothing_is_kept_when_the_limit_is_zero(tmp_path: Path) -> None:
    assert RejectedFrames(tmp_path / "frames", 0).keep(np.zeros((2, 3), np.uint8), "S1") is None
    assert not (tmp_path / "frames").exists()


def test_the_png_holds_every_pixel() -> None:
    gray = np.random.default_rng(1).integers(0, 256, (5, 7), np.uint8)
    data = png(gray)
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert data[16:26] == (7).to_bytes(4, "big") + (5).to_bytes(4, "big") + b"\x08\x00"
    size = int.from_bytes(data[33:37], "big")
    rows = zlib.decompress(data[41 : 41 + size])
    assert b"".join(rows[1 + 8 * row : 8 + 8 * row] for row in range(5)) == gray.tobytes()
