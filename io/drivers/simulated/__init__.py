"""A field device that is not there: signals, outputs that are kept, faults by a script."""

from cellwright.io.drivers.simulated.driver import Simulated
from cellwright.io.drivers.simulated.options import SimulatedOptions

__all__ = ["Simulated", "SimulatedOptions"]
