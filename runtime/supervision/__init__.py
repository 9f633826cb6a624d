"""Starts the processes of a cell, watches them and ends them in order."""
