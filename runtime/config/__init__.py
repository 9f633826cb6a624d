"""Compiles the commissioning file: from ``cell.yaml`` to an immutable plan, or to every complaint.

The command line and the supervisor call it; no other process ever sees the YAML.
"""

from cellwright.runtime.config.compiler import Report, check_file, compile_file
from cellwright.runtime.config.problems import ConfigError, Problem

__all__ = [
    "ConfigError",
    "Problem",
    "Report",
    "check_file",
    "compile_file",
]
