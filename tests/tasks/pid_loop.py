"""A PID loop on a clock of its own, for tests."""

from __future__ import annotations

from hypothesis import strategies as st

from cellwright.tasks.api import ScanContext

STEP_S = 0.02


class Cycle:
    """A scan context that goes on by one interval at a time."""

    def __init__(self, step_s: float = STEP_S) -> None:
        self.ctx = ScanContext("test", now_ns=3_000_000_000)
        self.step_ns = round(step_s * 1e9)

    def next(self) -> ScanContext:
        self.ctx.now_ns += self.step_ns
        return self.ctx


# --- by hand --------------------------------------------------------------------------------------

values = st.floats(-100, 100)
