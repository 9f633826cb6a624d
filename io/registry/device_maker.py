"""Makes the markers and cameras that a plan names; workers ask here for theirs.

A simulated cell gives its workers another maker, whose devices belong to a plant model. Light
enough for the scan process: the devices' modules are loaded when one is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cellwright.io.options import from_plan
from cellwright.io.plan import Device
from cellwright.io.registry.registry import RegistryError, load

if TYPE_CHECKING:
    from cellwright.io.cameras.base import Camera
    from cellwright.io.markers.base import Marker


class DeviceMaker:
    """Devices by the names of the registry."""

    def marker(self, device: Device) -> Marker[Any]:
        """The device's marker, not connected; raises RegistryError."""
        from cellwright.io.markers.base import Marker  # noqa: PLC0415 - see the module's docstring

        kind = load("markers", device.driver)
        if not issubclass(kind, Marker):
            raise RegistryError(f"{kind.__name__} is not a marker; name one with 'driver:'")
        return kind(device.name, from_plan(kind.Options, device.options))

    def camera(self, device: Device) -> Camera[Any]:
        """The device's camera, not opened; raises RegistryError."""
        from cellwright.io.cameras.base import Camera  # noqa: PLC0415 - see the module's docstring

        kind = load("cameras", device.driver)
        if not issubclass(kind, Camera):
            raise RegistryError(f"{kind.__name__} is not a camera; name one with 'driver:'")
        return kind(device.name, from_plan(kind.Options, device.options))


REGISTERED: Final = DeviceMaker()
"""The devices that are installed."""
