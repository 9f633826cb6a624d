"""The recorder process: takes the scan's records off the ring and keeps them on disk, in bounds.

The scan never waits for it. Killed at any time, it leaves files that can be replayed; its successor
asks the scan for a keyframe and goes on.
"""

from __future__ import annotations

import sys

from cellwright.io.recording.store import Policy
from cellwright.runtime.cell.membership import join
from cellwright.runtime.realtime.grants import leave_core
from cellwright.runtime.recorder.pump import PERIOD_S, RecorderPump


def main(arguments: list[str] | None = None) -> int:
    """Record until the supervisor asks to stop, then take what is left on the ring."""
    member, _ = join(arguments, lambda _: "recorder")
    pump = RecorderPump(member, Policy.of(member.plan.recorder))
    leave_core(member.plan.scan.core)
    try:
        while not member.should_stop():
            member.beat()
            pump.step()
            member.stop.wait(PERIOD_S)
        pump.step()
    finally:
        pump.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
