"""Every limit that the server advertises and enforces, in one place.

The numbers under OperationLimits and ServerCapabilities are these constants, and the services
refuse what exceeds them.
"""

from __future__ import annotations

from collections.abc import Sized
from typing import Final

from asyncua import ua
from asyncua.common.utils import ServiceError

MAX_CHUNK_BYTES: Final = 65_535
MIN_CHUNK_BYTES: Final = 8_192
"""Smallest buffer a client may announce (OPC 10000-6, 7.1.2.3)."""
MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
"""Largest request; what one connection can make the server hold."""
MAX_CHUNKS: Final = MAX_MESSAGE_BYTES // MIN_CHUNK_BYTES
MAX_QUEUED_MESSAGES: Final = 128
"""Requests of one connection that wait for their turn."""
MAX_SESSIONS: Final = 100
"""Activated ones; how many without a user: `security/admission.py`."""
ACTIVATION_TIMEOUT_S: Final = 20.0
"""How long a connection may live with a session that is not activated."""
IDLE_TIMEOUT_S: Final = 5.0
"""How long a connection may live without a session."""
MAX_UNREAD_BYTES: Final = 32 * 1024 * 1024
"""Answers that a client has not read."""
MAX_UNREAD_UNPROVEN_BYTES: Final = 256 * 1024
"""The same, of one without an activated session."""

MAX_NODES_PER_READ: Final = 10_000
MAX_NODES_PER_WRITE: Final = 1_000
MAX_NODES_PER_BROWSE: Final = 10_000
MAX_NODES_PER_TRANSLATE: Final = 10_000
MAX_NODES_PER_REGISTER: Final = 10_000
MAX_NODES_PER_CALL: Final = 100
MAX_ITEMS_PER_CALL: Final = 10_000
MAX_BROWSE_CONTINUATION_POINTS: Final = 10
MAX_NODES_PER_HISTORY_READ: Final = 100
MAX_HISTORY_VALUES: Final = 10_000
"""Of one node in one answer; the rest has a continuation point. Also moments of ReadAtTime."""
MAX_HISTORY_VALUES_PER_CALL: Final = 50_000
"""Of all nodes of one answer together."""
MAX_HISTORY_EVENTS: Final = 1_000
"""Of one node in one answer; a page of the journal may bring some more."""
MAX_HISTORY_CONTINUATION_POINTS: Final = 100
"""Of one session."""
HISTORY_THREADS: Final = 2
MAX_HISTORY_READS: Final = 20
"""Requests that are read or wait for it."""
MAX_SUBSCRIPTIONS: Final = 1_000
MAX_SUBSCRIPTIONS_PER_SESSION: Final = 50
MAX_ITEMS_PER_SUBSCRIPTION: Final = 100_000
MAX_SUBSCRIPTIONS_PER_USER: Final = 200
MAX_SUBSCRIPTIONS_ANONYMOUS: Final = 10
"""Of one session without a user."""
MAX_ITEMS_PER_USER: Final = 500_000
MAX_ITEMS_ANONYMOUS: Final = 50_000
"""Of one session without a user, in all its subscriptions."""
MAX_QUEUE_SIZE: Final = 10_000
MAX_KEPT_BYTES: Final = 64 * 1024 * 1024
"""Of sent messages that all subscriptions keep until they are acknowledged; each has its share."""
MIN_SAMPLING_INTERVAL_MS: Final = 1.0
"""A tag is looked at once a scan, and no faster than this."""
MIN_PUBLISHING_INTERVAL_MS: Final = 10.0
MAX_PUBLISHING_INTERVAL_MS: Final = 3_600_000.0
MIN_CHANNEL_LIFETIME_MS: Final = 10_000
MAX_CHANNEL_LIFETIME_MS: Final = 3_600_000

METHOD_TIMEOUT_S: Final = 8.0
"""Longest wait for a change of mode: the scan's answer, and then its first cycles."""
WRITE_TIMEOUT_S: Final = 2.0
"""Longest wait for the scan's answer to one write."""
MES_TIMEOUT_S: Final = 10.0
"""Longest wait for one call into the MES."""


def check_count(operations: Sized, most: int) -> None:
    """Refuse an empty or an oversized request (OPC 10000-4, 7.38: the codes' meanings)."""
    if not operations:
        raise ServiceError(ua.StatusCodes.BadNothingToDo)
    if len(operations) > most:
        raise ServiceError(ua.StatusCodes.BadTooManyOperations)
