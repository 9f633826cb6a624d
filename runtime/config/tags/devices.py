"""Resolves the devices of a cell: which class drives each, and are its options right.

Called by the compiler before the tags, which need the areas of the devices. It opens nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from pydantic import BaseModel

from cellwright.io.drivers.base import AddressArea, Driver, DriverOptions
from cellwright.io.files.located_yaml import Entry, Node
from cellwright.io.files.problems import Complaint, Mark, Problems, nearest
from cellwright.io.plan import Encoding, OnLoss, WireOrder
from cellwright.io.registry import registry
from cellwright.runtime.config.sections import model
from cellwright.runtime.config.sections.validation import validate

KINDS: Final[dict[registry.Group, str]] = {
    "drivers": "driver",
    "markers": "marker",
    "cameras": "camera",
}
_FIELD_KEYS: Final = tuple(key for key in model.Device.model_fields if key != "driver")
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class DeviceDraft:
    """A device whose own keys are right."""

    name: str
    mark: Mark
    kind: str
    driver: str
    options: dict[str, Any]
    poll_ns: int
    on_loss: OnLoss
    order: WireOrder
    encoding: Encoding
    gap: int | None
    areas: Mapping[str, AddressArea]
    """Areas by name; empty for markers and cameras."""


@dataclass(frozen=True, slots=True)
class Devices:
    """All devices of the file. ``broken`` are those with complaints; their kind may be known."""

    good: dict[str, DeviceDraft]
    broken: dict[str, str]
    """Name to kind; the kind is empty when the driver is unknown."""

    def kinds(self) -> dict[str, str]:
        """Every device name with its kind."""
        known = {name: draft.kind for name, draft in self.good.items()}
        return known | {name: kind for name, kind in self.broken.items() if kind}


def find_driver(name: str) -> tuple[str, type]:
    """Kind and class behind a driver's name; raises Complaint."""
    for group, kind in KINDS.items():
        if name in registry.names(group):
            try:
                return kind, registry.load(group, name)
            except registry.RegistryError as error:
                raise Complaint(
                    f"the {kind} '{name}' cannot be used",
                    str(error),
                    "install what it needs or choose another",
                ) from error
    known = [name for group in KINDS for name in registry.names(group)]
    raise Complaint(
        f"'{name}' is not a driver, marker or camera",
        "nothing registered has it",
        nearest(name, known),
    )


def compile_devices(
    entries: Mapping[str, Entry], root: Node, folder: Path, base_ns: int, problems: Problems
) -> Devices:
    """All devices of the section; ``base_ns`` is the default poll interval.

    ``folder`` is where relative paths in options begin.
    """
    devices = Devices({}, {})
    for name, entry in entries.items():
        draft, kind = _device(name, entry, root, base_ns, problems, folder=folder)
        if draft is None:
            devices.broken[name] = kind
        else:
            devices.good[name] = draft
    return devices


def _mapping(name: str, entry: Entry, problems: Problems) -> dict[str, Any] | None:
    """What the file says of a device; None when that is not a mapping."""
    if NAME.fullmatch(name) is None:
        problems.error(
            entry.mark,
            f"'{name}' is not a name for a device",
            "addresses and node ids are made of it",
            "use a letter first, then letters, digits and _, at most 64",
        )
    if entry.node.kind == "void":
        return None
    if entry.node.kind != "mapping":
        problems.error(
            entry.mark,
            f"the device '{name}' is not a mapping",
            "a device has a driver and its options",
            "write it like {driver: modbus-tcp, host: 127.0.0.1}",
        )
        return None
    data: dict[str, Any] = entry.node.plain()
    return data


def _device(
    name: str, entry: Entry, root: Node, base_ns: int, problems: Problems, *, folder: Path
) -> tuple[DeviceDraft | None, str]:
    path = ("devices", name)
    data = _mapping(name, entry, problems)
    if data is None:
        return None, ""
    own = {key: data[key] for key in model.Device.model_fields if key in data}
    common = validate(model.Device, own, root, path, problems, subject="a device")
    driver = data.get("driver")
    if not isinstance(driver, str):
        return None, ""
    try:
        kind, driver_class = find_driver(driver)
    except Complaint as complaint:
        problems.complain(root.at((*path, "driver")), complaint)
        return None, ""
    field_device = kind == "driver"
    options_model = cast(type[BaseModel], driver_class.Options)  # type: ignore[attr-defined]
    options = validate(
        options_model,
        {key: value for key, value in data.items() if key not in model.Device.model_fields},
        root,
        path,
        problems,
        subject=f"{kind} {driver}",
        also=("driver", *_FIELD_KEYS) if field_device else ("driver",),
        context={"folder": str(folder)},
    )
    if not field_device:
        _refuse_field_keys(data, kind, root, path, problems)
    if common is None or options is None:
        return None, kind
    areas: tuple[AddressArea, ...] = (
        cast(type[Driver[Any]], driver_class).areas_of(cast(DriverOptions, options))
        if field_device
        else ()
    )
    draft = DeviceDraft(
        name=name,
        mark=entry.mark,
        kind=kind,
        driver=driver,
        options=options.model_dump(mode="json"),
        poll_ns=(common.poll or base_ns) if field_device else 0,
        on_loss=OnLoss(common.on_loss or "hold"),
        order=WireOrder(common.order or "ABCD"),
        encoding=Encoding(common.encoding or "utf-8"),
        gap=common.gap,
        areas={area.name: area for area in areas},
    )
    return draft, kind


def _refuse_field_keys(
    data: Mapping[str, Any], kind: str, root: Node, path: tuple[str, str], problems: Problems
) -> None:
    for key in _FIELD_KEYS:
        if key in data:
            problems.error(
                root.at((*path, key), key=True),
                f"a {kind} takes no '{key}'",
                "only field devices are polled",
                "delete the key",
            )
