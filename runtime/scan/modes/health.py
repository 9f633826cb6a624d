"""Whether a cell may drive its outputs: what is wrong around the scan, in a sentence.

Pure functions over what a cycle has latched; the scan asks them in RUN and before START and RESET.
"""

from __future__ import annotations

from cellwright.io.plan import Direction, Plan, quality
from cellwright.io.process_image.process_image import ProcessImage
from cellwright.io.process_image.results import LatchResult
from cellwright.runtime.scan.modes.peers import Peers


def unhealthy(plan: Plan, latched: LatchResult, peers: Peers, waiting: int) -> str:
    """Why outputs must not be driven now, or an empty string.

    ``waiting`` counts events that found no place on the way to the journal.
    """
    if latched.tripped >= 0:
        device = plan.devices[latched.tripped]
        return (
            f"the driver of '{device.name}' has put its outputs in the safe state because "
            f"the scan's heartbeat stopped"
        )
    if latched.lost_fault >= 0:
        device = plan.devices[latched.lost_fault]
        why = peers.device_error(latched.lost_fault) or "its driver does not respond"
        return f"device '{device.name}' does not answer: {why}"
    if waiting:
        why = peers.journal_error() or "the journal process does not answer"
        return f"the journal does not take events ({waiting} wait): {why}"
    if not peers.journal_ok:
        return f"the journal is not writable: {peers.journal_error() or 'no sign of life'}"
    return ""


def unread_input(plan: Plan, image: ProcessImage) -> str:
    """Names an input without a value yet: no program is to take its initial value for the truth.

    An input that was read once is never Bad for a loss (but for ``on_loss: fault``).
    """
    for tag in plan.tags:
        if tag.direction is Direction.INPUT:
            status = image.quality(tag.index)
            if quality.is_bad(status) and status != quality.BAD_OUT_OF_SERVICE:
                return (
                    f"input '{tag.name}' has not been read ({quality.name(status)}); "
                    f"is its device connected?"
                )
    return ""
