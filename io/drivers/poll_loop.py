"""The poll loop around every field device driver: inputs in, outputs out, safe when in doubt.

A device process runs one `DevicePoller` per device. It owns the schedule, quality, back-off,
statistics and the safe state; the driver only moves bytes. It must never send outputs that no
living, enabled scan commits, and never show a value of a failed read as Good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Protocol, TypeVar

import msgspec
import structlog

from cellwright.io.drivers.base import Driver, DriverError, SafeOutputs
from cellwright.io.drivers.device_health import DeviceHealth
from cellwright.io.drivers.divided_read import divided_reads
from cellwright.io.drivers.output_gate import OutputGate, Trip, safe_payload
from cellwright.io.drivers.poll_schedule import PollSchedule
from cellwright.io.plan import Device, PollGroup, quality
from cellwright.io.timing.backoff import BackOffLimits
from cellwright.io.timing.clock import Clock

GUARD_PERIOD_NS: Final = 2_000_000
"""Longest time between two looks at the scan's heartbeat and its committed outputs."""

REFRESH_NS: Final = 80_000_000
"""Outputs are written again after this time, or sooner where the driver's ``feed_ns`` asks it."""

PATIENCE_NS: Final = 5_000_000
"""What a pending request gets to end by itself before safe outputs go out on a new connection."""

READ_BACKS: Final = 3
"""Attempts to learn the outputs to be held before the declared safe ones are written instead."""

FAREWELL_NS: Final = 1_000_000_000
"""How long a loop that ends keeps trying to write the safe outputs."""

_NEVER: Final = 1 << 62

T = TypeVar("T")

_log = structlog.get_logger(__name__)


class OutputHeader(Protocol):
    """What the scan says about the outputs that it committed last."""

    @property
    def cycle(self) -> int: ...
    @property
    def enabled(self) -> bool: ...


class Port(Protocol):
    """A device's part of the image (`DevicePort`) as its driver process sees it."""

    trip: int
    connected: bool
    requests: int
    failures: int
    reconnects: int
    last_ns: int
    max_ns: int
    back_off_ns: int
    error: str

    def publish_inputs(
        self,
        payload: bytes | bytearray,
        statuses: Sequence[tuple[int, int]],
        now_ns: int,
        absent: Sequence[int] = (),
    ) -> None: ...
    def read_outputs(self, into: bytearray) -> OutputHeader: ...
    def beat(self, now_ns: int) -> None: ...


class WatchdogLimits(msgspec.Struct, frozen=True):
    """The scan's heartbeat may be older than one base interval by this much."""

    time_ns: int


class PollStatistics(msgspec.Struct):
    """What the image has no place for; logged when the loop ends."""

    polls: int = 0
    skipped_polls: int = 0
    stalls: int = 0
    """How often the guard found that it had stood still itself."""
    trips: int = 0
    preempted: int = 0
    """Requests given up because safe outputs had to go first."""


class _PreemptedError(Exception):
    """The pending request was given up, with its connection, for the safe outputs."""


class DevicePoller:
    """One device: polls it, drives it, keeps it safe.

    ``scan_beat`` gives the time of the scan's last heartbeat (the same monotonic clock as
    ``clock``), ``parent_alive`` whether the supervisor lives; both are asked every 2 ms. A request
    of the driver may be cancelled; it is then closed and connected anew, because many a device does
    not look at a second request before it has answered the first.
    """

    def __init__(  # noqa: PLR0917 - what one device is made of
        self,
        device: Device,
        driver: Driver[Any],
        port: Port,
        scan_beat: Callable[[], int],
        clock: Clock,
        watchdog: WatchdogLimits,
        base_ns: int,
        *,
        parent_alive: Callable[[], bool] = lambda: True,
        back_off: BackOffLimits | None = None,
        seed: int | None = None,
    ) -> None:
        self.device = device
        self.statistics = PollStatistics()
        self._driver = driver
        self._port = port
        self._scan_beat = scan_beat
        self._clock = clock
        self._parent_alive = parent_alive
        latched = Trip.SCAN_LOST if port.trip else Trip.NONE
        self._period_ns = device.poll_ns or base_ns
        self._quiet_ns = watchdog.time_ns // 2
        self._gate = OutputGate(base_ns + watchdog.time_ns, base_ns, latched)
        self._inputs = [group for group in device.groups if not group.output]
        self._outputs = [group for group in device.groups if group.output]
        self._reads = divided_reads(device, self._inputs)
        self._feed_ns = min(REFRESH_NS, driver.feed_ns or REFRESH_NS)
        self._log = _log.bind(device=device.name)
        limits = back_off or BackOffLimits()
        self._health = DeviceHealth(device, port, clock, limits, seed, self._log)

        self._payload = bytearray(device.input_size)
        self._committed = bytearray(device.output_size)
        self._held = device.safe_outputs
        self._held_known = not any(device.hold_mask)
        self._read_backs = 0
        self._wanted = device.safe_outputs
        self._passes = False
        self._written: dict[int, bytes] = {}
        self._refresh_ns = 0

        self._connected = False
        self._answered = False
        """This connection has brought an answer."""
        self._asked: PollGroup | None = None
        self._restored = False
        self._retry_ns = 0
        self._ending_ns: int | None = None
        self._wake = asyncio.Event()
        self._pending: asyncio.Future[Any] | None = None
        self._pending_passes = False
        self._impatient: tuple[asyncio.Future[Any], int] | None = None
        self._quiet = False

    async def run(self, stop: asyncio.Event) -> None:
        """Poll until ``stop`` is set or the supervisor dies; ends with safe outputs and closed.

        An error that is no DriverError is a defect of the driver: the outputs are made safe and it
        is raised, so that the process ends and is started anew.
        """
        self._publish()
        guard = asyncio.create_task(self._guard(stop), name=f"{self.device.name} guard")
        traffic = asyncio.create_task(self._traffic(), name=f"{self.device.name} traffic")
        try:
            await asyncio.wait({guard, traffic}, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in (guard, traffic):
                task.cancel()
            results = await asyncio.gather(guard, traffic, return_exceptions=True)
            if not self._is_safe():
                await self._last_resort()
            await self._driver.close()
            self._port.connected = False
            self._log.info("device closed", **msgspec.structs.asdict(self.statistics))
        for result in results:
            if isinstance(result, Exception):
                raise result

    # --- The guard: looks at the scan, decides which outputs the device gets ----------------------

    async def _guard(self, stop: asyncio.Event) -> None:
        while self._ending_ns is None or not self._traffic_done():
            now_ns = self._clock.now_ns()
            deadline_ns = self._look(now_ns, stop.is_set())
            next_ns = min(now_ns + GUARD_PERIOD_NS, max(deadline_ns, now_ns) + 100_000)
            await asyncio.sleep((next_ns - self._clock.now_ns()) / 1e9)

    def _look(self, now_ns: int, stopping: bool) -> int:
        """One step of the guard; gives the time by which a beat must come while outputs pass."""
        port = self._port
        header = port.read_outputs(self._committed)
        decision = self._gate.step(now_ns, self._scan_beat(), header.enabled)
        port.beat(now_ns)
        if decision.stalled:
            self.statistics.stalls += 1
            self._log.debug("the guard stood still", stalls=self.statistics.stalls)
        if decision.trip != port.trip:
            port.trip = int(decision.trip)
            if decision.trip:
                self.statistics.trips += 1
                self._log.error("scan heartbeat lost, outputs go safe", cycle=header.cycle)
            else:
                self._log.info("trip reset, the scan has disabled its outputs")
        if self._ending_ns is None and (stopping or not self._parent_alive()):
            self._ending_ns = now_ns + FAREWELL_NS
            self._log.info("outputs go safe, polling ends", supervisor_died=not stopping)
            self._wake.set()
        passes = decision.passes and self._ending_ns is None
        self._wanted = (
            bytes(self._committed)
            if passes
            else safe_payload(self._held, self.device.safe_outputs, self.device.hold_mask)
        )
        if self._passes and not passes:
            self._retry_ns = min(self._retry_ns, now_ns)
            self._health.hurry(now_ns)
            self._wake.set()
            if self._pending is not None and self._pending_passes:
                self._impatient = self._pending, now_ns + PATIENCE_NS
        self._passes = passes
        # While the beat is overdue no request is begun that the safe outputs would have to wait
        # for; it mostly comes, late, and then polling goes on.
        self._quiet = passes and now_ns > decision.deadline_ns - self._quiet_ns
        if self._impatient is not None:
            pending, patient_until_ns = self._impatient
            if pending is not self._pending or now_ns >= patient_until_ns:
                pending.cancel()
                self._impatient = None
        if self._connected and self._write_due(now_ns):
            self._wake.set()
        return decision.deadline_ns if passes else now_ns + GUARD_PERIOD_NS

    # --- The traffic: one request at a time, outputs before inputs --------------------------------

    async def _traffic(self) -> None:
        schedule = PollSchedule(self._period_ns, self._clock.now_ns())
        while not self._traffic_done():
            if _is_cancelled():
                # A driver may swallow it: asyncio.wait_for does when the answer comes just then.
                raise asyncio.CancelledError
            self._wake.clear()
            try:
                await self._most_urgent(schedule, self._clock.now_ns())
            except _PreemptedError:
                self.statistics.preempted += 1
                await self._disconnect()
            except DriverError as error:
                await self._failed(error)

    async def _most_urgent(self, schedule: PollSchedule, now_ns: int) -> None:
        """Connect, write, poll or wait: whichever comes first in this order."""
        if not self._connected and now_ns < self._retry_ns:
            await self._pause_until(self._retry_ns)
        elif not self._connected:
            await self._connect()
        elif self._write_due(now_ns):
            await self._write(now_ns)
        elif self._polls() and now_ns >= schedule.next_ns:
            self.statistics.skipped_polls += schedule.begin(now_ns)
            await self._poll()
        else:
            due_ns = now_ns + self._feed_ns
            if self._quiet:
                due_ns = now_ns + GUARD_PERIOD_NS
            elif self._outputs:
                due_ns = min(due_ns, *(self._write_at(group) for group in self._outputs))
            if self._polls():
                due_ns = min(due_ns, schedule.next_ns)
            await self._pause_until(due_ns)

    def _polls(self) -> bool:
        """Inputs are read once the outputs are in, and not any more while the loop ends."""
        return bool(self._inputs) and self._restored and self._ending_ns is None and not self._quiet

    def _is_safe(self) -> bool:
        """The device has confirmed the safe outputs in full."""
        return not self._passes and all(
            self._written.get(group.index) == _part(self._wanted, group) for group in self._outputs
        )

    def _traffic_done(self) -> bool:
        if self._ending_ns is None:
            return False
        if self._is_safe():
            return True
        return self._clock.now_ns() >= self._ending_ns

    def _write_due(self, now_ns: int) -> bool:
        return any(now_ns >= self._write_at(group) for group in self._outputs)

    def _write_at(self, group: PollGroup) -> int:
        """When the group is to be written next."""
        trouble = self._health.trouble(group)
        at_ns = trouble.retry_ns if trouble.failing else 0
        if self._written.get(group.index) != _part(self._wanted, group):
            return at_ns
        return _NEVER if self._quiet else max(at_ns, self._refresh_ns)

    async def _connect(self) -> None:
        self._asked = None
        self._answered = False
        await self._driver.connect()
        await self._driver.arm(
            [
                SafeOutputs(
                    group,
                    _part(self.device.safe_outputs, group),
                    _part(self.device.hold_mask, group),
                )
                for group in self._outputs
            ]
        )
        self._connected = True
        self._port.connected = True
        self._written.clear()
        self._restored = not self._outputs
        for read in self._reads.values():
            read.look_again()

    async def _write(self, now_ns: int) -> None:
        if not self._held_known:
            if self._passes:
                self._held = self._wanted
                self._held_known = True
            else:
                await self._read_back()
        refresh = now_ns >= self._refresh_ns
        if refresh:
            self._refresh_ns = now_ns + self._feed_ns
        news = not self._restored
        # Those in trouble last: the others must not wait for them, or stay as they are.
        for group in sorted(self._outputs, key=lambda group: self._health.trouble(group).failing):
            due = self._health.trouble(group).is_due(self._clock.now_ns())
            part = _part(self._wanted, group)
            if due and (refresh or self._written.get(group.index) != part):
                news |= await self._write_group(group, part)
        if self._health.takes_outputs():
            self._restored = True
        elif not self._restored:
            self._health.set_all(self._inputs, quality.BAD_DEVICE_FAILURE)
        if news:
            self._publish()
        self._health.answers()

    async def _write_group(self, group: PollGroup, part: bytes) -> bool:
        """Write it; True when its quality is another one now."""
        before = self._health.of(group)
        # From here on the device may have it, whatever becomes of the answer.
        self._held = _with_part(self._held, group, part)
        self._written.pop(group.index, None)
        try:
            await self._request(group, self._driver.write(group, part), passes=self._passes)
        except DriverError as error:
            if error.lost:
                raise
            self._health.refused_write(group, error)
        else:
            self._written[group.index] = part
            self._health.works(group)
        return self._health.of(group) != before

    async def _read_back(self) -> None:
        """Learn what the outputs to be held are, in a process that has not written any yet."""
        for group in self._outputs:
            if any(_part(self.device.hold_mask, group)):
                try:
                    part = await self._request(group, self._driver.read(group), passes=False)
                except DriverError as error:
                    self._read_backs += 1
                    if error.lost and self._read_backs < READ_BACKS:
                        raise
                    self._log.warning("outputs to be held cannot be read back", error=str(error))
                    break
                self._held = _with_part(self._held, group, part)
        self._held_known = True
        if not self._passes:
            self._wanted = safe_payload(self._held, self.device.safe_outputs, self.device.hold_mask)

    async def _poll(self) -> None:
        self.statistics.polls += 1
        for group in self._health.polled(self._inputs):
            if self._write_due(self._clock.now_ns()):
                await self._write(self._clock.now_ns())
            try:
                await self._reads[group.index].read(
                    lambda part: self._request(part, self._driver.read(part), passes=True),
                    self._payload,
                    self._clock.now_ns(),
                )
            except DriverError as error:
                if error.lost:
                    raise
                self._health.refused_read(group, error)
            else:
                self._health.works(group)
        self._publish()
        self._health.answers()

    async def _request(self, group: PollGroup, call: Coroutine[Any, Any, T], *, passes: bool) -> T:
        """One request to the device, timed; the guard may give it up while ``passes``."""
        port = self._port
        self._asked = group
        begin_ns = self._clock.now_ns()
        port.requests += 1
        self._pending_passes = passes
        self._pending = pending = asyncio.ensure_future(call)
        try:
            answer = await pending
            self._answered = True
            return answer
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            raise _PreemptedError from None
        finally:
            self._pending = None
            taken_ns = self._clock.now_ns() - begin_ns
            port.last_ns = taken_ns
            port.max_ns = max(port.max_ns, taken_ns)

    # --- Failures ---------------------------------------------------------------------------------

    async def _failed(self, error: DriverError) -> None:
        """The connection is gone, with it a request unless it could not even be made."""
        group, self._asked = self._asked, None
        await self._disconnect()
        pause_ns = self._health.lost(error, group, answered=self._answered, safe=not self._passes)
        self._retry_ns = self._clock.now_ns() + pause_ns
        self._publish()

    async def _disconnect(self) -> None:
        self._connected = False
        self._port.connected = False
        self._written.clear()
        await self._driver.close()

    def _publish(self) -> None:
        now_ns = self._clock.now_ns()
        if any(read.absent for read in self._reads.values()):
            absent = [0] * len(self.device.groups)
            for index, read in self._reads.items():
                absent[index] = read.absent
            self._port.publish_inputs(self._payload, self._health.statuses, now_ns, absent)
        else:
            self._port.publish_inputs(self._payload, self._health.statuses, now_ns)

    async def _pause_until(self, until_ns: int) -> None:
        """Wait for that time or for the guard's call, whichever comes first."""
        delay_s = (until_ns - self._clock.now_ns()) / 1e9
        if delay_s > 0:
            try:
                async with asyncio.timeout(delay_s):
                    await self._wake.wait()
            except TimeoutError:
                return

    async def _last_resort(self) -> None:
        """One more try to leave the device safe when the loop ended by an error."""
        wanted = safe_payload(self._held, self.device.safe_outputs, self.device.hold_mask)
        for group in self._outputs:
            try:
                await self._driver.write(group, _part(wanted, group))
            except Exception as error:  # noqa: BLE001 - the task's edge; the first is raised
                self._log.error("device left without its safe outputs", error=str(error))


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _part(area: bytes, group: PollGroup) -> bytes:
    return area[group.offset : group.offset + group.size]


def _with_part(area: bytes, group: PollGroup, part: bytes) -> bytes:
    return area[: group.offset] + part + area[group.offset + group.size :]
