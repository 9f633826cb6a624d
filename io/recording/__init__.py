"""Recordings of the flight recorder as files: format, store, list."""
