"""A process like the scan's in which a change is tried: it has loaded what the scan has.

Started by ``cellwright change``. It attaches to nothing of the running cell, and whatever an
author's module does to it ends with it.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import os
import sys
from pathlib import Path

import msgspec

import cellwright.runtime.processes.scan  # noqa: F401 - what is loaded there costs nothing any more
from cellwright.io.files.replace import replace_file
from cellwright.runtime.cell.run_folder import RunFolder
from cellwright.runtime.online_change.rehearsal import LIMIT_S, Wanted, rehearse


def main(arguments: list[str] | None = None) -> int:
    """Rehearse what lies in the place, and leave there what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--place", type=Path, required=True)
    parsed = parser.parse_args(arguments)
    place: Path = parsed.place
    wanted = msgspec.msgpack.decode((place / "wanted").read_bytes(), type=Wanted)
    with (place / "stuck").open("w") as stuck:
        # In C: it works also while a call holds the interpreter.
        faulthandler.dump_traceback_later(LIMIT_S, exit=True, file=stuck)
        gc.disable()
        found = rehearse(RunFolder(parsed.run), wanted, place)
        faulthandler.cancel_dump_traceback_later()
    replace_file(place / "found", msgspec.msgpack.encode(found))
    sys.stdout.flush()
    os._exit(0)  # whatever an author has hung into the end of a process


if __name__ == "__main__":
    sys.exit(main())
