"""Compiles the commissioning file: from ``cell.yaml`` to an immutable plan, or to every complaint.

The command line and the supervisor call it; no other process ever sees the YAML.
"""

from cellwright.io.files.problems import ConfigError, Problem
from cellwright.runtime.config.compiler import Report, check_file, compile_file
from cellwright.runtime.config.cross_reference import Reference, cross_reference
from cellwright.runtime.config.schema import json_schema
from cellwright.runtime.config.stand_ins import simulate_devices, stood_in_for

__all__ = [
    "ConfigError",
    "Problem",
    "Reference",
    "Report",
    "check_file",
    "compile_file",
    "cross_reference",
    "json_schema",
    "simulate_devices",
    "stood_in_for",
]
