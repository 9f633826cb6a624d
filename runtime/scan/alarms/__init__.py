"""Alarms, their conditions and states, and heartbeats."""
