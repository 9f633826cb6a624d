"""Faults on purpose; a package so that ``make chaos`` and the tests share its parts."""
