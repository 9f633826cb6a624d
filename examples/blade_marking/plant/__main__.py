"""Command line of the plant: ``python -m plant --help``."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from cellwright.io.cameras.frames import FrameError
from plant.faults import KINDS, Fault
from plant.simulator import Settings, Simulator


def _fault(text: str) -> Fault:
    try:
        return Fault.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"'{text}' is not a port; write 0 to 65535")
    return int(text)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1000:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number above 0 and up to 1000")
    return value


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 0")
    return int(text)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) >= 64 and int(height) >= 64):
        raise argparse.ArgumentTypeError(f"'{text}' is not a size; write 1280x1024")
    return int(width), int(height)


def parse(arguments: list[str]) -> Settings:
    """Settings from the command line; prints what is wrong and exits with 2 otherwise."""
    kinds = "\n".join(f"  {kind:14}{text}" for kind, text in KINDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m plant",
        description="Simulated blade-marking plant: Modbus coupler, dot-peen marker and camera.",
        epilog=f"kinds of faults, written kind[@part][:duration]:\n{kinds}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--modbus-port", type=_port, default=5020, help="coupler's TCP port; 0: any")
    add("--marker-port", type=_port, default=9101, help="marker's TCP port; 0: any")
    add("--control-port", type=_port, default=0, help="control port; 0: any")
    add("--camera", default="blade-cam", metavar="NAME", help="frame ring's name or path")
    add("--size", type=_size, default=(1280, 1024), metavar="WxH", help="camera's pixels")
    add("--parts", type=_count, default=0, metavar="N", help="blades in all; 0: no end")
    add("--seed", type=_count, default=1, help="seed of everything random")
    add("--speed", type=_positive, default=1.0, metavar="F", help="simulated seconds per second")
    add("--fill", type=_positive, metavar="F", help="dot diameter in modules; otherwise 0.82-0.98")
    add("--station", default="", metavar="NN", help="marker's station number, two digits")
    add("--heartbeat-ms", type=float, default=0, help="controller's nominal beat; 0: learn it")
    add("--log", type=Path, metavar="FILE", help="append the plant's own log, JSON lines")
    add("--ready-file", type=Path, metavar="FILE", help="write the ports here when all listen")
    add("--fault", type=_fault, action="append", default=[], metavar="FAULT", dest="faults")
    add("--detach", action="store_true", help="go on when the parent process ends")
    given = parser.parse_args(arguments)
    return Settings(
        modbus_port=given.modbus_port,
        marker_port=given.marker_port,
        control_port=given.control_port,
        camera=given.camera,
        width=given.size[0],
        height=given.size[1],
        parts=given.parts,
        seed=given.seed,
        speed=given.speed,
        fill=given.fill,
        station=given.station,
        heartbeat_ms=given.heartbeat_ms,
        log=given.log,
        ready_file=given.ready_file,
        faults=tuple(given.faults),
        parent=None if given.detach else os.getppid(),
    )


async def _run(settings: Settings) -> None:
    await Simulator(settings).run()


def main() -> int:
    """Run the plant; the exit code is 0 after an orderly end, 1 when it could not start."""
    settings = parse(sys.argv[1:])
    try:
        asyncio.run(_run(settings))
    except (OSError, FrameError) as error:
        print(f"plant: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
