"""Writes ``docs/reference/opcua_model.md`` from the tables that the server itself uses.

A test compares the file with what this gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from asyncua import ua

from cellwright.io.image import figures
from cellwright.io.messages import ReplyCode
from cellwright.io.plan import Code, TagType
from cellwright.opcua_model.address_space import ids
from cellwright.opcua_model.address_space.ids import status_code
from cellwright.opcua_model.address_space.values import wire_type
from cellwright.opcua_model.isa95 import job_control, job_orders, mes_view, structures
from cellwright.opcua_model.isa95.work_orders import fields as order_fields
from cellwright.opcua_model.nodes.controller import REQUESTS
from cellwright.opcua_model.nodes.diagnostics import variables
from cellwright.opcua_model.security.access import CHANGE_ORDERS, CONTROL_CELL, CREATE_ORDERS
from cellwright.opcua_model.services import limits
from cellwright.opcua_model.services.writes import STATUS

_TREE = """\
```
Objects
├ Server                                   standard; diagnostics and limits are true
├ Machines/<Cell>
│ ├ Identification
│ ├ MachineryBuildingBlocks                MachineryItemState, OperationCounters
│ ├ Status                                 operating state and PackML state
│ ├ Marking/<task>, Vision/<task>          the task's own tags
│ ├ JobManagement                          JobOrderControl, JobOrderResults
│ └ MES                                    WorkOrders/<number>, WorkOrderCount
├ Controller
│ ├ Resources/PLC1/{Tasks/<task>, System, MethodSet}
│ └ Devices/<device>
└ IO/{Inputs,Outputs,Memory}/<device or owner>/<tag>
```"""

_ORDER_METHODS = """\
Each order has the methods of `MES/WorkOrderControl` that ask for an order, without `Id`: \
`MES/WorkOrders/<number>.Hold(Reason, Version)`. A method is one node, at the type of orders."""

_RULES = """\
- A NodeId spells the path below the cell: `ns=4;s=<Cell>.IO.Inputs.remote_io.part_present`,
  `ns=3;s=<Cell>.Status.State`. It is never given to something else.
- A tag is read with the quality and the source timestamp of the image. A Bad value is null.
- Only tags with `write` roles can be written, only by users with one of these roles, and only
  their value: no status, no timestamp, no index range. Everything else is read-only.
- Writes and job order methods run as the user of the session, who lands in the audit."""


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(str(cell) for cell in row)} |"
    yield ""


def _name_of(data_type: ua.NodeId) -> str:
    number = data_type.Identifier
    if data_type.NamespaceIndex == 0 and isinstance(number, int):
        return ua.ObjectIdNames[number]
    return next(name for name, held in ids.type_numbers().items() if held == number)


def _roles(roles: frozenset[str]) -> str:
    return ", ".join(sorted(roles)) or "anyone"


def _structures() -> Iterator[str]:
    for cls in structures.STRUCTURES:
        definition = structures.definition(cls)
        yield f"### {cls.__name__}"
        yield ""
        yield (cls.__doc__ or "").strip()
        yield f"DataType `ns=2;i={ids.type_numbers()[cls.__name__]}`, encoding "
        yield f"`ns=2;i={definition.DefaultEncodingId.Identifier}`."
        yield ""
        yield from _table(
            ("Field", "Type", "Optional"),
            (
                (
                    field.Name,
                    _name_of(field.DataType) + ("[]" if field.ValueRank == 1 else ""),
                    "yes" if field.IsOptional else "",
                )
                for field in definition.Fields
            ),
        )


def _job_orders() -> Iterator[str]:
    yield "## Starting and stopping the cell"
    yield ""
    yield "MethodSet of the controller's resource. Each takes a reason, gives Accepted and Answer,"
    yield "which says why it was refused or what fault came in the first cycles after it;"
    yield f"roles: {_roles(CONTROL_CELL)}. The keyswitch may forbid starts and resets from here."
    yield ""
    yield from _table(("Method", "What it asks"), ((name, text) for name, _, text in REQUESTS))
    yield "## Job orders"
    yield ""
    yield "ISA-95 Job Control (OPC 10031-4, V2) in our own namespace. A method's call is Good also"
    yield "when the MES refuses; then `ReturnStatus` says why."
    yield ""
    yield from _table(
        ("Method", "Inputs", "Roles"),
        [
            *((verb, "JobOrder, Comment[]", _roles(CREATE_ORDERS)) for verb in mes_view.STORING),
            *((verb, "JobOrderID, Comment[]", _roles(CHANGE_ORDERS)) for verb in mes_view.MOVING),
            ("RequestJobResponseByJobOrderID", "JobOrderID", "anyone"),
        ],
    )
    yield (job_orders.from_client.__doc__ or "").replace("    ", "").strip()
    yield ""
    yield from _table(
        ("ReturnStatus", "Meaning", "MES error codes"),
        (
            (
                f"bit {bit.bit_length() - 1}",
                meaning,
                ", ".join(code for code, found in job_control.BITS.items() if found == bit),
            )
            for bit, meaning in (
                (job_control.NO_ERROR, "no error"),
                (job_control.UNKNOWN_ORDER, "unknown job order id"),
                (job_control.INVALID_STATE, "not in this state"),
                (job_control.CANNOT_ACCEPT, "unable to accept the job order"),
                (job_control.INVALID_REQUEST, "invalid request, and any other code"),
            )
        ),
    )
    yield from _table(
        ("State of the work order", "State of the job order"),
        (
            (state, " / ".join(f"{name} {number}" for name, number in path))
            for state, path in job_orders.STATES.items()
        ),
    )


def _limits() -> Iterator[str]:
    yield "## Limits"
    yield ""
    yield from _table(
        ("Limit", "Value"),
        (
            (f"`{name}`", f"{value:,}" if isinstance(value, int) else f"{value:g}")
            for name, value in vars(limits).items()
            if name.isupper() and isinstance(value, int | float)
        ),
    )


def _lines() -> Iterator[str]:
    yield "# OPC UA model"
    yield ""
    yield "<!-- Written by `make docs` from the code; do not edit. -->"
    yield ""
    yield _TREE
    yield ""
    yield _RULES
    yield ""
    yield "## Namespaces"
    yield ""
    yield from _table(
        ("Index", "URI"),
        (
            (0, "http://opcfoundation.org/UA/"),
            (1, "urn:cellwright:&lt;site&gt;:&lt;cell&gt; (the application)"),
            (ids.TYPES, ids.TYPES_URI),
            (ids.CELL, ids.CELL_URI),
            (ids.IO, ids.IO_URI),
        ),
    )
    yield "## Tags"
    yield ""
    yield from _table(
        ("IEC 61131-3", "OPC UA DataType", "Built-in type"),
        (
            (code.name, _name_of(wire.data_type), wire.variant.name)
            for code in Code
            for wire in (wire_type(TagType(code, 80 if code is Code.STRING else 0)),)
        ),
    )
    yield "## Answers to a write"
    yield ""
    yield from _table(
        ("Scan's answer", "StatusCode"),
        ((ReplyCode(code).name, status_code(status).name) for code, status in STATUS.items()),
    )
    yield "The server itself answers BadUserAccessDenied (role missing, or anonymous),"
    yield "BadNotWritable, BadTypeMismatch, BadOutOfRange, BadWriteNotSupported, BadTimeout (no"
    yield f"answer within {limits.WRITE_TIMEOUT_S:g} s) and BadResourceUnavailable (no way to"
    yield "the scan)."
    yield ""
    yield "## Tasks and devices"
    yield ""
    yield from _table(
        ("Variable", "Type", "Meaning"),
        (
            (name, kind.name, text)
            for name, kind, _, text in variables((*figures.TASK, *figures.DEVICE))
        ),
    )
    yield "## Work orders"
    yield ""
    yield (
        f"At most {mes_view.MAX_ORDERS} orders: those in work, then those that wait, then the "
        f"newest ended ones. The newest {mes_view.MAX_UNITS} parts of each, and of all orders "
        f"together at most {mes_view.MAX_UNITS_OF_ALL} parts: orders under way come first, then "
        "the newest; an order whose parts do not fit any more shows none. "
        "`RequestJobResponseByJobOrderID` reads orders and parts that are not shown from the "
        "database."
    )
    yield ""
    yield from _table(("Variable", "Type", "Meaning"), order_fields())
    yield from (_ORDER_METHODS, "")
    yield from _job_orders()
    yield "## Structures"
    yield ""
    yield from _structures()
    yield from _limits()


def text() -> str:
    """The whole page."""
    return "\n".join(_lines()).rstrip() + "\n"
