"""A first program: a clamp that builds up pressure when it is asked to close.

It runs in the scan, once every interval of its task. Everything that it knows comes in through
its inputs and `ctx`; everything that it decides leaves through its outputs.
"""

from pydantic import Field

from cellwright.tasks.api import (
    BOOL,
    REAL,
    UDINT,
    Input,
    Output,
    Program,
    ProgramOptions,
    Retained,
    ScanContext,
)


class ClampOptions(ProgramOptions):
    """What a commissioning engineer may set in cell.yaml under `options`."""

    rise_bar_s: float = Field(4.0, gt=0)
    """How fast the pressure rises, in bar a second."""


class Clamp(Program[ClampOptions]):
    """Closes on request and reports when the pressure is there."""

    Options = ClampOptions

    close = Input(BOOL, description="Ask the clamp to close")
    setpoint = Input(REAL, unit="bar", description="Pressure at which it counts as closed")
    pressure = Output(REAL, unit="bar", description="Present pressure")
    closed = Output(BOOL, description="The pressure is at the setpoint")
    strokes = Retained(UDINT, description="How often it has closed; survives a power failure")

    _last_ns = 0

    def scan(self, ctx: ScanContext) -> None:
        """One execution; must not wait, do I/O or ask for the time by itself."""
        passed_s = (ctx.now_ns - self._last_ns) / 1e9 if not ctx.first_scan else 0.0
        self._last_ns = ctx.now_ns
        step = self.options.rise_bar_s * passed_s
        if self.close:
            self.pressure = min(self.pressure + step, self.setpoint)
        else:
            self.pressure = max(self.pressure - step, 0.0)
        closed = self.close and self.pressure >= self.setpoint
        if closed and not self.closed:
            self.strokes += 1
        self.closed = closed
