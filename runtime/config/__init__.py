"""Compiles the commissioning file: from ``cell.yaml`` to an immutable plan, or to every complaint.

The command line and the supervisor call it; no other process ever sees the YAML.
"""

from cellwright.runtime.config.compiler import Report, check_file, compile_file
from cellwright.runtime.config.cross_reference import Reference, cross_reference
from cellwright.runtime.config.problems import ConfigError, Problem
from cellwright.runtime.config.schema import json_schema
from cellwright.runtime.config.template import TemplateError, write_template

__all__ = [
    "ConfigError",
    "Problem",
    "Reference",
    "Report",
    "TemplateError",
    "check_file",
    "compile_file",
    "cross_reference",
    "json_schema",
    "reference_markdown",
    "write_template",
]


def reference_markdown() -> str:
    """The configuration reference as Markdown; see `cellwright.runtime.config.reference`."""
    # Loaded here so that `python -m` of that module does not find it already imported.
    from cellwright.runtime.config import reference  # noqa: PLC0415

    return reference.reference_markdown()
