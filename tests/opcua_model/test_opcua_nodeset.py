"""The model as a NodeSet2 document: two foreign importers read it again, whole and in silence."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import xml.etree.ElementTree as Et
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from cellwright.io.plan import Plan
from cellwright.opcua_model.model import described, write_nodeset
from cellwright.runtime.config import compile_file
from support.node_peer import run_script
from support.nodeset_facts import facts
from support.opcua_support import cell_plan

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A cell with a MES, whose tags are more than one folder shows."""
    plan = cell_plan(tmp_path_factory.mktemp("nodeset"), reals=210, alarms=2)
    return msgspec.structs.replace(plan, database="sqlite:///mes.db")


@pytest.fixture(scope="module")
def document(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("nodeset") / "cell.xml"
    with file.open("w", encoding="utf-8") as out:
        write_nodeset(plan, datetime(2026, 11, 30, 8, 15, tzinfo=UTC), out)
    return file


def test_asyncua_imports_the_model_again(plan: Plan, document: Path) -> None:
    script = Path(__file__).parents[1] / "support" / "nodeset_facts.py"
    done = subprocess.run(
        [sys.executable, str(script), str(document)], capture_output=True, text=True, check=True
    )
    assert done.stderr == "", "no warning"
    imported, wanted = json.loads(done.stdout), facts(described(plan), 0)
    added = [imported.pop(name)["name"] for name in set(imported) - set(wanted)]
    assert sum(name.startswith("2:urn:") or name[:2] in ("3:", "4:") for name in added) == 3
    assert len(added) == 3 * 8, "the library's NamespaceMetadata of each model"
    assert imported == wanted


@pytest.mark.peer
@pytest.mark.asyncio(loop_scope="session")
async def test_node_opcua_imports_the_model_again(
    plan: Plan, document: Path, node_modules: Path, tmp_path: Path
) -> None:
    report, printed = await run_script("nodeset.js", (str(node_modules), str(document)), tmp_path)
    assert "error" not in report, report
    assert printed == "", "no warning"
    assert report["uris"] == [
        "http://opcfoundation.org/UA/",
        "urn:cellwright:types",
        "urn:cellwright:cell",
        "urn:cellwright:io",
    ]
    assert report["nodes"] == facts(described(plan), 1)


def test_the_document_names_its_models_and_says_what_it_holds(plan: Plan) -> None:
    out = io.StringIO()
    tags = tuple(
        msgspec.structs.replace(tag, description='Weld <A> & "B"') if tag.name == "dwell" else tag
        for tag in plan.tags
    )
    count = write_nodeset(
        msgspec.structs.replace(plan, tags=tags),
        datetime(2026, 11, 30, 8, 15, tzinfo=UTC),
        out,
    )
    root = Et.fromstring(out.getvalue().encode())
    space = {"": "http://opcfoundation.org/UA/2011/03/UANodeSet.xsd"}
    models = root.findall("Models/Model", space)
    assert [model.attrib["ModelUri"] for model in models] == [
        "urn:cellwright:types",
        "urn:cellwright:cell",
        "urn:cellwright:io",
    ]
    assert {model.attrib["PublicationDate"] for model in models} == {"2026-11-30T08:15:00Z"}
    nodes = {node.attrib["NodeId"]: node for node in root if "NodeId" in node.attrib}
    assert len(nodes) == count
    dwell = nodes["ns=3;s=BladeMarking.IO.Memory.dwell"]
    assert dwell.findtext("Description", None, space) == 'Weld <A> & "B"'
    assert dwell.attrib["AccessLevel"] == "3"
    assert dwell.find("Value", space) is None, "the cell's own"
    structure = nodes["ns=1;i=3017"]
    fields = {
        field.attrib["Name"]: field.attrib for field in structure.iter() if "Name" in field.attrib
    }
    assert fields["StartTime"] == {"Name": "StartTime", "DataType": "i=13", "IsOptional": "true"}


def test_no_reference_of_the_blade_cell_leads_nowhere(tmp_path: Path) -> None:
    plan = compile_file(ROOT / "examples/blade_marking/cell.yaml", data=tmp_path)
    assert any(tag.name.startswith("alarm.") for tag in plan.tags)  # system tags without "sys."
    space = described(plan)
    nowhere = {
        f"{node_id.to_string()} -> {item.NodeId.to_string()}"
        for node_id in list(space.keys())
        for item in space[node_id].references
        if item.NodeId not in space
    }
    assert not nowhere
