"""Simulated time for a whole cell; see `SimulatedCell`."""

from cellwright.runtime.simulation.cell import SimulatedCell
from cellwright.runtime.simulation.errors import SimulationError
from cellwright.runtime.simulation.events import EventQueue, Rank

__all__ = ["EventQueue", "Rank", "SimulatedCell", "SimulationError"]
