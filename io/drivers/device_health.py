"""What is known of a device and of each of its groups: quality, trouble, and what was told of it.

Kept for the poll loop, which says what happened and asks when to try again. A group that does not
answer is charged with it, so that the others are not slowed down; that some of a device answers is
no recovery of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from cellwright.io.drivers.base import DriverError
from cellwright.io.drivers.trouble import Trouble
from cellwright.io.log_once import LogOnce
from cellwright.io.plan import Device, PollGroup, quality
from cellwright.io.timing.backoff import BackOffLimits
from cellwright.io.timing.clock import Clock

SAFE_RETRY_NS: Final = 100_000_000
"""Longest pause between attempts while the device has not taken its safe outputs, or refuses
some and takes others."""


class Record(Protocol):
    """The device's record in the image, where everybody sees how it does."""

    failures: int
    reconnects: int
    back_off_ns: int
    error: str


class DeviceHealth:
    """One device; all times are of ``clock``."""

    def __init__(  # noqa: PLR0917 - what it is told of, and how
        self,
        device: Device,
        record: Record,
        clock: Clock,
        limits: BackOffLimits,
        seed: int | None,
        log: Any,
    ) -> None:
        self._device = device
        self._record = record
        self._clock = clock
        self._limits = limits
        self._log = log
        self._drives = any(group.output for group in device.groups)
        self._trouble = Trouble(limits, seed)
        self._troubles = [Trouble(limits, seed) for _ in device.groups]
        self._trial_ns = 0
        """No group that is in trouble may cost the others their connection before this."""
        self._once = LogOnce(log)
        self.statuses = [(quality.BAD_WAITING_FOR_INITIAL_DATA, clock.utc_ns())] * len(
            device.groups
        )
        """Quality of each group, and when it was read or since when it is so."""

    def of(self, group: PollGroup) -> int:
        """The group's quality."""
        return self.statuses[group.index][0]

    def trouble(self, group: PollGroup) -> Trouble:
        """What the group itself is in."""
        return self._troubles[group.index]

    def hurry(self, now_ns: int) -> None:
        """The safe outputs wait: no group of them has to."""
        for group in self._device.groups:
            if group.output:
                trouble = self.trouble(group)
                trouble.retry_ns = min(trouble.retry_ns, now_ns)

    def polled(self, inputs: Sequence[PollGroup]) -> list[PollGroup]:
        """Groups that do answer, and of the others the one that has waited longest, if it may."""
        now_ns = self._clock.now_ns()
        troubled = [group for group in inputs if self.trouble(group).failing]
        healthy = [group for group in inputs if not self.trouble(group).failing]
        if troubled and now_ns >= self._trial_ns:
            trial = min(troubled, key=lambda group: self.trouble(group).retry_ns)
            if self.trouble(trial).is_due(now_ns):
                return [*healthy, trial]
        return healthy

    # --- what happened ----------------------------------------------------------------------------

    def lost(
        self, error: DriverError, group: PollGroup | None, *, answered: bool, safe: bool
    ) -> int:
        """The connection is gone, with a request for ``group`` or before there was one.

        ``answered``: it had brought an answer to another; ``safe``: safe outputs wait for the next.
        Gives the pause before that, in ns.
        """
        self.count(error)
        now_ns = self._clock.now_ns()
        known = False
        pause_ns = 0
        if group is not None:
            trouble = self.trouble(group)
            known = trouble.failing and answered
            pause_ns = trouble.fails(now_ns, SAFE_RETRY_NS if safe and group.output else None)
            self._trial_ns = now_ns + pause_ns
            self.set_status(group, quality.BAD_NO_COMMUNICATION)
        if known:
            # Only what was in trouble before is silent: the others go on at once.
            self._record.back_off_ns = pause_ns
            return 0
        self._once.trouble("device", "device does not answer", level="warning", error=str(error))
        self.set_all(self._device.groups, quality.BAD_NO_COMMUNICATION)
        pause_ns = self._trouble.fails(now_ns, SAFE_RETRY_NS if safe and self._drives else None)
        if answered:
            # It lives, so outputs and the other groups wait no longer than the first time.
            pause_ns = min(pause_ns, self._limits.first_ns)
        self._record.back_off_ns = pause_ns
        return pause_ns

    def refused_read(self, group: PollGroup, error: DriverError) -> None:
        """The device answered that it does not give these inputs."""
        self.count(error)
        self.set_status(group, quality.BAD_DEVICE_FAILURE, str(error))
        self.trouble(group).works(self._clock.now_ns())

    def refused_write(self, group: PollGroup, error: DriverError) -> None:
        """The device answers and does not take these outputs; it may take the others."""
        self.count(error)
        self.set_status(group, quality.BAD_DEVICE_FAILURE)
        self.trouble(group).fails(self._clock.now_ns(), SAFE_RETRY_NS)
        self._once.trouble(
            "outputs", "device refuses its outputs", level="warning", error=str(error)
        )

    def works(self, group: PollGroup) -> None:
        """The group was read or written."""
        self.set_status(group, quality.GOOD)
        if self.trouble(group).works(self._clock.now_ns()):
            # What is found to answer again is hardly alone.
            self._trial_ns = 0
            for trouble in self._troubles:
                trouble.retry_ns = 0

    def takes_outputs(self) -> bool:
        """None of the outputs is refused; tells when that is new."""
        if any(
            group.output and self.of(group) == quality.BAD_DEVICE_FAILURE
            for group in self._device.groups
        ):
            return False
        self._once.well("outputs", "device takes its outputs again")
        return True

    def answers(self) -> None:
        """A round of requests was answered: the device is well if none of its groups is silent."""
        silent = (quality.BAD_NO_COMMUNICATION, quality.BAD_WAITING_FOR_INITIAL_DATA)
        if any(status in silent for status, _ in self.statuses):
            return
        now_ns = self._clock.now_ns()
        self._trouble.works(now_ns)
        self._record.back_off_ns = 0
        if "device" in self._once and self._trouble.is_over(now_ns):
            self._record.reconnects += 1
            self._once.well("device", "device answers again", reconnects=self._record.reconnects)

    def count(self, error: DriverError) -> None:
        """One more failure, for the record."""
        self._record.failures += 1
        self._record.error = str(error).encode()[:160].decode(errors="ignore")

    def set_all(self, groups: Sequence[PollGroup], status: int) -> None:
        """The same of several."""
        for group in groups:
            self.set_status(group, status)

    def set_status(self, group: PollGroup, status: int, why: str = "") -> None:
        """Good carries the time of the last exchange, Bad the time since when it is so."""
        group = self._device.groups[group.index]
        if status == quality.GOOD or self.of(group) != status:
            if why:
                self._log.warning("group is bad", area=group.area, start=group.start, error=why)
            self.statuses[group.index] = (status, self._clock.utc_ns())
