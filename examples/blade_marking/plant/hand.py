"""Works the plant by hand over its real interfaces: the plant's own tests, and trying it out.

Raw bytes on sockets, so that it depends neither on the libraries behind the plant nor on the cell.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from typing import Self

from cellwright.io.cameras.frames import FrameRing, RingFrame
from plant.points import COILS, DISCRETE_INPUTS
from plant.process import PlantError, PlantProcess

_PAUSE_S = 0.005


class Modbus:
    """A Modbus TCP client: one request, one answer."""

    def __init__(self, port: int, unit: int = 1, timeout_s: float = 5.0) -> None:
        self.unit = unit
        self._transaction = 0
        self.socket = socket.create_connection(("127.0.0.1", port), timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def request(self, pdu: bytes) -> bytes:
        """Send a PDU and return the answer's; raises PlantError on an exception answer."""
        self._transaction = (self._transaction + 1) & 0xFFFF
        head = struct.pack(">HHHB", self._transaction, 0, len(pdu) + 1, self.unit)
        self.socket.sendall(head + pdu)
        transaction, _, size, unit = struct.unpack(">HHHB", self._receive(7))
        answer = self._receive(size - 1)
        if (transaction, unit) != (self._transaction, self.unit):
            raise PlantError(f"answer {transaction} of unit {unit} to request {self._transaction}")
        if answer[0] & 0x80:
            raise PlantError(f"the coupler answered with exception {answer[1]}")
        return answer

    def _receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise ConnectionResetError("the coupler closed the connection")
            data += part
        return data

    def _read(self, function: int, start: int, count: int) -> bytes:
        return self.request(struct.pack(">BHH", function, start, count))[2:]

    def inputs(self) -> dict[str, bool]:
        """All discrete inputs by name (function 2)."""
        bits = self._read(2, 0, len(DISCRETE_INPUTS))[0]
        return {name: bool(bits >> i & 1) for i, name in enumerate(DISCRETE_INPUTS)}

    def coils(self) -> dict[str, bool]:
        """All coils by name (function 1)."""
        bits = self._read(1, 0, len(COILS))[0]
        return {name: bool(bits >> i & 1) for i, name in enumerate(COILS)}

    def input_registers(self) -> tuple[int, int, int, int]:
        """Part counter, clamp pressure, signed temperature, air pressure, raw (function 4)."""
        values: tuple[int, int, int, int] = struct.unpack(">IHhH", self._read(4, 0, 5))
        return values

    def holding_registers(self) -> tuple[int, int]:
        """Conveyor setpoint and heartbeat (function 3)."""
        values: tuple[int, int] = struct.unpack(">HH", self._read(3, 0, 2))
        return values

    def set(self, **coils: bool) -> None:
        """Write coils by name, one request each (function 5)."""
        for name, value in coils.items():
            self.request(struct.pack(">BHH", 5, COILS.index(name), 0xFF00 if value else 0))

    def set_all(self, bits: int) -> None:
        """Write all coils at once, coil 0 in bit 0 (function 15)."""
        self.request(struct.pack(">BHHBB", 15, 0, len(COILS), 1, bits))

    def set_register(self, index: int, value: int) -> None:
        """Write one holding register (function 6)."""
        self.request(struct.pack(">BHH", 6, index, value))

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


class Host:
    """A host of the marker: sends messages of the Extended protocol and takes the answers."""

    def __init__(self, port: int, timeout_s: float = 5.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout_s)

    def send(self, kind: str, data: str = "", station: str = "") -> None:
        """Send one message."""
        body = data.encode("latin-1")
        check = (ord(kind) + sum(body)) % 256
        head = b"\x01" + kind.encode() + station.encode()
        self.socket.sendall(head + b"\x02" + body + b"\x03" + b"%03d\r" % check)

    def receive(self) -> tuple[bool, str]:
        """The next answer: accepted or not, and its data; TimeoutError when none comes."""
        frame = b""
        while not frame.endswith(b"\r"):
            part = self.socket.recv(1)
            if not part:
                raise ConnectionResetError("the marker closed the connection")
            frame += part
        data = frame[frame.index(b"\x02") + 1 : frame.index(b"\x03")]
        check = frame[frame.index(b"\x03") + 1 : -1]
        if frame[0] != 1 or int(check) != (frame[1] + sum(data)) % 256:
            raise PlantError(f"the marker's answer is damaged: {frame!r}")
        return frame[1] == 6, data.decode("latin-1")

    def ask(self, kind: str, data: str = "") -> tuple[bool, str]:
        """Send and receive."""
        self.send(kind, data)
        return self.receive()

    def load(self, content: str, *texts: str) -> None:
        """Online, pattern, symbol and readable lines; raises PlantError on a refusal."""
        messages = [("O", ""), ("P", "BLADE")]
        for number, text in enumerate((content, *texts), 1):
            messages.append(("V", f"{number:02d}{text}"))
        for kind, data in messages:
            accepted, reason = self.ask(kind, data)
            if not accepted:
                raise PlantError(f"the marker refused {kind} {data!r}: {reason}")

    def status(self) -> int:
        """The output signals."""
        return int(self.ask("I")[1][:2], 16)

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


class Hand:
    """All three interfaces of a running plant, and the usual motions of a cycle."""

    def __init__(self, plant: PlantProcess) -> None:
        self.plant = plant
        self.io = Modbus(plant.modbus_port)
        self.marker = Host(plant.marker_port)
        self.frames = FrameRing.attach(plant.camera)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.io.close()
        self.marker.close()
        self.frames.close()

    def until(self, condition: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
        """Poll until ``condition``; raises PlantError that says ``what`` was waited for."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise PlantError(f"no {what} within {timeout_s:g} s: {self.plant.status()}")
            time.sleep(_PAUSE_S)

    def until_input(self, name: str, value: bool = True) -> None:
        """Wait for a sensor."""
        self.until(lambda: self.io.inputs()[name] == value, f"{name} = {value}")

    def clamp_next(self) -> None:
        """Bring the next blade and clamp it."""
        self.io.set(conveyor_run=True)
        self.until_input("part_present")
        self.io.set(clamp_close=True, marker_enable=True)
        self.until_input("clamp_closed")

    def mark(self, content: str, *texts: str) -> None:
        """Load and print, and wait for DONE or a fault."""
        self.marker.load(content, *texts)
        accepted, reason = self.marker.ask("G")
        if not accepted:
            raise PlantError(f"the marker refused to start: {reason}")
        self.until_marked()

    def until_marked(self) -> None:
        """Wait for the end of a print cycle: DONE, or NO_FAULT low."""
        self.until(lambda: self.marker.status() & 0x0A != 0x08, "end of the mark")

    def look(self) -> RingFrame:
        """Trigger the camera."""
        return self.frames.wait(self.frames.request(), 20.0)

    def release(self, *, good: bool) -> None:
        """Unclamp and eject into a lane."""
        self.io.set(marker_enable=False, clamp_close=False)
        self.until_input("clamp_open")
        coil, sensor = ("eject_good", "part_at_exit")
        if not good:
            coil, sensor = ("eject_reject", "part_in_reject_bin")
        self.io.set(**{coil: True})
        self.until_input(sensor)
        self.io.set(**{coil: False})
        self.until_input(sensor, False)
