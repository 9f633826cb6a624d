"""The dot-peen marker: the head that strikes dots into the clamped blade, and its TCP port.

Run by `simulator`, which steps the head in simulated seconds. A dot is on the blade when the pin
has struck it, not before, and nothing takes it off again.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import Final

from plant import symbol
from plant.faults import FaultPlan
from plant.log import PlantLog
from plant.physics import Blade, Cell, Mark
from plant.points import Outputs
from plant.symbol import Dot
from plant.tcp import TcpPort
from plant.telesis import Controller, Request, RequestDecoder

DOTS_PER_S: Final = 300.0
APPROACH_S: Final = 0.15
"""From the start of a cycle to the first dot."""


class MarkingHead:
    """The pin. Marks only what the clamp holds, while the controller of the cell enables it."""

    def __init__(self, cell: Cell, outputs: Outputs, faults: FaultPlan, log: PlantLog) -> None:
        self._cell = cell
        self._outputs = outputs
        self._faults = faults
        self._log = log
        self.controller = Controller(self)
        self._blade: Blade | None = None
        self._dots: list[Dot] = []
        self._struck = 0
        self._credit = 0.0
        self._content = ""
        self._commanded = ""
        self._before = 0
        self._seen: dict[str, int] = {}

    @property
    def marking(self) -> bool:
        """True while the pin works."""
        return self._blade is not None

    @property
    def interlock(self) -> bool:
        """True while a blade is clamped and the marker is enabled."""
        cell = self._cell
        held = cell.clamped_blade is not None
        return held and self._outputs.marker_enable and not cell.estop_pressed

    def start(self, content: str, texts: tuple[str, ...]) -> str:
        """Begin a print cycle on the clamped blade; the reason when there can be none."""
        blade = self._cell.clamped_blade
        if blade is None or not self.interlock:
            reason = "no part clamped" if blade is None else "not enabled"
            self._log.write("mark_refused", content=content, reason=reason)
            return reason
        part = blade.number
        kinds = ("missing_pin", "wrong_dot", "wrong_content")
        struck = {kind for kind in kinds if self._faults.take(kind, part)}
        commanded = content
        if "wrong_content" in struck:
            content = symbol.other_content(content)
            # The first readable line is a serial too; leaving it right would betray the fault.
            texts = tuple(symbol.other_content(text) for text in texts[:1]) + texts[1:]
        seed = Random(f"{blade.seed}/{len(blade.marks)}").getrandbits(64)
        try:
            self._dots = symbol.plan(
                content,
                texts,
                blade.fill,
                seed,
                wrong_dot="wrong_dot" in struck,
                missing_pin="missing_pin" in struck,
            )
        except symbol.SymbolError as error:
            self._log.write("mark_refused", part=part, content=content, reason=str(error))
            return "cannot encode"
        for kind in sorted(struck):
            self._log.write("fault", kind=kind, part=part)
        if blade.dots:
            self._log.write(
                "double_mark",
                part=part,
                content=content,
                before=[mark.content for mark in blade.marks],
            )
        self._log.write("mark_started", part=part, content=commanded, dots=len(self._dots))
        self._blade = blade
        self._content = content
        self._commanded = commanded
        self._struck = 0
        self._credit = -APPROACH_S * DOTS_PER_S
        self._before = len(blade.dots)
        self._cell.heating = True
        return ""

    def step(self, dt_s: float) -> None:
        """Strike the dots that are due within ``dt_s`` simulated seconds."""
        blade = self._blade
        if blade is None:
            return
        if not self.interlock:
            self.abort("interlock opened")
            return
        self._credit += dt_s * DOTS_PER_S
        count = min(int(self._credit), len(self._dots) - self._struck)
        if count > 0:
            blade.dots.extend(self._dots[self._struck : self._struck + count])
            self._struck += count
            self._credit -= count
        if self._struck == len(self._dots):
            self._end(blade, "")

    def abort(self, reason: str) -> None:
        """Stop where the pin is: the blade keeps the dots that it has."""
        if self._blade is not None:
            self._end(self._blade, reason)

    def _end(self, blade: Blade, fault: str) -> None:
        dots = blade.dots[self._before :]
        mark = Mark(self._content, len(dots), symbol.digest(dots), complete=not fault)
        blade.marks.append(mark)
        self._blade = None
        self._cell.heating = False
        if fault:
            self._log.write("mark_aborted", part=blade.number, reason=fault, dots=len(dots))
        if dots:
            self._log.write(
                "marked",
                part=blade.number,
                content=mark.content,
                commanded=self._commanded,
                dots=mark.dots,
                digest=mark.digest,
                complete=mark.complete,
            )
            other = self._seen.setdefault(mark.content, blade.number)
            if other != blade.number:
                self._log.write(
                    "duplicate_content", part=blade.number, content=mark.content, first=other
                )
        self.controller.cycle_ended(fault)


class Marker:
    """The controller's TCP port. Any number of hosts may connect; all talk to one controller."""

    def __init__(
        self, head: MarkingHead, cell: Cell, faults: FaultPlan, log: PlantLog, port: int
    ) -> None:
        self.tcp = TcpPort(self._serve, port)
        self._head = head
        self._cell = cell
        self._faults = faults
        self._log = log
        self._mute_until_ns = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = writer.get_extra_info("peername")[:2]
        peer = f"{host}:{port}"
        self._log.write("marker_connected", peer=peer)
        decoder = RequestDecoder()
        reason = "closed"
        try:
            while data := await reader.read(1024):
                for request in decoder.feed(data):
                    answer = self._answer(request)
                    if answer is not None:
                        writer.write(answer)
                await writer.drain()
        except ConnectionError as error:
            reason = str(error)
        self._log.write("marker_disconnected", peer=peer, reason=reason)

    def _answer(self, request: Request) -> bytes | None:
        """The controller's answer, unless a lost acknowledgement was ordered."""
        answer = self._head.controller.handle(request)
        now_ns = self._log.now_ns()
        if request.type == "G" and self._head.marking:
            blade = self._cell.clamped_blade
            part = blade.number if blade else None
            fault = self._faults.take("lost_ack", part)
            if fault is not None:
                self._mute_until_ns = now_ns + int((fault.duration_s or 0) * 1e9)
                self._log.write("fault", kind=fault.kind, part=part, duration_s=fault.duration_s)
                return None
        if now_ns < self._mute_until_ns:
            self._log.write("answer_lost", request=request.type)
            return None
        return answer
