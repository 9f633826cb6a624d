"""Measures a cell from outside: start jitter, scope, metrics."""
