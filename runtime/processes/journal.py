"""The journal process: makes events durable, then says so; keeps the retained values on disk.

Everything that must survive a power failure goes through this process and no other.
"""

from __future__ import annotations

import sys
from pathlib import Path

import structlog

from cellwright.io.journal.journal import JOURNAL_FILE
from cellwright.io.journal.pump import JournalPump
from cellwright.io.journal.purger import Purger
from cellwright.io.journal.retain import RetainStore
from cellwright.io.journal.retain_keeper import RetainKeeper
from cellwright.runtime.cell.membership import join
from cellwright.runtime.realtime.grants import acquire_for_journal

WAIT_S = 0.02


def main(arguments: list[str] | None = None) -> int:
    """Pump events and retained values until the supervisor asks to stop; then drain and end."""
    member, _ = join(arguments, lambda _: "journal")
    data = Path(member.plan.data)
    pump = JournalPump(member.image, data / JOURNAL_FILE, member.clock)
    retain = RetainKeeper(member.plan, member.image, member.clock, RetainStore(data))
    purger = Purger(data, member.clock, database=member.plan.database is not None)
    ring = member.image.events["scan"]
    for refusal in acquire_for_journal(member.plan.scan):
        structlog.get_logger(__name__).warning("the journal lacks", what=refusal)
    try:
        while not member.should_stop():
            member.beat()
            taken = pump.step()
            retain.step()
            if not taken:
                purger.step()
                # What cannot be committed now still lies on the ring: wait for more, do not spin.
                ring.wait(WAIT_S, after=None if member.image.journal.ok else ring.written)
        while pump.step():
            pass  # one step takes one batch, and nobody comes after us
        retain.step(at_end=True)
        purger.close()
    finally:
        pump.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
