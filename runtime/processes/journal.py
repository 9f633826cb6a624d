"""The journal process: makes events durable, then says so; keeps the retained values on disk.

Everything that must survive a power failure goes through this process and no other.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import structlog

from cellwright.io.journal.consumed import Consumed
from cellwright.io.journal.journal import JournalError, JournalReader
from cellwright.io.journal.retain import RetainedValue, RetainError, RetainStore
from cellwright.io.journal.writer import KEEP_NS, JournalPump, JournalWriter
from cellwright.runtime.cell.membership import Membership, join
from cellwright.runtime.cell.run_folder import JOURNAL_FILE
from cellwright.runtime.realtime.grants import acquire_for_journal

PURGE_INTERVAL_NS = 60_000_000_000
RETAIN_INTERVAL_NS = 50_000_000
WAIT_S = 0.02


def main(arguments: list[str] | None = None) -> int:
    """Pump events and retained values until the supervisor asks to stop; then drain and end."""
    member, _ = join(arguments, lambda _: "journal")
    data = Path(member.plan.data)
    pump = JournalPump(member.image, data / JOURNAL_FILE, member.clock)
    retain = RetainKeeper(member, RetainStore(data))
    purger = Purger(member, data)
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
    finally:
        pump.close()
    return 0


class Purger:
    """Deletes rows that the MES has had for ``keep_ns``, a few thousand at a time, when idle.

    In a cell without MES nobody is going to take them: there they go by their age alone.
    """

    def __init__(self, member: Membership, data: Path, keep_ns: int = KEEP_NS) -> None:
        self._clock = member.clock
        self._keep_ns = keep_ns
        self._alone = member.plan.database is None
        self._file = data / JOURNAL_FILE
        self._consumed = Consumed(data)
        self._due_ns = 0
        self._log = structlog.get_logger(__name__)

    def step(self) -> None:
        """Purge once a minute; a failure is logged and tried again."""
        now_ns = self._clock.now_ns()
        if now_ns < self._due_ns:
            return
        self._due_ns = now_ns + PURGE_INTERVAL_NS
        try:
            with JournalReader(self._file) as reader:
                position = (
                    reader.last_sequence if self._alone else self._consumed.read(reader.identity)
                )
            if position:
                with JournalWriter(self._file) as writer:
                    purged = writer.purge(position, self._clock.utc_ns() - self._keep_ns)
                if purged:
                    self._log.info("journal purged", rows=purged)
        except JournalError as error:
            self._log.warning("journal not purged", error=str(error))


class RetainKeeper:
    """Saves the retained tags when they have changed, at most every `RETAIN_INTERVAL_NS`."""

    def __init__(self, member: Membership, store: RetainStore) -> None:
        self._member = member
        self._store = store
        self._reader = member.image.snapshot_reader()
        self._tags = [tag for tag in member.plan.tags if tag.retain]
        self._saved = b""
        """What was saved last, as msgpack: unlike the values themselves, NaN equals NaN there."""
        self._due_ns = 0
        self._failed = False
        self._log = structlog.get_logger(__name__)

    def step(self, at_end: bool = False) -> None:
        """Look once; a failure is told once and tried again."""
        now_ns = self._member.clock.now_ns()
        if not self._tags or (now_ns < self._due_ns and not at_end):
            return
        self._due_ns = now_ns + RETAIN_INTERVAL_NS
        if not self._reader.read():
            return
        values = [self._reader.value(tag.index) for tag in self._tags]
        content = msgspec.msgpack.encode(values)
        if content == self._saved:
            return
        kept = {
            tag.name: RetainedValue(tag.type, value)
            for tag, value in zip(self._tags, values, strict=True)
        }
        try:
            self._store.save(kept, self._member.plan.layout_hash)
        except RetainError as error:
            if not self._failed:
                self._log.error("retained values not saved", error=str(error))
            self._failed = True
        else:
            self._saved, self._failed = content, False


if __name__ == "__main__":
    sys.exit(main())
