"""What is made from the models beside plans: schema, reference, first cell, units."""

from __future__ import annotations

import ast
import contextlib
import json
import socket
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from ruamel.yaml import YAML

from cellwright.io.plan import units
from cellwright.io.registry import registry
from cellwright.runtime.cli.templates.first_cell import TemplateError, write_template
from cellwright.runtime.config import check_file, json_schema
from cellwright.runtime.config.sections import model
from reference.configuration import reference_markdown
from support.config_corpus import BENCH

ROOT = Path(__file__).resolve().parents[3]


# --- schema ---------------------------------------------------------------------------------------


def test_the_schema_is_json_and_all_of_its_references_lead_somewhere():
    schema = json.loads(json.dumps(json_schema()))
    names = {f"#/$defs/{name}".replace(" ", "%20") for name in schema["$defs"]}

    def references(node):
        if isinstance(node, dict):
            yield from [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            node = list(node.values())
        if isinstance(node, list):
            for item in node:
                yield from references(item)

    found = set(references(schema))
    assert found
    assert found <= names


def test_the_schema_knows_the_options_of_everything_that_is_registered():
    definitions = json_schema()["$defs"]
    for group in ("drivers", "markers", "cameras"):
        for name in registry.names(group):
            own = registry.load(group, name).Options.model_fields
            assert set(own) < set(definitions[f"device {name}"]["properties"])
            assert definitions[f"device {name}"]["additionalProperties"] is False
    assert "poll" in definitions["device modbus-tcp"]["properties"]
    assert "poll" not in definitions["device telesis"]["properties"]
    for name in registry.names("programs"):
        own = registry.load("programs", name).Options.model_fields
        assert set(own) == set(definitions[f"options of {name}"].get("properties", {}))


def test_the_schema_is_available_when_a_driver_cannot_be_loaded(monkeypatch):
    gone = EntryPoint("gone", "no_such_module:Gone", "cellwright.drivers")
    monkeypatch.setattr(
        registry,
        "entry_points",
        lambda *, group: [*entry_points(group=group), *([gone] if group == gone.group else [])],
    )
    definition = json_schema()["$defs"]["device gone"]
    assert definition["additionalProperties"] is True
    assert "no_such_module" in definition["description"]


def test_every_key_of_the_bench_cell_is_in_the_schema():
    schema = json_schema()
    cell = YAML(typ="safe").load(BENCH / "cell.yaml")
    assert {key for key in cell if not key.startswith("x-")} <= set(schema["properties"])
    for tag in cell["tags"].values():
        assert set(tag) <= set(schema["$defs"]["Tag"]["properties"])
    for task in cell["tasks"].values():
        assert set(task) <= set(schema["$defs"]["Task"]["properties"])


# --- reference ------------------------------------------------------------------------------------


def test_the_printed_reference_is_the_one_in_the_docs():
    page = ROOT / "docs" / "reference" / "configuration.md"
    assert page.read_text(encoding="utf-8") == reference_markdown(), "run: make docs"


def test_every_key_of_every_section_has_a_docstring():
    sections = [
        value
        for value in vars(model).values()
        if isinstance(value, type) and issubclass(value, BaseModel) and value is not BaseModel
    ]
    assert len(sections) > 8
    for section in sections:
        if section is not model.CellFile:
            for key, field in section.model_fields.items():
                assert field.description, f"{section.__name__}.{key}"


def test_every_registered_option_has_a_docstring():
    for group in get_args(registry.Group):
        for name in registry.names(group):
            for key, field in registry.load(group, name).Options.model_fields.items():
                assert field.description, f"{group} {name} {key}"


# --- the first cell -------------------------------------------------------------------------------


def test_the_first_cell_passes_without_a_warning(tmp_path):
    written = write_template(tmp_path / "new" / "cell")
    assert [path.name for path in written] == ["cell.yaml", "clamp.py"]
    report = check_file(written[0])
    assert report.problems == []
    assert report.plan is not None
    assert [task.name for task in report.plan.tasks] == ["clamp"]


def test_the_first_cell_needs_no_device_and_shows_how_to_declare_one(tmp_path):
    path = write_template(tmp_path)[0]
    report = check_file(path)
    assert report.plan is not None
    assert report.plan.devices == ()
    lines = path.read_text(encoding="utf-8").splitlines()
    wanted = ("# devices:", "#   remote_io:", "#   part_present:", "#   clamp_valve:")
    uncommented = [
        line.removeprefix("# ").removeprefix("#") if line.startswith(wanted) else line
        for line in lines
        if line != "devices:"
    ]
    tags = [
        line for line in uncommented if line.lstrip().startswith(("part_present", "clamp_valve"))
    ]
    text = "\n".join(line for line in uncommented if line not in tags)
    text = text.replace("\ntags:\n", "\ntags:\n" + "\n".join("  " + t.strip() for t in tags) + "\n")
    path.write_text(text, encoding="utf-8")
    report = check_file(path)
    assert [problem for problem in report.problems if problem.severity == "error"] == []
    assert report.plan is not None
    assert [device.name for device in report.plan.devices] == ["remote_io"]


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("press", "press"),
        ("blade-cell_2", "blade-cell_2"),
        ("Zelle #1 ü", "Zelle_1_u"),
        ("3rd line", "Cell_3rd_line"),
        ("测试", "Cell"),
        ("x" * 200, "x" * 64),
    ],
)
def test_the_first_cell_has_the_name_of_its_folder(tmp_path, folder, name):
    report = check_file(write_template(tmp_path / folder)[0])
    assert report.problems == []
    assert report.plan is not None
    assert report.plan.cell == name


def test_the_first_cell_takes_a_port_that_nobody_listens_on(tmp_path):
    endpoints = []
    with contextlib.ExitStack() as others:
        for name in ("one", "two"):
            plan = check_file(write_template(tmp_path / name)[0]).plan
            assert plan is not None
            assert plan.opcua is not None
            endpoints.append(plan.opcua.endpoint)
            port = int(plan.opcua.endpoint.rpartition(":")[2])
            others.enter_context(socket.create_server(("127.0.0.1", port)))
    assert endpoints[0] != endpoints[1]


@pytest.mark.parametrize(
    ("host", "said", "holds"),
    [
        ("127.0.0.1", "", "any"),
        ("localhost", "", "any"),
        ("[::1]", "", "any"),
        ("0.0.0.0", "", "trusted"),
        ("[::]", "", "trusted"),
        ("192.168.0.5", "", "trusted"),
        ("cell-7", "", "trusted"),
        ("127.0.0.1", "trusted", "trusted"),
        ("0.0.0.0", "any", "any"),
    ],
)
def test_clients_must_be_trusted_where_other_machines_reach_the_server(host, said, holds):
    section = model.OpcUa(endpoint=f"opc.tcp://{host}:4840", clients=said or None)
    assert section.whose_clients == holds


def test_a_folder_with_content_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(TemplateError, match=r"not empty \(it has mine\.txt\).*empty folder"):
        write_template(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TemplateError, match="cannot make the folder"):
        write_template(tmp_path / "file")


class Image:
    """The values of a program's variables by index, as the process image keeps them."""

    def __init__(self, variables):
        self.values = [variable.initial for variable in variables]

    def get(self, index):
        return self.values[index]

    def set(self, index, value):
        self.values[index] = value


def test_the_first_program_closes_counts_and_opens():
    from cellwright.runtime.cli.templates.clamp import Clamp  # noqa: PLC0415
    from cellwright.tasks.api import ScanContext  # noqa: PLC0415

    variables = Clamp.variables()
    image = Image(variables.values())
    index = {name: number for number, name in enumerate(variables)}
    clamp = Clamp(image, index, Clamp.Options())
    image.values[index["setpoint"]] = 5.0
    image.values[index["close"]] = True
    seen = []
    for cycle in range(300):
        if cycle == 200:
            image.values[index["close"]] = False
        clamp.scan(ScanContext("clamp", cycle, cycle * 10_000_000, first_scan=cycle == 0))
        seen.append((clamp.pressure, clamp.closed, clamp.strokes))
    assert seen[10][0] == pytest.approx(0.4)  # 4 bar a second
    assert seen[120] == (pytest.approx(4.8), False, 0)
    assert seen[199] == (5.0, True, 1)
    assert seen[200][1:] == (False, 1)
    assert seen[205][0] < 5.0


# --- units ----------------------------------------------------------------------------------------


def test_the_unit_id_is_the_code_read_as_a_number():
    assert units.lookup("mm").code == "MMT"
    assert units.lookup("mm").unit_id == 5066068  # OPC 10000-8, 5.6.3.3
    assert units.lookup("%").unit_id == 20529
    assert units.lookup("bar").unit_id == 4342098


def test_there_are_many_units_each_with_its_own_code():
    codes = [unit.code for unit in units.UNITS.values()]
    assert len(codes) >= 80
    assert len(set(codes)) == len(codes)
    assert all(code.isascii() and 1 <= len(code) <= 3 for code in codes)


def test_symbols_for_people_mean_the_same_units():
    assert units.lookup("°C") is units.lookup("degC")
    assert units.lookup("µm") is units.lookup("um")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Bar", "bar"),
        ("MM", "mm"),
        ("celsius", "degC"),
        ("seconds", "s"),
        ("millimetres", "mm"),
        ("kpa", "kPa"),
    ],
)
def test_a_wrong_unit_suggests_the_one_that_was_meant(written, meant):
    assert units.suggest(written)[0] == meant
    with pytest.raises(units.UnknownUnitError, match=f"did you mean '{meant}'"):
        units.lookup(written)


@given(st.text(max_size=20).filter(lambda symbol: symbol not in units.UNITS and len(symbol) > 4))
def test_any_other_symbol_is_refused_with_a_sentence(symbol):
    with pytest.raises(units.UnknownUnitError, match="is not a unit"):
        units.lookup(symbol)


def test_the_template_program_is_python_that_stands_alone():
    source = (ROOT / "runtime" / "cli" / "templates" / "clamp.py").read_text(encoding="utf-8")
    imports = {
        node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)
    }
    assert imports == {"pydantic", "cellwright.tasks.api"}
