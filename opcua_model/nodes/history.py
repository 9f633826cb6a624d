"""What the server says of its history: capabilities, aggregates, how tags are recorded.

Added to the standard's objects when the cell records any tag (OPC 10000-11, 5.2 and 5.4;
OPC 10000-13, 5.2).
"""

from __future__ import annotations

from typing import Any, Final

from asyncua import ua

from cellwright.io.plan import Tag
from cellwright.opcua_model.address_space.builder import ORGANIZES, Builder, replace
from cellwright.opcua_model.address_space.ids import below, cell_id, standard
from cellwright.opcua_model.services import limits
from cellwright.opcua_model.services.history.computed import AGGREGATES, is_stepped

_ID = ua.ObjectIds
_T = ua.VariantType
_BASE: Final = "HistoryServerCapabilities"
_TYPE: Final = standard(_ID.HistoricalDataConfigurationType)
_AGGREGATES_TYPE: Final = standard(_ID.AggregateConfigurationType)
_CONFIGURED: Final = standard(_ID.HasHistoricalConfiguration)
_CAPABILITIES: Final[dict[str, bool]] = {
    "AccessHistoryDataCapability": True,
    "AccessHistoryEventsCapability": True,
    "InsertDataCapability": False,
    "ReplaceDataCapability": False,
    "UpdateDataCapability": False,
    "DeleteRawCapability": False,
    "DeleteAtTimeCapability": False,
    "InsertEventCapability": False,
    "ReplaceEventCapability": False,
    "UpdateEventCapability": False,
    "DeleteEventCapability": False,
    "InsertAnnotationCapability": False,
    "ServerTimestampSupported": False,
}


def configured(builder: Builder, tag: Tag) -> ua.ReferenceDescription:
    """The reference from a recorded tag to how it is recorded."""
    return builder.describe(_CONFIGURED, _configuration(is_stepped(tag.type)), forward=True)


def _configuration(stepped: bool) -> ua.NodeId:
    return cell_id("HistoricalDataConfiguration." + ("Stepped" if stepped else "Sloped"))


def add_history_nodes(builder: Builder) -> None:
    """Once, before the tags are asked for."""
    for name, able in _CAPABILITIES.items():
        _set(builder, f"{_BASE}_{name}", ua.Variant(able, _T.Boolean))
    for name, most in (("Data", limits.MAX_HISTORY_VALUES), ("Event", limits.MAX_HISTORY_EVENTS)):
        _set(builder, f"{_BASE}_MaxReturn{name}Values", ua.Variant(most, _T.UInt32))
    base = "Server_ServerCapabilities"
    name = f"{base}_OperationLimits_MaxNodesPerHistoryReadData"
    _set(builder, name, ua.Variant(limits.MAX_NODES_PER_HISTORY_READ, _T.UInt32))
    folders = [_node(f"{place}_AggregateFunctions") for place in (base, _BASE)]
    for aggregate in AGGREGATES:
        for folder in folders:
            builder.reference(folder, ORGANIZES, aggregate)
    for stepped in (False, True):
        _add_configuration(builder, stepped)


def _add_configuration(builder: Builder, stepped: bool) -> None:
    """One object for all tags that are recorded alike."""
    node_id = _configuration(stepped)
    name = "HA Configuration"
    builder.object(_node(_BASE), node_id, name, _TYPE, namespace=0)
    _property(builder, node_id, "Stepped", stepped, _T.Boolean)
    _property(builder, node_id, "ServerTimestampSupported", False, _T.Boolean)
    rules = builder.object(
        node_id, below(node_id, "AggregateConfiguration"), "AggregateConfiguration",
        _AGGREGATES_TYPE, namespace=0,
    )  # fmt: skip
    for rule, value, variant in (
        ("TreatUncertainAsBad", True, _T.Boolean),
        ("PercentDataBad", 100, _T.Byte),
        ("PercentDataGood", 100, _T.Byte),
        ("UseSlopedExtrapolation", False, _T.Boolean),
    ):
        _property(builder, rules, rule, value, variant)


def _property(
    builder: Builder, owner: ua.NodeId, name: str, value: Any, variant: ua.VariantType
) -> None:
    data_type = standard(variant.value)
    builder.property(owner, below(owner, name), name, ua.Variant(value, variant), data_type)


def _node(name: str) -> ua.NodeId:
    return standard(getattr(_ID, name))


def _set(builder: Builder, name: str, value: ua.Variant) -> None:
    node = builder.space[_node(name)]
    replace(node, ua.DataValue(value, SourceTimestamp=builder.made, ServerTimestamp=builder.made))
