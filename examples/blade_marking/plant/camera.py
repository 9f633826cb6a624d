"""The camera: draws the blade in the nest when it is triggered, and publishes the frame.

Run by `simulator`. Drawing happens in a thread so that the coupler goes on answering meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from cellwright.io.cameras.frames import FrameRing
from plant.log import PlantLog
from plant.physics import Blade, Cell
from plant.render import Gray, Renderer, View
from plant.symbol import Dot


class PlantCamera:
    """Producer of the frame ring ``name``; sizes in pixels."""

    def __init__(
        self, cell: Cell, log: PlantLog, name: str, *, width: int, height: int, seed: int
    ) -> None:
        self._cell = cell
        self._log = log
        self._renderer = Renderer(width, height, seed)
        # The first picture pays for the memory of all later ones; no trigger should wait for that.
        self._renderer.render(View(0, 0.0, 0.0, 0.0, (Dot(0.0, 0.0, 0.5),)), 0)
        self._name = name
        self._size = (width, height)
        self._ring: FrameRing | None = None
        self._served = 0
        self._frames = 0
        self._thread = ThreadPoolExecutor(1, "render")
        self._job: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Make the ring. It takes the place of one that is there: start what else may fail first.

        Raises FrameError.
        """
        self._ring = FrameRing.create(self._name, *self._size)

    def poll(self) -> None:
        """Start an exposure if a trigger waits and none is under way."""
        if self._ring is None:
            return
        if self._job is not None:
            if not self._job.done():
                return
            self._job.result()
            self._job = None
        trigger = self._ring.requested
        if trigger != self._served:
            self._served = trigger
            self._job = asyncio.create_task(self._expose(self._ring, trigger))

    async def stop(self) -> None:
        """Finish the exposure under way and close the ring."""
        if self._job is not None:
            await self._job
        self._thread.shutdown()
        if self._ring is not None:
            self._ring.close()

    async def _expose(self, ring: FrameRing, trigger: int) -> None:
        utc_ns, begin_ns = time.time_ns(), self._log.now_ns()
        blade = self._cell.nest
        view = None if blade is None else view_of(blade)
        self._frames += 1
        loop = asyncio.get_running_loop()
        number, render_ns = await loop.run_in_executor(
            self._thread, self._draw, ring, view, self._frames, trigger, utc_ns
        )
        self._log.write(
            "framed",
            at_ns=begin_ns,
            part=blade.number if blade else None,
            frame=number,
            trigger=trigger,
            dots=len(view.dots) if view else 0,
            render_ms=round(render_ns / 1e6, 2),
        )

    def _draw(
        self, ring: FrameRing, view: View | None, frame: int, trigger: int, utc_ns: int
    ) -> tuple[int, int]:
        begin_ns = self._log.now_ns()
        gray: Gray = self._renderer.render(view, frame)
        render_ns = self._log.now_ns() - begin_ns
        return ring.publish(gray, trigger, utc_ns), render_ns


def view_of(blade: Blade) -> View:
    """What the camera sees of a blade in the nest."""
    return View(
        seed=blade.seed,
        rotation_deg=blade.rotation_deg,
        shift_x_mm=blade.shift_x_mm,
        shift_y_mm=blade.shift_y_mm,
        dots=tuple(blade.dots),
    )
