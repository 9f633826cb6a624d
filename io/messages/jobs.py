"""Jobs to a worker process and its results."""

from __future__ import annotations

from typing import Any

import msgspec

from cellwright.io.messages.base import Message


class Job(Message, frozen=True, kw_only=True):
    """What a program hands its worker. ``number`` comes back in the result.

    A worker does a job only while both parties are those that agreed on it: ``epoch`` names the
    scan process that asked (its start time), ``incarnation`` the worker process that it asked (how
    often the worker had been restarted). Any other job is dropped unread, so that nothing is
    marked on behalf of a scan that no longer exists.
    """

    number: int
    epoch: int
    incarnation: int
    kind: str
    body: dict[str, Any] = msgspec.field(default_factory=dict)


class Result(Message, frozen=True, kw_only=True):
    """What came of a job. ``error`` is empty on success and a sentence for people otherwise.

    With ``timed_out`` the deadline passed without an answer, and ``body`` is the value that the
    program declares for that; only the scan itself makes such a result.
    """

    number: int
    epoch: int
    kind: str
    body: dict[str, Any] = msgspec.field(default_factory=dict)
    error: str = ""
    duration_ms: float = 0.0
    timed_out: bool = False
