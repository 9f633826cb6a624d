"""Prints what the plant costs and how exact its stamps are: ``python -m plant.figures``."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from plant.hand import Hand, Modbus
from plant.process import PlantProcess

POLL_S = 0.01
SECONDS = 5.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Processor time that the process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def load(plant: PlantProcess) -> tuple[float, float]:
    """Share of a core, idle and under a 10 ms poll of four requests."""
    begin = cpu_s(plant.pid)
    time.sleep(SECONDS)
    idle = (cpu_s(plant.pid) - begin) / SECONDS
    io = Modbus(plant.modbus_port)
    begin, start = cpu_s(plant.pid), time.monotonic()
    beats = 0
    while (elapsed := time.monotonic() - start) < SECONDS:
        beats += 1
        io.inputs()
        io.input_registers()
        io.set_all(beats & 0x10)
        io.set_register(1, beats & 0xFFFF)
        time.sleep(max(0.0, beats * POLL_S - elapsed))
    io.close()
    return idle, (cpu_s(plant.pid) - begin) / elapsed


def stamps(plant: PlantProcess, *, drawing: bool) -> list[float]:
    """Milliseconds from sending a coil to its stamp, sorted; ``drawing`` keeps the camera busy."""
    over = threading.Event()

    def look() -> None:
        with Hand(plant) as hand:
            while not over.is_set():
                hand.look()

    thread = threading.Thread(target=look)
    if drawing:
        thread.start()
    io = Modbus(plant.modbus_port)
    io.set(lamp_red=False)
    known = len(plant.events("output", name="lamp_red"))
    sent = []
    for count in range(500):
        sent.append(time.monotonic_ns())
        io.set(lamp_red=count % 2 == 0)
        time.sleep(0.003)
    io.close()
    over.set()
    if drawing:
        thread.join()
    entries = plant.events("output", name="lamp_red")[known:]
    return sorted((e["mono_ns"] - s) / 1e6 for e, s in zip(entries, sent, strict=True))


def main() -> None:
    """Measure and print."""
    with PlantProcess() as plant:
        idle, polled = load(plant)
        print(f"share of a core: {idle:.1%} idle, {polled:.1%} at a 10 ms poll of four requests")
        with Hand(plant) as hand:
            hand.clamp_next()
            hand.mark("[)>\x1e06\x1d17V1AB23\x1d1P99887\x1dS00012\x1e\x04", "SN 00012", "P 99887")
        for drawing in (False, True):
            delays = stamps(plant, drawing=drawing)
            when = "while frames are drawn" if drawing else "with the camera at rest"
            p50, p99 = delays[len(delays) // 2], delays[int(len(delays) * 0.99)]
            print(
                f"from sending a coil to its stamp, {when}: "
                f"median {p50:.2f}, p99 {p99:.2f}, max {delays[-1]:.2f} ms"
            )
        render = sorted(entry["render_ms"] for entry in plant.events("framed"))
        print(
            f"drawing 1280 x 1024: median {render[len(render) // 2]:.1f}, max {render[-1]:.1f} ms "
            f"of {len(render)} frames"
        )


if __name__ == "__main__":
    main()
