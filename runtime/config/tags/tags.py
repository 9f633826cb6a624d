"""Checks each declared tag by itself and against the devices.

Called by the compiler after the devices. What a tag is to the programs is decided later, in
`binding`; what it is on the wire is decided here with the help of `addresses`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cellwright.io.drivers.base import AddressArea
from cellwright.io.files.located_yaml import Entry, Node
from cellwright.io.files.problems import Complaint, Mark, Problems, nearest
from cellwright.io.plan import (
    Address,
    Code,
    Direction,
    Encoding,
    OnLoss,
    SafeAction,
    Scale,
    TagType,
    Value,
    WireOrder,
)
from cellwright.runtime.config.sections import model
from cellwright.runtime.config.sections.validation import decimal_point, validate
from cellwright.runtime.config.tags.addresses import (
    Spelled,
    check_place,
    parse,
    register_number,
    scale_of,
    width,
    wire_type,
)
from cellwright.runtime.config.tags.devices import DeviceDraft, Devices
from cellwright.runtime.config.tags.groups import knots

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)
MAX_NAME: Final = 100
RESERVED: Final = "sys"

#: Keys that say something only about some kinds of tags, and why.
_ONLY_FOR: Final[dict[str, tuple[tuple[Direction, ...], str]]] = {
    "on_loss": ((Direction.INPUT,), "only an input can lose its device"),
    "substitute": ((Direction.INPUT,), "only an input can lose its device"),
    "safe": ((Direction.OUTPUT,), "only outputs are driven to a safe state"),
    "retain": ((Direction.MEMORY,), "inputs are read anew and outputs start at their safe value"),
    "write": ((Direction.OUTPUT, Direction.MEMORY), "the device writes an input"),
    "scale": ((Direction.INPUT, Direction.OUTPUT), "memory has no raw value"),
    "wire": ((Direction.INPUT, Direction.OUTPUT), "memory is not on the wire"),
    "order": ((Direction.INPUT, Direction.OUTPUT), "memory is not on the wire"),
    "encoding": ((Direction.INPUT, Direction.OUTPUT), "memory is not on the wire"),
}


@dataclass(frozen=True, slots=True)
class TagDraft:
    """A declared tag that is right by itself."""

    name: str
    mark: Mark
    type: TagType
    direction: Direction
    model: model.Tag
    address: Address | None
    scale: Scale | None
    on_loss: OnLoss
    safe_action: SafeAction
    safe: Value | None


@dataclass(frozen=True, slots=True)
class Tags:
    """All declared tags; ``broken`` have complaints and cause no further ones."""

    good: dict[str, TagDraft]
    broken: set[str]


def compile_tags(
    entries: Mapping[str, Entry], root: Node, devices: Devices, problems: Problems
) -> Tags:
    """All tags of the section."""
    tags = Tags({}, set())
    folded: dict[str, Entry] = {}
    for name, entry in entries.items():
        before = problems.errors
        _check_name(name, entry, folded, problems)
        draft = _Checker(name, entry, root, devices, problems).check()
        if draft is None or problems.errors > before:
            tags.broken.add(name)
        else:
            tags.good[name] = draft
    _check_overlaps(tags, root, devices, problems)
    return tags


def _check_name(name: str, entry: Entry, folded: dict[str, Entry], problems: Problems) -> None:
    if NAME.fullmatch(name) is None or len(name) > MAX_NAME:
        problems.error(
            entry.mark,
            f"'{name}' is not a name for a tag",
            "programs, OPC UA and the command line must be able to spell it",
            f"use letters, digits, _ and dots between parts, at most {MAX_NAME}",
        )
    if name.casefold().split(".")[0] == RESERVED:
        problems.error(
            entry.mark,
            f"the name '{name}' is reserved",
            f"names that begin with {RESERVED}. belong to the runtime",
            "choose another name",
        )
    twin = folded.setdefault(name.casefold(), entry)
    if twin is not entry:
        problems.error(
            entry.mark,
            f"the tag '{name}' differs from the one in line {twin.mark.line} only in case",
            "names in IEC 61131-3 are not case-sensitive",
            "choose another name",
        )


_Span = tuple[int, int, TagDraft]
"""First and last-plus-one bit or word of a tag."""


class _Checker:
    """One tag on its way from the file to a draft."""

    def __init__(
        self, name: str, entry: Entry, root: Node, devices: Devices, problems: Problems
    ) -> None:
        self.name = name
        self.entry = entry
        self.root = root
        self.devices = devices
        self.problems = problems

    def check(self) -> TagDraft | None:
        if self.entry.node.kind == "void":
            return None
        if self.entry.node.kind != "mapping":
            self.problems.error(
                self.entry.mark,
                f"the tag '{self.name}' is not a mapping",
                "a tag has a type and a place",
                "write it like {type: BOOL, memory: true}",
            )
            return None
        data = self.entry.node.plain()
        path = ("tags", self.name)
        tag = validate(model.Tag, data, self.root, path, self.problems, subject="a tag")
        if tag is None:
            return None
        direction = self._direction(tag)
        if direction is None:
            return None
        for key, (directions, why) in _ONLY_FOR.items():
            unsaid = data.get(key) is None or (key in ("retain", "write") and not data[key])
            if not unsaid and direction not in directions:
                kind = "input" if direction is Direction.INPUT else direction.value
                self.problems.error(
                    self._at(key, key=True),
                    f"'{key}' does not apply to the {kind} tag '{self.name}'",
                    why,
                    f"delete `{key}`",
                )
        type_ = TagType.parse(tag.type)
        address, scale = self._place(tag, type_, direction)
        self._check_values(tag, type_, scale)
        on_loss = self._on_loss(tag, address)
        safe_action, safe = self._safe(tag, type_, direction, scale)
        if type_.code is Code.STRING and safe is not None and address is not None:
            self._check_text(safe, address)
        return TagDraft(
            self.name,
            self.entry.mark,
            type_,
            direction,
            tag,
            address,
            scale,
            on_loss,
            safe_action,
            safe,
        )

    def _at(self, *path: str | int, key: bool = False) -> Mark:
        return self.root.at(("tags", self.name, *path), key=key)

    def _direction(self, tag: model.Tag) -> Direction | None:
        places = {
            "in": tag.in_ is not None,
            "out": tag.out is not None,
            "memory": bool(tag.memory),
        }
        given = [key for key, there in places.items() if there]
        if len(given) == 1:
            named = {
                "in": Direction.INPUT,
                "out": Direction.OUTPUT,
                "memory": Direction.MEMORY,
            }
            return named[given[0]]
        if given:
            self.problems.error(
                self._at(given[1], key=True),
                f"the tag '{self.name}' has both '{given[0]}' and '{given[1]}'",
                "a value lives in one place",
                "delete one; a second tag can show the same address",
            )
        else:
            self.problems.error(
                self.entry.mark,
                f"the tag '{self.name}' lives nowhere",
                "it has neither 'in' nor 'out' nor 'memory'",
                "add an address, or `memory: true`",
            )
        return None

    def _place(
        self, tag: model.Tag, type_: TagType, direction: Direction
    ) -> tuple[Address | None, Scale | None]:
        if direction is Direction.MEMORY:
            return None, None
        key = "in" if direction is Direction.INPUT else "out"
        mark = self._at(key)
        raw = tag.scale.raw if tag.scale is not None else None
        eng = tag.scale.eng if tag.scale is not None else None
        try:
            spelled = parse((tag.in_ if key == "in" else tag.out) or "")
            device = self._device(spelled)
            if device is None:
                return None, None
            area = device.areas.get(spelled.area)
            if area is None:
                raise Complaint(
                    f"'{spelled.device}' has no area '{spelled.area}'",
                    f"{device.driver} has {', '.join(device.areas)}",
                    nearest(spelled.area, device.areas),
                )
            if direction is Direction.OUTPUT and not area.writable:
                writable = [name for name, known in device.areas.items() if known.writable]
                raise Complaint(
                    f"{area.name} of '{device.name}' cannot be written",
                    "the device allows reading only",
                    f"use {' or '.join(writable) or 'another device'}, or make the tag an `in`",
                )
            wire = wire_type(type_, area, spelled.bit, raw, tag.wire)
            check_place(spelled, wire, area)
            order = WireOrder(tag.order) if tag.order is not None else device.order
            encoding = Encoding(tag.encoding) if tag.encoding is not None else device.encoding
            if tag.encoding is not None and type_.code is not Code.STRING:
                raise Complaint(f"{type_} has no encoding", "only texts have", "delete `encoding`")
            scale = scale_of(type_, wire, raw, eng)
            self._check_number(spelled, mark)
        except Complaint as complaint:
            self.problems.complain(mark, complaint)
            return None, None
        address = Address(
            spelled.device,
            spelled.area,
            spelled.index,
            wire,
            bit=spelled.bit,
            order=order,
            encoding=encoding if type_.code is Code.STRING else Encoding.UTF_8,
        )
        return address, scale

    def _check_number(self, spelled: Spelled, mark: Mark) -> None:
        index = register_number(spelled)
        if index is not None:
            self.problems.warning(
                mark,
                f"the index {spelled.index} looks like a register number",
                f"indexes count from 0: the register number {spelled.index} is the index {index}",
                f"write {spelled.device}.{spelled.area}[{index}],"
                f" or let it be if the device really counts up to {spelled.index}",
            )

    def _device(self, spelled: Spelled) -> DeviceDraft | None:
        device = self.devices.good.get(spelled.device)
        if device is None and spelled.device not in self.devices.broken:
            raise Complaint(
                f"no device is called '{spelled.device}'",
                "an address begins with a device of this file",
                nearest(spelled.device, self.devices.good),
            )
        if device is not None and not device.areas:
            fields = [name for name, known in self.devices.good.items() if known.areas]
            raise Complaint(
                f"'{device.name}' is a {device.kind}",
                "only field devices have addresses",
                nearest(spelled.device, fields),
            )
        return device

    def _check_values(self, tag: model.Tag, type_: TagType, scale: Scale | None) -> None:
        if tag.range is not None and type_.code in (Code.BOOL, Code.STRING):
            self.problems.error(
                self._at("range"), f"{type_} has no range", "only numbers have", "delete `range`"
            )
        if tag.unit and type_.code in (Code.BOOL, Code.STRING):
            self.problems.error(
                self._at("unit"), f"{type_} has no unit", "only numbers have", "delete `unit`"
            )
        for key in ("initial", "substitute"):
            value = getattr(tag, key)
            if value is not None:
                self._value(key, value, tag, type_)

    def _value(self, key: str, value: Any, tag: model.Tag, type_: TagType) -> Value | None:
        try:
            checked = type_.check(value)
        except (ValueError, OverflowError) as error:
            self.problems.error(
                self._at(key),
                f"'{key}' does not fit into the type {type_}",
                str(error),
                decimal_point(value) or f"write a value that {type_} holds",
            )
            return None
        numbers = [
            item
            for item in (checked if isinstance(checked, list) else [checked])
            if isinstance(item, int | float) and not isinstance(item, bool)
        ]
        if tag.range is not None:
            low, high = tag.range
            if any(not low <= item <= high for item in numbers):
                self.problems.error(
                    self._at(key),
                    f"'{key}' lies outside the range of '{self.name}'",
                    f"the range is {low:g} to {high:g} (line {self._at('range').line})",
                    "correct the value or the range",
                )
        return checked

    def _check_text(self, safe: Value, address: Address) -> None:
        """A safe text must get to the device as it is."""
        for text in map(str, safe if isinstance(safe, list) else [safe]):
            try:
                data = text.encode(address.encoding)
            except UnicodeEncodeError as error:
                why = f"{address.encoding.value} has no '{text[error.start]}'"
            else:
                if len(data) <= address.wire.length:
                    continue
                why = f"it takes {len(data)} bytes in the device, which has {address.wire.length}"
            self.problems.error(
                self._at("safe"),
                f"the safe value of '{self.name}' cannot be written",
                why,
                "choose another text, or another `encoding` or `wire`",
            )

    def _on_loss(self, tag: model.Tag, address: Address | None) -> OnLoss:
        if tag.on_loss is not None:
            if tag.substitute is not None and tag.on_loss != "substitute":
                self.problems.error(
                    self._at("substitute", key=True),
                    f"the substitute of '{self.name}' would never be used",
                    f"its 'on_loss' is {tag.on_loss} (line {self._at('on_loss').line})",
                    "delete one of the two",
                )
            return OnLoss(tag.on_loss)
        if tag.substitute is not None:
            return OnLoss.SUBSTITUTE
        return self.devices.good[address.device].on_loss if address is not None else OnLoss.HOLD

    def _safe(
        self, tag: model.Tag, type_: TagType, direction: Direction, scale: Scale | None
    ) -> tuple[SafeAction, Value | None]:
        if direction is not Direction.OUTPUT:
            return SafeAction.OFF, None
        if tag.safe is None:
            self.problems.error(
                self.entry.mark,
                f"the output '{self.name}' has no safe action",
                "it must be known what is written when the cell stops or dies",
                "add `safe: false` (or another value), `safe: hold` or `safe: off`",
            )
            return SafeAction.OFF, None
        if tag.safe == "hold":
            return SafeAction.HOLD, None
        if tag.safe == "off":
            return SafeAction.OFF, None
        safe = self._value("safe", tag.safe, tag, type_)
        if safe is not None and tag.scale is not None:
            low, high = sorted(tag.scale.eng)
            values = safe if isinstance(safe, list) else [safe]
            if any(not low <= float(item) <= high for item in values):
                self.problems.error(
                    self._at("safe"),
                    f"the safe value of '{self.name}' cannot be written",
                    f"its scale goes from {low:g} to {high:g}",
                    "choose a value within the scale, or `off`",
                )
        return SafeAction.VALUE, safe


def _check_overlaps(tags: Tags, root: Node, devices: Devices, problems: Problems) -> None:
    """Two outputs on one address: whoever writes last would win, by chance."""
    outputs: dict[tuple[str, str], list[_Span]] = {}
    inputs: dict[tuple[str, str], list[_Span]] = {}
    for draft in tags.good.values():
        address = draft.address
        if address is None:
            continue
        area = devices.good[address.device].areas[address.area]
        place = (address.device, address.area)
        length = width(address.wire, area)
        if draft.direction is Direction.INPUT:
            inputs.setdefault(place, []).append((address.index, address.index + length, draft))
            continue
        unit = 1 if area.bits else 16
        start = address.index * unit + (address.bit or 0)
        end = start + (1 if address.bit is not None else length * unit)
        outputs.setdefault(place, []).append((start, end, draft))
    for (device, area_name), spans in outputs.items():
        _sweep(f"{device}.{area_name}", spans, root, problems)
    for (device, area_name), spans in inputs.items():
        _check_knots(devices.good[device].areas[area_name], spans, root, problems)


def _check_knots(area: AddressArea, spans: Sequence[_Span], root: Node, problems: Problems) -> None:
    """Inputs may share addresses, but what overlaps must travel in one request."""
    ordered = sorted(spans, key=lambda span: span[:2])
    for start, end in knots([span[:2] for span in ordered]):
        if end - start > area.per_request:
            last = max((span for span in ordered if start <= span[0] < end), key=lambda s: s[1])
            problems.error(
                root.at(("tags", last[2].name, "in")),
                f"'{last[2].name}' and the inputs that it overlaps take {end - start} addresses",
                f"one request carries {area.per_request} and a value is never torn",
                "make the arrays smaller or keep them from overlapping",
            )


def _sweep(where: str, spans: Sequence[_Span], root: Node, problems: Problems) -> None:
    ordered = sorted(spans, key=lambda span: span[0])
    last_end, last = 0, None
    for start, end, draft in ordered:
        if last is not None and start < last_end:
            first, second = sorted((last, draft), key=lambda tag: tag.mark)
            place = root.at(("tags", first.name, "out"))
            problems.error(
                root.at(("tags", second.name, "out")),
                f"the outputs '{first.name}' (line {place.line}) and '{second.name}' overlap",
                f"both write to {where}[{_index(draft)}]",
                "give one of them another address",
            )
        if end > last_end:
            last_end, last = end, draft


def _index(draft: TagDraft) -> int:
    return draft.address.index if draft.address is not None else 0
