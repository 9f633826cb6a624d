"""The job order structures, mirroring the BrowseNames of ISA-95 Job Control (OPC 10031-4, V2).

They live in our own namespace under fixed numbers; clients learn their fields from the
DataTypeDefinition that `definition` derives from these classes. Only data here, no rules.
"""

import types
import typing
from dataclasses import dataclass, field, fields
from typing import Final

from asyncua import ua

from cellwright.opcua_model.address_space.ids import standard, type_id

_NOTHING: Final = ua.String("")
_ZERO: Final = ua.UInt32(0)


@dataclass
class ISA95PropertyDataType:
    """A named value of a resource."""

    data_type = type_id("ISA95PropertyDataType")

    Encoding: ua.UInt32 = field(default=_ZERO, repr=False, init=False, compare=False)
    ID: ua.String = _NOTHING
    Value: ua.Variant = field(default_factory=ua.Variant)
    Description: list[ua.LocalizedText] | None = None
    EngineeringUnits: ua.EUInformation | None = None


@dataclass
class ISA95ParameterDataType:
    """A named value of a job."""

    data_type = type_id("ISA95ParameterDataType")

    Encoding: ua.UInt32 = field(default=_ZERO, repr=False, init=False, compare=False)
    ID: ua.String = _NOTHING
    Value: ua.Variant = field(default_factory=ua.Variant)
    Description: list[ua.LocalizedText] | None = None
    EngineeringUnits: ua.EUInformation | None = None


@dataclass
class ISA95WorkMasterDataType:
    """What a job order makes: here a part number."""

    data_type = type_id("ISA95WorkMasterDataType")

    Encoding: ua.UInt32 = field(default=_ZERO, repr=False, init=False, compare=False)
    ID: ua.String = _NOTHING
    Description: ua.LocalizedText | None = None
    Parameters: list[ISA95ParameterDataType] | None = None


@dataclass
class ISA95PersonnelDataType:
    """People that a job needs or had."""

    data_type = type_id("ISA95PersonnelDataType")

    Encoding: ua.UInt32 = field(default=_ZERO, repr=False, init=False, compare=False)
    ID: ua.String = _NOTHING
    Description: list[ua.LocalizedText] | None = None
    PersonnelUse: ua.String | None = None
    Quantity: ua.String | None = None
    EngineeringUnits: ua.EUInformation | None = None
    Properties: list[ISA95PropertyDataType] | None = None


@dataclass
class ISA95EquipmentDataType:
    """Equipment that a job needs or had."""

    data_type = type_id("ISA95EquipmentDataType")

    Encoding: ua.UInt32 = field(default=_ZERO, repr=False, init=False, compare=False)
    ID: ua.String = _NOTHING
    Description: list[ua.LocalizedText] | None = None
    EquipmentUse: ua.String | None = None
    Quantity: ua.String | None = None
    EngineeringUnits: ua.EUInformation | None = None
    Properties: list[ISA95PropertyDataType] | None = None


@dataclass
class ISA95PhysicalAssetDataType:
    """Physical assets that a job needs or had."""

    data_type = type_id("ISA95PhysicalAssetDataType")

    Encoding: ua.UInt32 = field(default=_ZERO, repr=False, init=False, compare=False)
    ID: ua.String = _NOTHING
    Description: list[ua.LocalizedText] | None = None
    PhysicalAssetUse: ua.String | None = None
    Quantity: ua.String | None = None
    EngineeringUnits: ua.EUInformation | None = None
    Properties: list[ISA95PropertyDataType] | None = None


@dataclass
class ISA95MaterialDataType:
    """Material that a job consumes or produces; ``Quantity`` is a decimal number as text."""

    data_type = type_id("ISA95MaterialDataType")

    Encoding: ua.UInt32 = field(default=_ZERO, repr=False, init=False, compare=False)
    MaterialClassID: ua.String | None = None
    MaterialDefinitionID: ua.String | None = None
    MaterialLotID: ua.String | None = None
    MaterialSublotID: ua.String | None = None
    Description: list[ua.LocalizedText] | None = None
    MaterialUse: ua.String | None = None
    Quantity: ua.String | None = None
    EngineeringUnits: ua.EUInformation | None = None
    Properties: list[ISA95PropertyDataType] | None = None


@dataclass
class ISA95StateDataType:
    """One level of a job order's state."""

    data_type = type_id("ISA95StateDataType")

    BrowsePath: ua.RelativePath = field(default_factory=ua.RelativePath)
    StateText: ua.LocalizedText = field(default_factory=ua.LocalizedText)
    StateNumber: ua.UInt32 = _ZERO


@dataclass
class ISA95JobOrderDataType:
    """A job order as a client stores it."""

    data_type = type_id("ISA95JobOrderDataType")

    Encoding: ua.UInt32 = field(default=_ZERO, repr=False, init=False, compare=False)
    JobOrderID: ua.String = _NOTHING
    Description: list[ua.LocalizedText] | None = None
    WorkMasterID: list[ISA95WorkMasterDataType] | None = None
    StartTime: ua.DateTime | None = None
    EndTime: ua.DateTime | None = None
    Priority: ua.Int16 | None = None
    JobOrderParameters: list[ISA95ParameterDataType] | None = None
    PersonnelRequirements: list[ISA95PersonnelDataType] | None = None
    EquipmentRequirements: list[ISA95EquipmentDataType] | None = None
    PhysicalAssetRequirements: list[ISA95PhysicalAssetDataType] | None = None
    MaterialRequirements: list[ISA95MaterialDataType] | None = None


@dataclass
class ISA95JobOrderAndStateDataType:
    """An element of JobOrderList."""

    data_type = type_id("ISA95JobOrderAndStateDataType")

    JobOrder: ISA95JobOrderDataType = field(default_factory=ISA95JobOrderDataType)
    State: list[ISA95StateDataType] = field(default_factory=list)


@dataclass
class ISA95JobResponseDataType:
    """What came of a job order."""

    data_type = type_id("ISA95JobResponseDataType")

    Encoding: ua.UInt32 = field(default=_ZERO, repr=False, init=False, compare=False)
    JobResponseID: ua.String = _NOTHING
    Description: ua.LocalizedText | None = None
    JobOrderID: ua.String = _NOTHING
    StartTime: ua.DateTime | None = None
    EndTime: ua.DateTime | None = None
    JobState: list[ISA95StateDataType] = field(default_factory=list)
    JobResponseData: list[ISA95ParameterDataType] | None = None
    PersonnelActuals: list[ISA95PersonnelDataType] | None = None
    EquipmentActuals: list[ISA95EquipmentDataType] | None = None
    PhysicalAssetActuals: list[ISA95PhysicalAssetDataType] | None = None
    MaterialActuals: list[ISA95MaterialDataType] | None = None


STRUCTURES: Final[tuple[type, ...]] = (
    ISA95PropertyDataType,
    ISA95ParameterDataType,
    ISA95WorkMasterDataType,
    ISA95PersonnelDataType,
    ISA95EquipmentDataType,
    ISA95PhysicalAssetDataType,
    ISA95MaterialDataType,
    ISA95StateDataType,
    ISA95JobOrderDataType,
    ISA95JobOrderAndStateDataType,
    ISA95JobResponseDataType,
)

_BUILT_IN: Final[dict[type, int]] = {
    ua.String: ua.ObjectIds.String,
    ua.Int16: ua.ObjectIds.Int16,
    ua.UInt32: ua.ObjectIds.UInt32,
    ua.DateTime: ua.ObjectIds.DateTime,
    ua.LocalizedText: ua.ObjectIds.LocalizedText,
    ua.Variant: ua.ObjectIds.BaseDataType,
    ua.EUInformation: ua.ObjectIds.EUInformation,
    ua.RelativePath: ua.ObjectIds.RelativePath,
}


def encoding_id(cls: type) -> ua.NodeId:
    """NodeId of the Default Binary encoding of one of these structures."""
    return type_id(f"{cls.__name__}_Encoding_DefaultBinary")


def definition(cls: type) -> ua.StructureDefinition:
    """The DataTypeDefinition of one of these structures (OPC 10000-3, 8.48)."""
    out = ua.StructureDefinition()
    out.DefaultEncodingId = encoding_id(cls)
    out.BaseDataType = standard(ua.ObjectIds.Structure)
    out.StructureType = ua.StructureType.Structure
    hints = typing.get_type_hints(cls)
    for item in fields(cls):
        if item.name == "Encoding":
            out.StructureType = ua.StructureType.StructureWithOptionalFields
            continue
        hint = hints[item.name]
        entry = ua.StructureField()
        entry.Name = ua.String(item.name)
        entry.IsOptional = isinstance(hint, types.UnionType)
        if entry.IsOptional:
            hint = next(arm for arm in typing.get_args(hint) if arm is not type(None))
        entry.ValueRank = ua.Int32(-1)
        if typing.get_origin(hint) is list:
            hint = typing.get_args(hint)[0]
            entry.ValueRank = ua.Int32(1)
        built_in = _BUILT_IN.get(hint)
        entry.DataType = standard(built_in) if built_in is not None else hint.data_type
        out.Fields.append(entry)
    return out


def register() -> None:
    """Teach the library's codec these structures; done once for the process, repeats are free.

    The codec knows structures by the NodeId of their encoding, which is fixed by ``types.csv``.
    """
    for cls in STRUCTURES:
        ua.register_extension_object(cls.__name__, encoding_id(cls), cls, type_id(cls.__name__))
