"""Errors of simulated cells."""


class SimulationError(Exception):
    """A simulated cell that cannot be made or does not do what was asked; says what to do."""
