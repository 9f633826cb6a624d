"""Finds drivers, markers, cameras and programs by their entry points."""
