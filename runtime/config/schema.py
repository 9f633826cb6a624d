"""The JSON Schema of the commissioning file, for editors that complete and check while typing.

It is made from the models that the compiler itself uses, with the options of everything that is
registered. Draft 2020-12; no rule is written here a second time.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from cellwright.io.registry import registry
from cellwright.runtime.config.sections import model
from cellwright.runtime.config.tags.devices import KINDS
from cellwright.tasks.api import Program

Schema = dict[str, Any]


def json_schema() -> Schema:
    """The schema as plain data; raises nothing for a registered class that cannot be loaded."""
    schema = model.CellFile.model_json_schema(by_alias=True)
    definitions: Schema = schema["$defs"]
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Cellwright cell",
        **schema,
        "patternProperties": {"^x-": {}},
    }
    for name in ("devices", "tags", "tasks", "alarms", "heartbeats"):
        schema["properties"][name].pop("default", None)
        # An empty section is written `devices:`, which YAML reads as null.
        schema["properties"][name]["type"] = ["object", "null"]
    _devices(definitions)
    _tasks(definitions)
    return schema


def _devices(definitions: Schema) -> None:
    common = definitions["Device"]
    branches: list[Schema] = []
    names: list[str] = []
    for group, kind in KINDS.items():
        for name in registry.names(group):
            names.append(name)
            own = _options(group, name, definitions)
            keys = common["properties"] if kind == "driver" else {}
            definition = {
                "type": "object",
                "description": own.get("description", f"{kind} {name}"),
                "properties": {
                    **keys,
                    **own.get("properties", {}),
                    "driver": {**common["properties"]["driver"], "const": name},
                },
                "required": ["driver", *own.get("required", [])],
                "additionalProperties": own.get("additionalProperties", False),
            }
            definitions[f"device {name}"] = definition
            branches.append(_branch("driver", name, f"device {name}"))
    definitions["Device"] = {
        "type": "object",
        "description": common["description"],
        "properties": {"driver": {"enum": names}},
        "required": ["driver"],
        "allOf": branches,
    }


def _tasks(definitions: Schema) -> None:
    task = definitions["Task"]
    branches: list[Schema] = []
    names = registry.names("programs")
    for name in names:
        definitions[f"options of {name}"] = _options("programs", name, definitions)
        definitions[f"task {name}"] = {
            "properties": {"options": {"$ref": _reference(f"options of {name}")}}
        }
        branches.append(_branch("program", name, f"task {name}"))
    task["properties"]["program"]["examples"] = [*names, "module:Class"]
    task["allOf"] = branches


def _branch(key: str, value: str, definition: str) -> Schema:
    return {
        "if": {"properties": {key: {"const": value}}, "required": [key]},
        "then": {"$ref": _reference(definition)},
    }


def _reference(definition: str) -> str:
    return "#/$defs/" + definition.replace(" ", "%20")


def _options(group: registry.Group, name: str, definitions: Schema) -> Schema:
    """Schema of a registered class's options; open, with the reason, when it cannot be loaded."""
    try:
        options = options_of(group, name)
    except registry.RegistryError as error:
        return {"description": f"Cannot be loaded: {error}", "additionalProperties": True}
    schema = options.model_json_schema(by_alias=True, ref_template=f"#/$defs/{name}.{{model}}")
    for inner, definition in schema.pop("$defs", {}).items():
        definitions[f"{name}.{inner}"] = definition
    return schema


def options_of(group: registry.Group, name: str) -> type[BaseModel]:
    """The options model of a registered class; raises RegistryError."""
    found = registry.load(group, name)
    options = getattr(found, "Options", None)
    if not isinstance(options, type) or not issubclass(options, BaseModel):
        raise registry.RegistryError(f"'{name}' in cellwright.{group} has no Options model")
    return options


def program_class(name: str) -> type[Program[Any]]:
    """A registered program; raises RegistryError."""
    found = registry.load("programs", name)
    if not issubclass(found, Program):
        raise registry.RegistryError(f"'{name}' in cellwright.programs is not a Program")
    return found
