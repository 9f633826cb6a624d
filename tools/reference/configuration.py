"""Prints the configuration reference from the models' docstrings.

``make docs`` writes ``docs/reference/configuration.md`` with it; a test
compares the two, so that the page cannot differ from what the compiler accepts.
"""

from __future__ import annotations

import inspect
from typing import Any, Final, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from cellwright.io.drivers.base import AddressArea
from cellwright.io.plan import SYSTEM_TAGS
from cellwright.io.plan.units import UNITS
from cellwright.io.registry import registry
from cellwright.runtime.config.schema import options_of, program_class
from cellwright.runtime.config.sections import history, limits, model, web
from cellwright.runtime.config.sections.durations import (
    parse_duration,
    positive_duration,
    show_duration,
)
from cellwright.runtime.config.sections.recorder import Recorder
from cellwright.runtime.config.sections.section import TAKES
from cellwright.runtime.config.sections.sizes import parse_size, show_size
from reference.configuration_rules import RULES

_SECTIONS: Final[tuple[tuple[str, type[BaseModel]], ...]] = (
    ("`cell`", model.Cell),
    ("`cell.crash_loop`", model.CrashLoop),
    ("`scan`", model.Scan),
    ("`scan.realtime`", model.Realtime),
    ("Watchdogs", limits.Watchdog),
    ("`devices.<name>`", model.Device),
    ("`tags.<name>`", model.Tag),
    ("`tags.<name>.scale`", model.ScaleModel),
    ("`tags.<name>.history`", history.TagHistory),
    ("`tasks.<name>`", model.Task),
    ("`alarms.<name>`", model.Alarm),
    ("`heartbeats.<name>`", model.Heartbeat),
    ("`recorder`", Recorder),
    ("`history`", history.History),
    ("`opcua`", model.OpcUa),
    ("`mes`", model.Mes),
    ("`metrics`", model.Metrics),
    ("`web`", web.Web),
    ("`web.tls`", web.WebTls),
    ("`web.rate`", web.WebRate),
    ("`simulation`", model.Simulation),
)

_GROUPS: Final[dict[registry.Group, str]] = {
    "drivers": "Drivers of field devices",
    "markers": "Markers",
    "cameras": "Cameras",
}


def reference_markdown() -> str:
    """The whole page, ending in a newline."""
    parts = [RULES.strip()]
    for title, section in _SECTIONS:
        parts += [f"## {title}", _doc(section), _table(section)]
    for group, title in _GROUPS.items():
        parts.append(f"## {title}")
        for name in registry.names(group):
            parts.append(_registered(group, name))
    parts.append("## Registered programs")
    parts += [_program(name) for name in registry.names("programs")]
    parts += ["## System tags", _system_tags(), "## Units", _units()]
    return "\n\n".join(parts) + "\n"


def _doc(owner: type) -> str:
    return inspect.cleandoc(owner.__doc__ or "").replace("``", "`")


def _table(section: type[BaseModel]) -> str:
    rows = ["| key | takes | default | meaning |", "|---|---|---|---|"]
    schema = section.model_json_schema(by_alias=True)
    for key, field in section.model_fields.items():
        name = field.alias or key
        takes = _takes(schema["properties"][name], schema.get("$defs", {}))
        meaning = " ".join((field.description or "").split()).replace("``", "`")
        rows.append(f"| `{name}` | {_cell(takes)} | {_cell(_default(field))} | {_cell(meaning)} |")
    return "\n".join(rows) if len(rows) > 2 else "No options."


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined or isinstance(value, BaseModel):
        return ""
    if isinstance(value, bool):
        return "`true`" if value else "`false`"
    if value in ("", [], {}, ()):
        return ""
    validators = [getattr(meta, "func", None) for meta in field.metadata]
    if parse_duration in validators or positive_duration in validators:
        value = show_duration(value)
    elif history.parse_age in validators:
        value = history.show_age(value)
    elif parse_size in validators:
        value = show_size(value)
    return f"`{value}`"


def _takes(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """What a value may be, in words, from its JSON Schema."""
    if TAKES in schema:
        return str(schema[TAKES])
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        target = definitions.get(name, {})
        return _takes(target, definitions) if "enum" in target else "mapping, see below"
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema:
        kinds = [_takes(part, definitions) for part in schema["anyOf"]]
        return " or ".join(dict.fromkeys(kind for kind in kinds if kind != "nothing"))
    return _plain(schema, definitions)


def _plain(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    kind = schema.get("type")
    if kind == "array":
        return _array(schema, definitions)
    if "ns|us" in schema.get("pattern", ""):
        kind = "duration"
    elif "|KiB|" in schema.get("pattern", ""):
        kind = "size"
    elif "(h|d|y)" in schema.get("pattern", ""):
        kind = "time"
    plain = {
        "duration": "duration",
        "size": "size",
        "time": "hours, days or years, like `14d`",
        "string": "text",
        "integer": "whole number",
        "number": "number",
        "boolean": "`true`, `false`",
        "object": "mapping",
        "null": "nothing",
    }
    return plain.get(str(kind), "any value") + _bounds(schema)


def _array(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    size = schema.get("minItems")
    if "prefixItems" in schema:
        return "[" + ", ".join(_takes(item, definitions) for item in schema["prefixItems"]) + "]"
    item = _takes(schema.get("items", {}), definitions)
    if size is not None and size == schema.get("maxItems"):
        return "[" + ", ".join([item] * size) + "]"
    return f"list of {item}"


def _bounds(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f", {low} to {high}"
    for key, words in (
        ("minimum", "at least"),
        ("exclusiveMinimum", "above"),
        ("maximum", "at most"),
        ("exclusiveMaximum", "below"),
    ):
        if key in schema:
            return f", {words} {schema[key]}"
    return ""


def _registered(group: registry.Group, name: str) -> str:
    options = options_of(group, name)
    parts = [f"### `{name}`", _doc(options), _table(options), *_nested(options)]
    areas: tuple[AddressArea, ...] = getattr(registry.load(group, name), "areas", ())
    if areas:
        rows = ["| area | one index is | indexes | can be written |", "|---|---|---|---|"]
        rows += [
            f"| `{area.name}` | {'a bit' if area.bits else 'a 16-bit word'} | 0 to {area.size - 1} "
            f"| {'yes' if area.writable else 'no'} |"
            for area in areas
        ]
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


def _nested(options: type[BaseModel]) -> list[str]:
    """Sections of options inside options, in the order of their keys; a kind is told once."""
    keys: dict[type[BaseModel], list[str]] = {}
    for key, field in options.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                keys.setdefault(kind, []).append(f"`{key}`")
    parts: list[str] = []
    for kind, names in keys.items():
        parts += [f"#### {', '.join(names)}", _doc(kind), _table(kind), *_nested(kind)]
    return parts


def _program(name: str) -> str:
    program = program_class(name)
    rows = ["| variable | kind | type | unit | meaning |", "|---|---|---|---|---|"]
    rows += [
        f"| `{key}` | {variable.role} | {variable.type} | {variable.unit} "
        f"| {_cell(variable.description)} |"
        for key, variable in program.variables().items()
    ]
    return "\n\n".join([f"### `{name}`", _doc(program), _table(program.Options), "\n".join(rows)])


def _system_tags() -> str:
    rows = ["| tag | type | unit | meaning |", "|---|---|---|---|"]
    rows += [
        f"| `{tag.name}` | {tag.type} | {tag.unit} | {_cell(tag.description)} |"
        for tag in SYSTEM_TAGS
    ]
    return "\n".join(rows)


def _units() -> str:
    rows = ["| write | UNECE code | shown as | meaning |", "|---|---|---|---|"]
    rows += [
        f"| `{unit.symbol}` | {unit.code} | {_cell(unit.display)} | {unit.description} |"
        for unit in UNITS.values()
    ]
    return "\n".join(rows)
