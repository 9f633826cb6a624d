"""The camera seam: one triggered grey frame at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from cellwright.io.options import Options


class CameraError(Exception):
    """No frame; the sentence says what was tried and what to do."""


class CameraOptions(Options):
    """Base of a camera's options. The docstring under each field becomes the reference."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One image: ``gray`` is uint8[height, width], 0 black, 255 white."""

    gray: npt.NDArray[np.uint8]
    number: int
    """Counts up by one per frame of this camera."""
    utc_ns: int
    """Time of exposure."""


O = TypeVar("O", bound=CameraOptions)  # noqa: E741 - the options of a camera


class Camera(ABC, Generic[O]):
    """One camera. Used from one worker thread; methods block within their time-outs."""

    Options: ClassVar[type[CameraOptions]]

    def __init__(self, name: str, options: O) -> None:
        self.name = name
        self.options = options

    @abstractmethod
    def open(self) -> None:
        """Acquire the device if it is not held; raises CameraError."""

    @abstractmethod
    def capture(self, timeout_s: float) -> Frame:
        """Trigger one exposure and return that frame, never an older one; raises CameraError."""

    @abstractmethod
    def close(self) -> None:
        """Release the device; never raises."""
