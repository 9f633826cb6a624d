"""The vision station's worker: camera, reader and verifier, in a process of its own.

It does the station's job ``inspect`` and keeps the frames of parts that are not ok. A verdict never
depends on whether a frame could be stored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import structlog

from cellwright.io.cameras.base import Camera, CameraError, Frame
from cellwright.io.log_once import LogOnce
from cellwright.io.options import from_plan
from cellwright.io.registry.registry import RegistryError
from cellwright.tasks.api import JobError, Worker, WorkerContext
from cellwright.tasks.symbology.data_matrix import SymbolError
from cellwright.tasks.vision.frames import RejectedFrames
from cellwright.tasks.vision.reader import read_marks
from cellwright.tasks.vision.station import VisionOptions
from cellwright.tasks.vision.verify import Limits, MarkVerdict, Verification, verify

_log = structlog.get_logger(__name__)


class VisionWorker(Worker):
    """Takes and judges frames for one `VisionStation`."""

    def __init__(self, context: WorkerContext) -> None:
        super().__init__(context)
        self.options = from_plan(VisionOptions, context.options)
        self._limits = Limits(
            self.options.max_module_errors, self.options.min_unused_error_correction
        )
        self._camera: Camera[Any] = _make_camera(context, self.options.camera)
        self._once = LogOnce(_log)
        self._frames = RejectedFrames(
            Path(context.plan.data) / "frames", self.options.keep_rejected
        )

    def open(self) -> None:
        """Acquire the camera; raises JobError."""
        try:
            self._camera.open()
        except CameraError as error:
            raise JobError(str(error)) from error

    def handle(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        """``inspect``; raises JobError when there is no frame."""
        if kind != "inspect":
            raise JobError(f"the vision worker knows no job '{kind}'")
        expected, serial = str(body["expected"]), str(body["serial"])
        frame, found = self._inspect(expected)
        if found.verdict is not MarkVerdict.OK:
            self._keep(frame, serial)
        return {
            "verdict": found.verdict.value,
            "reason": found.reason,
            "read": found.read,
            "unused_error_correction": found.unused_error_correction,
            "module_errors": found.module_errors,
            "wrong_modules": [list(place) for place in found.wrong_modules],
            "frame": frame.number,
        }

    def close(self) -> None:
        """Release the camera."""
        self._camera.close()

    def _inspect(self, expected: str) -> tuple[Frame, Verification]:
        """Frames until one is decidable, at most ``captures``."""
        for attempt in range(1, self.options.captures + 1):
            frame = self._capture()
            try:
                found = verify(frame.gray, read_marks(frame.gray), expected, self._limits)
            except SymbolError as error:
                return frame, Verification(
                    MarkVerdict.NOT_DECIDABLE, f"nothing to compare: {error}"
                )
            if found.verdict is not MarkVerdict.NOT_DECIDABLE or attempt == self.options.captures:
                break
        return frame, found

    def _capture(self) -> Frame:
        try:
            return self._camera.capture(self.options.capture_timeout_s)
        except CameraError as error:
            raise JobError(f"no frame: {error}") from error

    def _keep(self, frame: Frame, serial: str) -> None:
        try:
            path = self._frames.keep(frame.gray, serial)
        except OSError as error:
            self._once.trouble(
                "frames",
                "rejected_frame_not_kept",
                level="warning",
                cause=type(error).__name__,
                serial=serial,
                error=str(error),
            )
        else:
            self._once.well("frames", "rejected_frames_kept_again")
            _log.info("rejected_frame_kept", serial=serial, path=str(path))


def _make_camera(context: WorkerContext, name: str) -> Camera[Any]:
    try:
        return context.devices.camera(context.plan.device(name))
    except RegistryError as error:
        raise JobError(f"device '{name}': {error}") from error
