"""Writes the generated pages of ``docs``; ``make docs`` calls it.

Every page is made of what the code declares (docstrings, tables, the command line itself), so a
page cannot say anything else than the program does. It reads code and changes nothing but pages.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import msgspec
import typer.main

from cellwright.io import messages
from cellwright.io.drivers import output_gate
from cellwright.io.image import AlarmState, figures
from cellwright.io.image.status import ProcessState
from cellwright.io.plan import SYSTEM_TAGS, iec, quality
from cellwright.io.plan.state_table import text_of
from cellwright.mes.orders import operation_states, work_order_states
from cellwright.runtime.cli import main as cli
from cellwright.runtime.scan.alarms import heartbeats
from cellwright.runtime.scan.alarms import states as alarm_states
from cellwright.runtime.scan.modes import states
from reference import opcua_model as opcua_reference
from reference import rest as rest_reference
from reference.configuration import reference_markdown
from reference.decisions import decisions_page
from reference.markdown import marked_up, page, table

_ALARM_ACTIVE: Final = (
    "The condition holds. Its quality is Bad while a tag of the condition is, and the alarm keeps "
    "its state."
)

STATE_MEANINGS: Final[Mapping[str, str]] = {
    "INIT": "The scan process attaches. Outputs are safe.",
    "STOP": "Inputs are read, no task runs, outputs are safe.",
    "RUN": "Tasks run, outputs are driven.",
    "PAUSE": "Tasks and scan time are paused; inputs are read, outputs keep their values.",
    "FAULT": "Like STOP, but it takes a reset to leave it. `sys.first_fault` says why.",
}


# --- what the code says of itself -----------------------------------------------------------------


def attribute_docs(owner: type | ModuleType) -> dict[str, str]:
    """The string after each assignment in a class or module, by the assigned name."""
    tree: Any = ast.parse(textwrap.dedent(inspect.getsource(owner)))
    body = tree.body[0].body if isinstance(owner, type) else tree.body
    docs: dict[str, str] = {}
    name = ""
    for node in body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                continue
            case ast.Expr(value=ast.Constant(value=str(text))) if name:
                docs[name] = inspect.cleandoc(text)
        name = ""
    return docs


def summary(owner: type) -> str:
    """A class's docstring as one paragraph of Markdown for each of its own."""
    return marked_up(inspect.cleandoc(owner.__doc__ or ""))


# --- command line ---------------------------------------------------------------------------------


def command_line_page() -> str:
    """Every command of ``cellwright`` with its arguments and options."""
    root: Any = typer.main.get_command(cli.app)
    parts = [
        marked_up(inspect.cleandoc(cli.__doc__ or "")).split("\n\n", 1)[1],
        "A command that talks to a running cell finds it by itself when one cell runs, or when "
        "its file lies in the present folder; else name it with `--cell`.",
    ]
    for words, command in _commands(root, ("cellwright",)):
        parts += [
            f"## `{' '.join(words)}`",
            str(command.help or "").strip(),
            _usage(words, command),
        ]
        rows = [_parameter(parameter) for parameter in command.params]
        if rows:
            parts.append(table(("parameter", "default", "meaning"), rows))
    return page("Command line", *parts)


def _commands(group: Any, words: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        inner = (*words, name)
        if hasattr(command, "commands"):
            yield from _commands(command, inner)
        else:
            yield inner, command


def _usage(words: Sequence[str], command: Any) -> str:
    arguments = []
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            name = parameter.name.upper() + ("..." if parameter.nargs < 0 else "")
            arguments.append(name if parameter.required else f"[{name}]")
    options = any(parameter.param_type_name == "option" for parameter in command.params)
    return "```sh\n" + " ".join([*words, *(["[OPTIONS]"] if options else []), *arguments]) + "\n```"


def _parameter(parameter: Any) -> tuple[str, str, str]:
    option = parameter.param_type_name == "option"
    spelling = ", ".join(parameter.opts) if option else parameter.name.upper()
    default = "**required**" if parameter.required else _default(parameter)
    return f"`{spelling}`", default, parameter.help or ""


def _default(parameter: Any) -> str:
    flag = getattr(parameter, "is_flag", False)
    shown = "" if flag or parameter.default is None else str(parameter.default)
    return f"`{shown}`" if shown else ""


# --- tags -----------------------------------------------------------------------------------------


def tags_page() -> str:
    """Types, system tags and quality codes."""
    types = [
        (code.name, f"{iec.SIZE[code]}" if code in iec.SIZE else "2 + n", _range(code))
        for code in iec.Code
    ]
    docs = attribute_docs(quality)
    codes = sorted((value, name) for name, value in vars(quality).items() if name in docs)
    codes.insert(0, (quality.GOOD, "GOOD"))
    return page(
        "Tags",
        "What a tag can be, which tags every cell has, and what the quality of a value says. "
        "How a tag is declared: [configuration](configuration.md). Units are listed there too.",
        "## Types",
        "Names and sizes of IEC 61131-3. `ARRAY[0..n] OF type` has up to "
        f"{iec.MAX_ARRAY_LENGTH} elements; `STRING(n)` holds 1 to {iec.MAX_STRING_LENGTH} bytes of "
        f"UTF-8, `STRING` alone {iec.DEFAULT_STRING_LENGTH}.",
        table(("type", "bytes in the image", "holds"), types),
        "## System tags",
        "The runtime writes them once a cycle. Programs may bind them as inputs; OPC UA shows them "
        "in the folder `Controller.Resources.PLC1.System`.",
        table(
            ("tag", "type", "unit", "meaning"),
            ((f"`{tag.name}`", str(tag.type), tag.unit, tag.description) for tag in SYSTEM_TAGS),
        ),
        "## Tags of alarms and heartbeats",
        "The runtime makes them for each entry of the configuration's sections `alarms` and "
        "`heartbeats`.",
        table(
            ("tag", "type", "meaning"),
            (
                ("`alarm.<name>.active`", "BOOL", _ALARM_ACTIVE),
                ("`alarm.<name>.acked`", "BOOL", "FALSE while it waits for acknowledgement."),
                (
                    "`alarm.<name>.state`",
                    "USINT",
                    "Number of its [state](states.md#alarms); survives a power failure.",
                ),
                (
                    "`alarms.<group>.first_out`",
                    "STRING(64)",
                    "The alarm of the group that came first, until all of them are normal again.",
                ),
                ("`heartbeat.<name>.alive`", "BOOL", "The other side is alive."),
                ("`heartbeat.<name>.lost`", "BOOL", "No sign of life for longer than `timeout`."),
            ),
        ),
        "## Quality",
        "The image keeps the OPC UA status code of each tag (OPC 10000-8, 6.3). `status`, `tags` "
        "and `watch` show these names:",
        table(
            ("name", "code", "meaning"),
            (
                (f"`{name}`", f"`0x{code:08X}`", docs.get(name, "The value is right."))
                for code, name in codes
            ),
        ),
    )


def _range(code: iec.Code) -> str:
    plain = {
        iec.Code.BOOL: "`true`, `false`",
        iec.Code.STRING: "text of at most n bytes",
        iec.Code.REAL: "IEEE 754, 32 bits",
        iec.Code.LREAL: "IEEE 754, 64 bits",
    }
    if code in plain:
        return plain[code]
    low, high = iec.integer_range(code)
    return f"{low} to {high}" + (" ns" if code is iec.Code.TIME else "")


# --- messages -------------------------------------------------------------------------------------


def events_page() -> str:
    """Commands to the scan, messages to tasks, events, jobs: every field of each."""
    return page(
        "Commands and events",
        "The typed messages that travel through the rings, as msgpack maps. `type` tells them "
        "apart. Events are also what the journal keeps.",
        "## Commands",
        "Anyone to the scan; applied at the start of a cycle. OPC UA writes and methods, and the "
        "command line, become these.",
        _fields(messages.Command, ()),
        *_structs(messages.AnyCommand.__args__, messages.Command),
        "### Answers",
        summary(messages.ReplyCode),
        table(
            ("code", "name"), ((str(int(code)), f"`{code.name}`") for code in messages.ReplyCode)
        ),
        "## Messages to a task",
        "The body of `deliver`; the program finds it in `ctx.inbox`.",
        *_structs(messages.TaskMessage.__args__, messages.Message),
        "## Events",
        summary(messages.Event),
        _fields(messages.Event, ()),
        *_structs(messages.AnyEvent.__args__, messages.Event),
        "## Jobs and results",
        "A program in the scan and its worker process.",
        *_structs((messages.Job, messages.Result), messages.Message),
    )


def _structs(kinds: Iterable[Any], base: type[msgspec.Struct]) -> list[str]:
    parts = []
    for kind in kinds:
        tag = kind.__struct_config__.tag
        parts += [f"### `{tag}`" if tag else f"### {kind.__name__}", summary(kind)]
        rows = _fields(kind, base.__struct_fields__)
        if rows:
            parts.append(rows)
    return parts


def _fields(kind: Any, known: Sequence[str]) -> str:
    docs = attribute_docs(kind)
    rows = [
        (
            f"`{field.name}`",
            _type(field.type),
            "**required**" if field.required else f"`{_field_default(field)!r}`",
            docs.get(field.name, ""),
        )
        for field in msgspec.structs.fields(kind)
        if field.name not in known
    ]
    return table(("field", "type", "default", "meaning"), rows) if rows else ""


def _field_default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return field.default
    factory: Callable[[], Any] = field.default_factory
    return factory()


def _type(annotation: Any) -> str:
    if annotation == iec.Value:
        return "value"
    if annotation == iec.Value | None:
        return "value or None"
    if annotation == messages.TaskMessage:
        return "message to a task"
    name = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    if hasattr(annotation, "__args__"):
        name = str(annotation).replace("typing.", "").replace(" | ", " or ")
    return name


# --- states ---------------------------------------------------------------------------------------


def states_page() -> str:
    """Every state machine of the runtime and the MES that is a table."""
    return page(
        "States",
        *_cell_states(),
        *_gate_states(),
        "## Processes",
        "What `cellwright status` shows of a process.",
        _meanings("state", ProcessState),
        "## Stations",
        "The marking and the vision station are tables too: [marking station](marking_station.md), "
        "[vision station](vision_station.md).",
        *_alarm_states(),
        "## Heartbeats",
        "What is expected of the other side.",
        _meanings("state", heartbeats.Pulse, ALIVE="In time."),
        heartbeats.TABLE.markdown("what a cycle sees"),
        "## Work orders",
        summary(work_order_states.WorkOrderState),
        work_order_states.TABLE.markdown("request"),
        "## Operations",
        summary(operation_states.OperationState),
        operation_states.TABLE.markdown(),
    )


def _meanings(head: str, kind: type[Enum], **more: str) -> str:
    """The members of an enumeration with the string below each, or the one in ``more``."""
    docs = {**more, **attribute_docs(kind)}
    rows = ((text_of(member), docs.get(member.name, "")) for member in kind)
    return table((head, "meaning"), rows)


def _cell_states() -> list[str]:
    guard = attribute_docs(states.Guard)["HEALTHY"]
    actions = attribute_docs(states.Action)
    return [
        "## The cell",
        table(("state", "meaning"), STATE_MEANINGS.items()),
        "Requests that are not in this table are refused. Guard `healthy`: "
        f"{guard[0].lower()}{guard[1:]}",
        states.TABLE.markdown("request"),
        table(
            ("action", "what the scan does"),
            ((action.value, actions[action.name]) for action in states.Action),
        ),
        "The keyswitch is fixed by `cell.mode` or read from the tag `cell.keyswitch`. At STOP the "
        "cell stops and no start is obeyed; at RUN starts and resets that come over the network "
        "are refused; at REMOTE they are obeyed. A stop and a pause are always obeyed.",
    ]


def _gate_states() -> list[str]:
    return [
        "## The output gate",
        "One for each device, in its driver process. Outputs of the scan reach the device in "
        "`enabled` only; in every other state the device gets its safe outputs. "
        + summary(output_gate.Beat),
        output_gate.TABLE.markdown("what the gate sees"),
    ]


def _alarm_states() -> list[str]:
    meanings, signals = attribute_docs(AlarmState), attribute_docs(alarm_states.Signal)
    return [
        "## Alarms",
        summary(AlarmState),
        table(
            ("number", "state", "meaning"),
            ((str(int(state)), state.name, meanings[state.name]) for state in AlarmState),
        ),
        alarm_states.TABLE.markdown("signal"),
        "What is not in the table changes nothing. "
        + " ".join(
            f"`{signal}`: {signals[signal.name]}"
            for signal in alarm_states.Signal
            if signal.name in signals
        ),
    ]


# --- metrics --------------------------------------------------------------------------------------

_METRICS_HEAD: Final = ("metric", "type", "labels", "meaning")


def with_metrics(how_to: str) -> str:
    """The how-to with its table of metrics made anew; what stands around it is written by hand."""
    before, _, rest = how_to.partition(table(_METRICS_HEAD, ()))
    rows = (
        (f"`{one.name}`", one.type, ", ".join(f"`{label}`" for label in one.labels), one.sentence)
        for one in figures.metrics().values()
    )
    return before + table(_METRICS_HEAD, rows) + "\n\n" + rest.partition("\n\n")[2]


# --- pages ----------------------------------------------------------------------------------------

PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "command_line.md": command_line_page,
    "configuration.md": reference_markdown,
    "events.md": events_page,
    "opcua_model.md": opcua_reference.text,
    "openapi.json": rest_reference.openapi_text,
    "rest.md": rest_reference.rest_page,
    "states.md": states_page,
    "tags.md": tags_page,
}
"""File name below ``docs/reference`` to what writes it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write all pages into a folder; 1 when that is not possible."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="docs/reference")
    folder: Path = parser.parse_args(arguments).folder
    texts = {folder / name: write() for name, write in PAGES.items()}
    decisions = folder.parent / "decisions"
    if decisions.is_dir():
        texts[decisions / "README.md"] = decisions_page(decisions)
    how_to = folder.parent / "howto" / "monitor_with_prometheus.md"
    if how_to.is_file():
        texts[how_to] = with_metrics(how_to.read_text(encoding="utf-8"))
    for path, text in texts.items():
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            print(
                f"cannot write {path}: {error.strerror}; name a folder that is there",
                file=sys.stderr,
            )
            return 1
        print(f"wrote {path}")
    return 0
