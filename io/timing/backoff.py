"""Pauses between tries that grow, and shrink again after a success."""

from __future__ import annotations

import random

import msgspec


class BackOffLimits(msgspec.Struct, frozen=True):
    """Pauses between attempts to reach a dead device; each is about twice the one before."""

    first_ns: int = 50_000_000
    longest_ns: int = 5_000_000_000


class BackOff:
    """Exponential pauses with jitter, so that dead devices are not all tried at once.

    The jitter takes away up to a third; ``seed`` makes the sequence repeatable.
    """

    def __init__(self, limits: BackOffLimits, seed: int | None = None) -> None:
        self._limits = limits
        self._random = random.Random(seed)
        self._pause_ns = limits.first_ns

    def next_ns(self) -> int:
        """Pause before the next attempt, at most ``longest_ns``."""
        pause_ns = self._pause_ns
        self._pause_ns = min(pause_ns * 2, self._limits.longest_ns)
        return int(pause_ns * self._random.uniform(2 / 3, 1))

    def reset(self) -> None:
        """The device answers: begin with the shortest pause next time."""
        self._pause_ns = self._limits.first_ns
