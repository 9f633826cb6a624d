"""Camera behind a frame ring in shared memory, for cameras that are processes of their own.

Used by the vision worker through the camera seam. It never returns a frame older than its own
trigger, and it finds the ring again when the producing process was restarted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

from pydantic import Field

from cellwright.io.cameras.base import Camera, CameraError, CameraOptions, Frame
from cellwright.io.cameras.frames import (
    FrameError,
    FrameRestartedError,
    FrameRing,
    FrameTimeoutError,
    RingFrame,
)

_RETRY_PAUSE_S = 0.02


class SharedMemoryCameraOptions(CameraOptions):
    """Options of ``shared-memory-camera``."""

    path: str = Field(min_length=1)
    """Name of the frame ring (a file ``cellwright-frames-<name>`` in /dev/shm), or a path."""
    size: tuple[int, int]
    """Width and height in pixels that the ring must have."""
    timeout_s: float = Field(1.0, gt=0, le=60)
    """Longest wait for one frame; a caller may ask for less, never for more."""


class SharedMemoryCamera(Camera[SharedMemoryCameraOptions]):
    """Triggers and reads frames of a producer in another process."""

    Options: ClassVar[type[CameraOptions]] = SharedMemoryCameraOptions

    def __init__(
        self,
        name: str,
        options: SharedMemoryCameraOptions,
        *,
        now_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(name, options)
        self._now_ns = now_ns
        self._sleep = sleep
        self._ring: FrameRing | None = None

    def open(self) -> None:
        """Attach to the ring; raises CameraError when it is missing or has another size."""
        if self._ring is not None:
            return
        try:
            ring = FrameRing.attach(self.options.path, now_ns=self._now_ns, sleep=self._sleep)
        except FrameError as error:
            raise CameraError(f"camera {self.name}: {error}") from error
        width, height = self.options.size
        if (ring.width, ring.height) != (width, height):
            found = f"{ring.width} x {ring.height}"
            ring.close()
            raise CameraError(
                f"camera {self.name}: {ring.path} gives {found} pixels, the configuration says "
                f"{width} x {height}; correct the camera's 'size'"
            )
        self._ring = ring

    def capture(self, timeout_s: float) -> Frame:
        """Trigger one exposure and wait for it, at most ``timeout_s`` and the option's limit.

        A producer that restarts meanwhile is triggered again within the same time.
        """
        limit_s = min(timeout_s, self.options.timeout_s)
        deadline = self._now_ns() + int(limit_s * 1e9)
        while True:
            left_s = (deadline - self._now_ns()) / 1e9
            try:
                frame = self._expose(left_s)
            except FrameTimeoutError as error:
                raise CameraError(f"camera {self.name}: {error}") from error
            except (FrameRestartedError, CameraError) as error:
                self.close()
                if left_s <= _RETRY_PAUSE_S:
                    raise CameraError(
                        f"camera {self.name}: no frame within {limit_s:g} s: {error}"
                    ) from error
                self._sleep(_RETRY_PAUSE_S)
                continue
            except FrameError as error:
                raise CameraError(f"camera {self.name}: {error}") from error
            return Frame(gray=frame.gray, number=frame.number, utc_ns=frame.utc_ns)

    def close(self) -> None:
        """Release the ring."""
        if self._ring is not None:
            self._ring.close()
            self._ring = None

    def _expose(self, left_s: float) -> RingFrame:
        if self._ring is not None and self._ring.stale:
            self.close()
        self.open()
        assert self._ring is not None
        return self._ring.wait(self._ring.request(), left_s)
