"""What a run could not make durable: told at its end, and written at the next start.

The supervisor asks for both. The events lie on the rings of the image, which stays in the run
folder for that; a computer that is switched off in between loses them.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from cellwright.io.image import Image, ImageError, RingError
from cellwright.io.journal.journal import JournalError
from cellwright.io.journal.pump import JournalPump
from cellwright.io.journal.retain import RetainedValue, RetainError, RetainStore
from cellwright.io.messages import MessageError, decode_event
from cellwright.io.plan import Plan
from cellwright.io.timing.clock import Clock
from cellwright.runtime.cell.lock import RunError
from cellwright.runtime.cell.run_folder import RunFolder


def unsaved(image: Image) -> str:
    """How many events are on the rings and of which kinds; empty when there are none."""
    kinds: Counter[str] = Counter()
    count = 0
    for ring in image.events.values():
        count += ring.written - ring.acknowledged
        try:
            kinds.update(_kind(data) for _, data in ring.peek())
        except RingError:
            kinds["damaged"] += 1
    if not count:
        return ""
    counts = ", ".join(f"{kind} {number}" for kind, number in sorted(kinds.items()))
    events = f"{count} event{'' if count == 1 else 's'}"
    return f"{events} could not be written to the journal ({counts})"


def _kind(data: bytes) -> str:
    try:
        return str(decode_event(data).__struct_config__.tag)
    except MessageError:
        return "damaged"


def take_over(folder: RunFolder, journal: Path, clock: Clock) -> str:
    """Write what the last run left on its rings; a sentence, empty when it left nothing.

    Raises JournalError when they cannot be written now either; then they still lie there.
    """
    if not folder.image.exists():
        return ""
    try:
        plan, image = folder.attach()
    except (RunError, ImageError) as error:
        return f"events that the last run may have left cannot be read any more: {error}"
    try:
        left = unsaved(image)
        if not left:
            return ""
        pump = JournalPump(image, journal, clock)
        try:
            while pump.step():
                pass
        finally:
            pump.close()
        if unsaved(image):
            raise JournalError(f"{left}, nor can they now: {image.journal.error}")
        _keep_retained(plan, image, journal.parent)
        return f"of the last run, {left}; they are there now"
    finally:
        image.close()


def _keep_retained(plan: Plan, image: Image, data: Path) -> None:
    """What kept events from the disk kept retained values from it, too: they are in the image."""
    reader = image.snapshot_reader()
    tags = [tag for tag in plan.tags if tag.retain]
    if not tags or not reader.read():
        return
    values = {tag.name: RetainedValue(tag.type, reader.kept_value(tag.index)) for tag in tags}
    try:
        RetainStore(data).save(values, plan.layout_hash)
    except RetainError as error:
        raise JournalError(str(error)) from error
