"""The plant seam: what stands behind a cell's devices when the whole cell runs in simulated time.

A simulated cell (`cellwright.runtime.simulation`) makes one plant model, gives it time, polls its
inputs, writes its outputs and hands its markers and cameras to the workers. A model lives in the
cell's folder, never asks the computer for the time and draws lots from its seed only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import Field

from cellwright.io.options import Options
from cellwright.io.plan import Device, Plan
from cellwright.io.registry.device_maker import DeviceMaker
from cellwright.io.registry.registry import RegistryError
from cellwright.tasks.api.program import Worker, WorkerContext

if TYPE_CHECKING:
    from cellwright.io.cameras.base import Camera
    from cellwright.io.markers.base import Marker


class PlantTime(Protocol):
    """Simulated time, for a plant model and its devices."""

    def now_ns(self) -> int:
        """Monotonic nanoseconds; the clock of the scan."""

    def utc_ns(self) -> int:
        """Wall-clock nanoseconds since 1970-01-01 UTC."""

    def sleep(self, seconds: float) -> None:
        """Let simulated time pass. Only in methods of markers, cameras and workers."""


class PlantOptions(Options):
    """Base of a plant model's options. The docstring under each field explains it."""

    parts: int = Field(0, ge=0)
    """Parts that come; 0: no end."""
    real_vision: bool = False
    """Frames are drawn and read for real, instead of readings that the plant gives."""


O = TypeVar("O", bound=PlantOptions)  # noqa: E741 - the options of a plant model


class PlantModel(ABC, Generic[O]):
    """The world behind the devices of one cell.

    A subclass owes `advance`, `read` and `write`, and `marker` or `camera` when the cell has such
    devices. All methods are called from one thread at a time. A device that does not answer raises
    `cellwright.io.drivers.base.DriverError` in `read` or `write`.
    """

    Options: ClassVar[type[PlantOptions]] = PlantOptions

    def __init__(self, plan: Plan, options: O, seed: int, time: PlantTime) -> None:
        self.plan = plan
        self.options = options
        self.seed = seed
        self.time = time

    @abstractmethod
    def advance(self, now_ns: int) -> None:
        """Go on to that simulated time; never backwards."""

    @abstractmethod
    def read(self, device: str, area: str, start: int, count: int) -> Sequence[int]:
        """``count`` values of an area from index ``start``: bits as 0 and 1, words as 0 to 65535.

        The areas are those of the device's driver (``discrete_inputs``, ``input_registers``, ...).
        """

    @abstractmethod
    def write(self, device: str, area: str, start: int, values: Sequence[int]) -> None:
        """Take outputs; called when they have changed. Bits as 0 and 1, words as 0 to 65535."""

    def marker(self, device: Device) -> Marker[Any]:
        """The marking device of that name; raises RegistryError when the plant has none."""
        raise RegistryError(f"the plant model {type(self).__name__} has no marker '{device.name}'")

    def camera(self, device: Device) -> Camera[Any]:
        """The camera of that name; raises RegistryError when the plant has none."""
        raise RegistryError(f"the plant model {type(self).__name__} has no camera '{device.name}'")

    def worker(self, context: WorkerContext) -> Worker | None:
        """A stand-in for a task's worker, None for the real one.

        What a stand-in replaces is not exercised; its name should say what it gives instead.
        """
        return None

    def job_s(self, task: str, kind: str, random: Random) -> float:
        """Simulated seconds that the computing of a job takes, beside what its devices take."""
        return random.uniform(0.002, 0.02)

    @property
    def finished(self) -> bool:
        """All parts that were to come are through."""
        return False

    def figures(self) -> Mapping[str, int]:
        """What the plant itself has counted: the witness beside the cell's records."""
        return {}

    def close(self) -> None:
        """The simulation is over."""


class PlantDevices(DeviceMaker):
    """Gives workers the plant's markers and cameras."""

    def __init__(self, plant: PlantModel[Any]) -> None:
        self._plant = plant

    def marker(self, device: Device) -> Marker[Any]:
        """The plant's."""
        return self._plant.marker(device)

    def camera(self, device: Device) -> Camera[Any]:
        """The plant's."""
        return self._plant.camera(device)
