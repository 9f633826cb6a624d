"""The written reference says what the server does."""

from __future__ import annotations

from pathlib import Path

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import extensionobject_from_binary, extensionobject_to_binary

from cellwright.opcua_model.address_space import ids
from cellwright.opcua_model.isa95 import structures
from reference import opcua_model

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "opcua_model.md"

FIRST_NUMBERS = {"CellType": 1001, "ISA95PropertyDataType": 3001, "ISA95JobOrderDataType": 3017}


def test_the_page_is_what_the_tables_give() -> None:
    assert PAGE.read_text("utf-8") == opcua_model.text()


def test_type_numbers_are_unique_and_the_promised_ones_stand() -> None:
    known = ids.type_numbers()
    assert len(set(known.values())) == len(known)
    assert {name: known[name] for name in FIRST_NUMBERS} == FIRST_NUMBERS


def test_every_structure_survives_encoding_with_and_without_optional_fields() -> None:
    structures.register()
    for cls in structures.STRUCTURES:
        empty = cls()
        assert extensionobject_from_binary(Buffer(extensionobject_to_binary(empty))) == empty
    full = structures.ISA95JobOrderDataType(
        JobOrderID=ua.String("J"),
        Description=[ua.LocalizedText("text")],
        WorkMasterID=[structures.ISA95WorkMasterDataType(ID=ua.String("P"))],
        Priority=ua.Int16(-3),
        MaterialRequirements=[structures.ISA95MaterialDataType(Quantity=ua.String("1.5"))],
    )
    found = extensionobject_from_binary(Buffer(extensionobject_to_binary(full)))
    found.Encoding = full.Encoding
    assert found == full
    assert found.StartTime is None


def test_the_definition_names_the_fields_in_their_order() -> None:
    definition = structures.definition(structures.ISA95JobOrderDataType)
    assert definition.StructureType == ua.StructureType.StructureWithOptionalFields
    assert [field.Name for field in definition.Fields][:5] == [
        "JobOrderID",
        "Description",
        "WorkMasterID",
        "StartTime",
        "EndTime",
    ]
    assert [field.IsOptional for field in definition.Fields][:2] == [False, True]
