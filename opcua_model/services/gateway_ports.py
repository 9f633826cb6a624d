"""What the OPC UA server asks of the rest of the house, on the real image and command ring."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cellwright.io.image import DevicePort, Image
from cellwright.io.image.command_client import CommandClient, CommandFailed
from cellwright.io.messages import AnyCommand, ReplyCode
from cellwright.io.plan import Value
from cellwright.opcua_model.errors import CommandUnavailableError
from cellwright.opcua_model.services.command_sender import DeviceStatistics, TaskStatistics


class GatewayReader:
    """The server's view of the image (`ImageReader`)."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._reader = image.snapshot_reader()
        self._ports: dict[int, DevicePort] = {}

    @property
    def cycle(self) -> int:
        """Number of the cycle that wrote the snapshot."""
        return self._reader.cycle

    @property
    def utc_ns(self) -> int:
        """Wall-clock time of that cycle."""
        return self._reader.utc_ns

    def read(self) -> bool:
        """Take the newest snapshot."""
        return self._reader.read()

    def changed(self) -> Sequence[int]:
        """Tags that differ from the snapshot before."""
        return self._reader.changed()

    def value(self, index: int) -> Value:
        """A tag's value."""
        return self._reader.value(index)

    def quality(self, index: int) -> int:
        """A tag's status code."""
        return self._reader.quality(index)

    def timestamp_ns(self, index: int) -> int:
        """When a tag's value was acquired."""
        return self._reader.timestamp_ns(index)

    def task(self, index: int) -> TaskStatistics:
        """Statistics of a task."""
        figures = self._image.statistics.read(index)
        return TaskStatistics(
            runs=figures.runs,
            cycle_ns=figures.execution.last,
            max_cycle_ns=figures.execution.maximum,
            jitter_ns=figures.jitter.maximum,
            overruns=figures.overruns,
            skips=figures.skips,
            watchdog_hits=figures.watchdog_hits,
            late_runs=figures.late_runs,
            omitted=figures.omitted,
            job_timeouts=figures.job_timeouts,
            late_answers=figures.late_answers,
            resets=figures.resets,
        )

    def device(self, index: int) -> DeviceStatistics:
        """Statistics of a device."""
        port = self._ports.get(index)
        if port is None:
            port = self._ports[index] = self._image.device(index)
        return DeviceStatistics(
            connected=port.connected,
            polls=port.requests,
            errors=port.failures,
            reconnects=port.reconnects,
        )


class GatewayCommands:
    """The server's way to the scan (`CommandSender`)."""

    def __init__(self, client: CommandClient) -> None:
        self._client = client

    async def send(self, command: AnyCommand) -> tuple[int, str]:
        """The scan's answer; raises CommandUnavailableError when there is none."""
        try:
            await self._client.send_async(msgspec.structs.replace(command, remote=True))
        except CommandFailed as error:
            if error.code is None:
                raise CommandUnavailableError(str(error)) from error
            return error.code, str(error)
        return ReplyCode.OK, ""
