"""The scan's own working image: latch, overlay, commit, publish, and fast access for programs.

Used by the scan process only. The work on all tags at once is C; this module builds the tables and
gives programs `get` and `set` (`cellwright.tasks.api.TagAccess`). It never waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from cellwright.io.image import (
    INPUT_HEADER_SIZE,
    STATUS_SIZE,
    Beneath,
    BlockLayout,
    Changes,
    DevicePort,
    Image,
    Reader,
    ValueViews,
    Writer,
    adopt_stamps,
    input_block_size,
    reader,
    store_initial,
    writer,
)
from cellwright.io.plan import Direction, Plan, TagStatus, Value, quality
from cellwright.io.process_image.forces import Forces
from cellwright.io.process_image.parts import assign_part
from cellwright.io.process_image.results import Checkpoint, CommitResult, LatchResult, Stamps
from cellwright.io.process_image.tag_watch import TagWatch
from cellwright.io.process_image.wire import Placed, fill, merge, new_operations, placed_tags
from cellwright.native import Pointer, ffi, lib

_SHORTEST_SILENCE_NS: Final = 200_000_000
_SILENT_POLLS: Final = 10
_OPERATION: Final = ffi.sizeof("struct cw_operation")


class TableError(Exception):
    """The tables do not fit the image; a defect of the program, not of the cell."""


class ProcessImage:
    """The working image of one scan process.

    ``keep_forces`` leaves the forces of a predecessor in place; the supervisor decides that.
    """

    def __init__(self, image: Image, plan: Plan, *, keep_forces: bool = False) -> None:
        self._plan = plan
        self._layout = layout = BlockLayout(plan)
        self._block = ffi.new("uint64_t[]", layout.size // 8)
        view = memoryview(ffi.buffer(self._block)).cast("B")
        self._value_view = view[layout.values : layout.values + layout.value_size]
        self._views = ValueViews(self._value_view)
        self._quality = view[layout.quality : layout.quality + 4 * layout.tags].cast("I")
        self._timestamps = view[layout.timestamps : layout.timestamps + 8 * layout.tags].cast("q")
        self._monotonic = view[layout.monotonic : layout.monotonic + 8 * layout.tags].cast("q")
        self._beneath = Beneath(layout.beneath, view)
        self._forces = Forces(image, plan, layout)
        self._now_ns = 0
        self.on_stamps: Callable[[Stamps], None] | None = None
        """Is told of all stamps that somebody has asked for in this cycle."""
        self._readers = [reader(self._views, tag) for tag in plan.tags]
        self._writers = [writer(self._views, tag) for tag in plan.tags]
        self._setters: list[Writer] = list(self._writers)
        self._unwritten: set[int] = set()
        self._substitutes = bytearray(layout.value_size)
        self._keep: list[Any] = []
        self._groups: list[Any] = []
        self._input_place: dict[int, tuple[int, int]] = {}
        self._set_initial()
        self._table = self._make_table(image)
        self._latched = ffi.new("struct cw_latched *")
        self._committed = ffi.new("struct cw_committed *")
        self._changes = Changes(plan)
        self._publication = self._make_publication(image)
        adopt_stamps(image.area("snapshot"), layout, self._timestamps, self._monotonic)
        self.ended_forces: list[int] = []
        """Tags that a predecessor had forced and that are not forced any more."""
        for index in self._forces.left_behind():
            if keep_forces:
                self._hold(index)
            else:
                self._forces.release(index)
                self.ended_forces.append(index)
        self.region = self._region()
        """Values and qualities, live; for those who compare or hash whole images."""

    # --- the cycle ----------------------------------------------------------------------------

    def latch(self, now_ns: int, utc_ns: int) -> LatchResult:
        """Staged inputs to values, qualities and timestamps, by each tag's ``on_loss``.

        A device whose driver has been silent for ten polls, at least 200 ms, counts as lost.
        """
        latched = self._latched
        self._now_ns = now_ns
        lib.cw_latch(self._table, now_ns, utc_ns, latched)
        if latched.error:
            raise TableError(f"the latch met an operation outside its device ({latched.error})")
        return LatchResult(latched.lost_fault, latched.tripped, latched.fresh)

    def overlay(self) -> None:
        """Put the forced values over the others; quality GOOD_LOCAL_OVERRIDE."""
        forces = self._forces
        if forces.count and lib.cw_overlay(
            self._table, forces.pointer, forces.places, forces.count
        ):
            raise TableError("a forced tag lies outside the value area")

    def commit(self, cycle: int, enabled: bool) -> CommitResult:
        """Outputs, with forces, to the devices; not enabled: their safe values.

        A value outside its range or raw span is sent as the limit and is UNCERTAIN_UNITS_EXCEEDED;
        one that is not a finite number is not sent and is BAD_DEVICE_FAILURE.
        """
        self.overlay()
        committed = self._committed
        lib.cw_commit(self._table, cycle, enabled, committed)
        if committed.error:
            raise TableError(f"the commit met an operation outside its device ({committed.error})")
        return CommitResult(committed.refused, committed.clamped)

    def publish(self, cycle: int, mono_ns: int, utc_ns: int) -> int:
        """Stamp the tags that changed and hand the image to the readers; how many changed."""
        changed = lib.cw_publish(self._table, self._publication, cycle, mono_ns, utc_ns)
        if changed < 0:
            raise TableError(f"the image could not be published ({changed})")
        return changed

    # --- access -------------------------------------------------------------------------------

    def get(self, index: int) -> Value:
        """Value of the tag with that index."""
        return self._readers[index]()  # type: ignore[no-any-return]

    def set(self, index: int, value: Any) -> None:
        """Store a value; raises ValueError naming the tag when its type does not hold it.

        A REAL is rounded to 32 bits.
        """
        self._setters[index](value)

    def getter(self, index: int) -> Reader:
        """A callable that gives the tag's value, for those who ask for it in every cycle."""
        return self._readers[index]

    @property
    def qualities(self) -> memoryview:
        """Status codes of all tags in this cycle, live; to be read only."""
        return self._quality.toreadonly()

    def set_quality(self, index: int, status: int) -> None:
        """Give a tag that was written in this cycle another quality than Good."""
        self._quality[index] = status

    def quality(self, index: int) -> int:
        """OPC UA status code of the tag in this cycle."""
        return self._quality[index]

    def timestamp_ns(self, index: int) -> int:
        """Source timestamp of the tag, UTC nanoseconds."""
        return self._timestamps[index]

    def status(self, index: int) -> TagStatus:
        """Quality, source timestamp and age of the tag in this cycle."""
        stamps = self._stamps(index)
        if self.on_stamps is not None:
            self.on_stamps(stamps)
        age_ns = max(0, self._now_ns - stamps.monotonic_ns) if stamps.monotonic_ns else None
        return TagStatus(self._quality[index], stamps.utc_ns, age_ns)

    def _stamps(self, index: int) -> Stamps:
        return Stamps(index, self._timestamps[index], self._monotonic[index])

    # --- initial and retained values ------------------------------------------------------------

    def initialise(self, *, retained: bool) -> None:
        """Give memory and output tags their initial values; the retained ones only when told."""
        for tag in self._plan.tags:
            if tag.direction in (Direction.MEMORY, Direction.OUTPUT) and (
                retained or not tag.retain
            ):
                self._initialise(tag.index)

    def retained(self) -> dict[str, Value]:
        """Values of the retained tags by name, beneath their forces."""
        beneath = self._beneath
        return {
            tag.name: beneath.value(tag.index) if beneath.hides(tag.index) else self.get(tag.index)
            for tag in self._plan.tags
            if tag.retain
        }

    def restore(self, values: Mapping[str, Value]) -> list[str]:
        """Give retained tags their values; returns the names that could not be used.

        A name that is not a retained tag any more, or a value that its type does not hold, leaves
        the declared initial value in place.
        """
        known = {tag.name: tag for tag in self._plan.tags if tag.retain}
        unused = []
        for name, value in values.items():
            tag = known.get(name)
            if tag is None:
                unused.append(name)
                continue
            try:
                self.set(tag.index, value)
            except ValueError:
                unused.append(name)
        return unused

    def _set_initial(self) -> None:
        substitutes = ValueViews(memoryview(self._substitutes))
        for tag in self._plan.tags:
            self._initialise(tag.index)
            store_initial(
                substitutes, tag, tag.initial if tag.substitute is None else tag.substitute
            )

    def _initialise(self, index: int) -> None:
        tag = self._plan.tags[index]
        self._writers[index](tag.initial)
        if tag.direction is Direction.INPUT:
            self._quality[index] = quality.BAD_WAITING_FOR_INITIAL_DATA
        else:
            self._quality[index] = quality.UNCERTAIN_INITIAL
            self._unwritten.add(index)
            if self._beneath.hides(index):
                self._beneath.hide(index, tag.initial)
            self._choose_setter(index)

    def _choose_setter(self, index: int) -> None:
        """Who has nothing to do beside writing is written by the plain writer."""
        if self._beneath.hides(index):
            self._setters[index] = partial(self._set_beneath, index)
        elif index in self._unwritten:
            self._setters[index] = partial(self._first_set, index)
        else:
            self._setters[index] = self._writers[index]

    def _first_set(self, index: int, value: Any) -> None:
        """The first write makes the tag Good; from then on its plain writer is called."""
        self._writers[index](value)
        self._quality[index] = quality.GOOD
        self._unwritten.discard(index)
        self._choose_setter(index)

    def _set_beneath(self, index: int, value: Any) -> None:
        """The next overlay hides what is written to a forced tag; a retained one keeps it."""
        first = index in self._unwritten
        (partial(self._first_set, index) if first else self._writers[index])(value)
        self._beneath.hide(index, self.get(index))

    def watch(self, tags: Iterable[int]) -> TagWatch:
        """Tells from now on which of these tags have changed; the first time all of them."""
        return TagWatch(self._plan, self._layout, self._block, tags)

    # --- recording and replay -------------------------------------------------------------------

    @property
    def native(self) -> tuple[Pointer, Pointer]:
        """The C table and what the last latch noticed, for the flight recorder."""
        return self._table, self._latched

    def _region(self) -> memoryview:
        values = self._layout.values
        size = lib.cw_record_region(self._table)
        return memoryview(ffi.buffer(self._block)).cast("B")[values : values + size]

    def checkpoint(self) -> Checkpoint:
        """What the next cycle goes on from. Between cycles only."""
        operations, count = self._table.operations, self._table.operation_count
        return Checkpoint(
            bytes(self._region()),
            sorted(self._unwritten),
            bytes(operations[number].known for number in range(count)),
            {index: self._forces.bytes_of(index) for index in self._forces},
        )

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint of the same plan; raises ValueError when it is of another."""
        region = self._region()
        if len(checkpoint.region) != len(region) or (
            len(checkpoint.known) != self._table.operation_count
        ):
            raise ValueError(
                f"a checkpoint of {len(checkpoint.region)} bytes is not of this image, which has "
                f"{len(region)}; replay it with the plan that it was recorded with"
            )
        region[:] = checkpoint.region
        for number, known in enumerate(checkpoint.known):
            self._table.operations[number].known = known
        self._unwritten = set(checkpoint.unwritten)
        for index in list(self._forces):
            self._release(index)
        for index, value in checkpoint.forces.items():
            self._forces.put_bytes(index, value)
            self._hold(index)
        for tag in self._plan.tags:
            self._choose_setter(tag.index)

    # --- forces -------------------------------------------------------------------------------

    @property
    def forced(self) -> Mapping[int, Value]:
        """Forced tags by index, with the forced values."""
        return self._forces

    def force(self, index: int, value: Value) -> None:
        """Hold the tag at a value from the next overlay on; raises ValueError as `set` does."""
        self._forces.put(index, value)
        self._hold(index)

    def unforce(self, index: int | None) -> None:
        """Release one force, or all of them (None).

        An input takes its device's value with the next latch and is UNCERTAIN_LAST_USABLE until
        then; any other tag keeps the forced value until it is written.
        """
        released = list(self._forces) if index is None else [index]
        for one in released:
            if one not in self._forces:
                continue
            self._release(one)
            if one in self._input_place:
                device, group = self._input_place[one]
                self._groups[device][group].quality = _UNAPPLIED
                self._table.devices[device].dirty = 1
                if self._quality[one] == quality.GOOD_LOCAL_OVERRIDE:
                    self._quality[one] = quality.UNCERTAIN_LAST_USABLE
            elif self._quality[one] == quality.GOOD_LOCAL_OVERRIDE:
                self._quality[one] = quality.GOOD

    def _hold(self, index: int) -> None:
        """The forced value is in place: let it count."""
        if self._plan.tags[index].retain and index not in self._forces:
            self._beneath.hide(index, self.get(index))
        self._forces.hold(index)
        self._choose_setter(index)

    def _release(self, index: int) -> None:
        self._forces.release(index)
        self._beneath.show(index)
        self._choose_setter(index)

    # --- tables -------------------------------------------------------------------------------

    def _pointer(self, kind: str, buffer: Any) -> Any:
        pointer = ffi.from_buffer(kind, buffer)
        self._keep += [buffer, pointer]
        return pointer

    def _make_table(self, image: Image) -> Any:
        plan, layout = self._plan, self._layout
        placed = placed_tags(plan)
        operations = new_operations(len(placed))
        devices = ffi.new("struct cw_device[]", max(1, len(plan.devices)))
        parts = ffi.new("uint8_t[]", max(1, layout.tags))
        for number in range(len(plan.devices)):
            self._fill_device(devices[number], image.device(number))
        used = 0
        before: Placed | None = None
        for one in placed:
            fill(operations[used], one.tag, one.group)
            device = devices[one.device]
            group = self._groups[one.device][one.group.index]
            assign_part(one, plan.devices[one.device], parts, group)
            if one.tag.direction is Direction.INPUT:
                self._input_place[one.tag.index] = (one.device, one.group.index)
            together = (
                before is not None and before.device == one.device and before.group is one.group
            )
            before = one
            if together and merge(operations[used - 1], operations[used]):
                ffi.memmove(operations + used, bytes(_OPERATION), _OPERATION)
                continue
            if one.tag.direction is Direction.OUTPUT:
                device.output_first = device.output_first if device.output_count else used
                device.output_count += 1
                group.output = 1
            group.first = group.first if group.count else used
            group.count += 1
            used += 1
        table = ffi.new("struct cw_table *")
        table.block = ffi.cast("uint8_t *", self._block)
        table.block_size = layout.size
        table.values_at, table.value_size = layout.values, layout.value_size
        table.quality_at, table.timestamps_at = layout.quality, layout.timestamps
        table.monotonic_at = layout.monotonic
        table.tag_count = layout.tags
        table.parts = parts
        table.substitutes = self._pointer("uint8_t[]", self._substitutes)
        table.operations, table.operation_count = operations, used
        table.devices, table.device_count = devices, len(plan.devices)
        self._keep += [operations, devices, parts]
        if lib.cw_table_check(table) != 0:
            raise TableError(
                f"the {used} operations do not fit the areas of their devices; the plan "
                f"{plan.source} does not come from this version's compiler"
            )
        return table

    def _fill_device(self, device: Any, port: DevicePort) -> None:
        plan = port.device
        block = ffi.new("uint64_t[]", input_block_size(plan) // 8 or 1)
        groups = ffi.new("struct cw_group[]", max(1, len(plan.groups)))
        self._groups.append(groups)
        device.inputs, device.inputs_size = port.inputs_area.pointer, port.inputs_area.size
        device.block = ffi.cast("uint8_t *", block)
        device.block_size = input_block_size(plan)
        device.payload_at = INPUT_HEADER_SIZE + STATUS_SIZE * len(plan.groups)
        device.payload_size = plan.input_size
        device.status, device.status_size = port.area.pointer, port.area.size
        device.beat_at = DevicePort.beat_ns.offset
        device.trip_at = DevicePort.trip.offset
        device.groups, device.group_count = groups, len(plan.groups)
        for index in range(len(plan.groups)):
            groups[index].quality = _UNAPPLIED
        device.silence_ns = max(_SILENT_POLLS * plan.poll_ns, _SHORTEST_SILENCE_NS)
        device.outputs, device.outputs_size = port.outputs_area.pointer, port.outputs_area.size
        # What a predecessor committed last is what "hold" holds.
        committed = bytearray(plan.output_size)
        port.read_outputs(committed)
        device.committed = self._pointer("uint8_t[]", committed)
        safe = plan.safe_outputs.ljust(plan.output_size, b"\0")
        hold = plan.hold_mask.ljust(plan.output_size, b"\0")
        device.safe = self._pointer("uint8_t[]", safe)
        device.hold = self._pointer("uint8_t[]", hold)
        device.output_size = plan.output_size
        self._keep += [port, block]

    def _make_publication(self, image: Image) -> Any:
        area, changes = image.area("snapshot"), self._changes
        stamped = ffi.new("uint64_t[]", changes.words)
        for tag in self._plan.tags:
            if tag.direction is not Direction.INPUT or tag.index not in self._input_place:
                stamped[tag.index // 64] |= 1 << (tag.index % 64)
        publication = ffi.new("struct cw_publication *")
        publication.area, publication.area_size = area.pointer, area.size
        publication.runs, publication.run_count = changes.runs, changes.run_count
        publication.places, publication.place_count = changes.places, changes.place_count
        publication.stamped = stamped
        publication.bitmap, publication.bitmap_words = changes.bitmap, changes.words
        self._keep += [area, stamped]
        return publication


_UNAPPLIED: Final = 0xFFFF_FFFF
"""Quality of a group whose states were not applied yet; no status code has this value."""
