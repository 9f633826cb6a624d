"""Clocks, and pauses between tries."""
