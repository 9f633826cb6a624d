"""Scripts of timed inputs, and ``cellwright simulate`` without a plant."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cellwright.io.plan import Code, Plan
from cellwright.runtime.cli.main import app
from cellwright.runtime.cli.templates.first_cell import write_template
from cellwright.runtime.config import check_file, compile_file
from cellwright.runtime.simulation import SimulatedCell, SimulationError
from cellwright.runtime.simulation.inputs import play, read_script

BENCH = Path(__file__).parents[1] / "cells" / "bench" / "cell.yaml"
MS = 1_000_000


@pytest.fixture(scope="module")
def bench() -> Plan:
    """The cell with one of everything."""
    sys.path.insert(0, str(BENCH.parent))
    return compile_file(BENCH)


@pytest.fixture
def first(tmp_path: Path) -> Iterator[Path]:
    """The folder that ``cellwright init`` writes."""
    write_template(tmp_path / "first")
    yield tmp_path / "first"
    # Each test's program lies in another folder, under the same name.
    sys.modules.pop("clamp", None)


def written(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


CSV = """time,tag,value
1.5s, part_present, true
200ms, air_pressure, 6.25
3, recipe, 4
"""
YAML = """- {time: 1.5s, tag: part_present, value: true}
- {time: 200ms, tag: air_pressure, value: 6.25}
- {time: 3, tag: recipe, value: 4}
"""


@pytest.mark.parametrize(("name", "text"), [("in.csv", CSV), ("in.yaml", YAML)])
def test_a_script_is_read_in_the_order_of_its_times(
    bench: Plan, tmp_path: Path, name: str, text: str
):
    found = read_script(written(tmp_path, name, text), bench)
    assert [(one.at_ns // MS, one.tag.name, one.value) for one in found] == [
        (200, "air_pressure", 6.25),
        (1500, "part_present", True),
        (3000, "recipe", 4),
    ]


@pytest.mark.parametrize("text", ["00123", "1.10", "0x1F", "null", "yes", "'a b'", "1e3"])
def test_a_text_in_a_script_is_taken_as_it_is_written(bench: Plan, tmp_path: Path, text: str):
    name = next(tag.name for tag in bench.tags if tag.type.code is Code.STRING)
    script = f"- {{time: 1s, tag: {name}, value: {text}}}\n"
    (one,) = read_script(written(tmp_path, "in.yaml", script), bench)
    assert one.value == text.strip("'")


def test_inputs_and_writes_of_a_script_happen_at_their_times(bench: Plan, tmp_path: Path):
    script = read_script(written(tmp_path, "in.csv", CSV), bench)
    with SimulatedCell(bench) as cell:
        play(cell, script)
        cell.run_for("1490ms")
        assert (cell["part_present"], cell["recipe"]) == (False, 1)
        assert cell["air_pressure"] == pytest.approx(6.25, abs=1e-3)
        cell.run_for("40ms")
        assert (cell["part_present"], cell["recipe"]) == (True, 1)
        cell.run_for("1500ms")
        assert cell["recipe"] == 4


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("in.csv", "at,tag,value\n", r"in\.csv:1: the header must be time,tag,value"),
        ("in.csv", "time,tag,value\n1s,recipe\n", r"in\.csv:2: a row has three columns"),
        ("in.csv", "time,tag,value\n1s,recipe,2,3\n", r"in\.csv:2: a row has three columns"),
        ("in.csv", "time,tag,value\n1s,recipe,2\nsoon,recipe,3\n", r"in\.csv:3: .*duration"),
        ("in.csv", "time,tag,value\n1s,recipy,2\n", r"in\.csv:2: .*recipe"),
        ("in.csv", "time,tag,value\n1s,recipe,much\n", r"in\.csv:2: recipe: INT takes a number"),
        ("in.yaml", "time: 1s\n", r"in\.yaml:1: write a list"),
        ("in.yaml", "- {time: 1s}\n", r"in\.yaml:1: a row has the keys time, tag, value"),
        ("in.yaml", "- {time: 1s\n", "is not YAML"),
        ("in.csv", "time,tag,value\nnan,recipe,2\n", r"in\.csv:2: 'nan' is not a duration"),
        ("in.csv", "time,tag,value\n1e400,recipe,2\n", r"in\.csv:2: the time 1e400 is later"),
        ("in.csv", "time,tag,value\n-1,recipe,2\n", r"in\.csv:2: '-1' is not a duration"),
        ("in.csv", "time,tag,value\n1s,air_pressure,1e400\n", "is larger than any number"),
        ("in.csv", "time,tag,value\n1s,rec\x00ipe,2\n", r"in\.csv:2: "),
    ],
)
def test_a_wrong_script_is_refused_with_its_line(
    bench: Plan, tmp_path: Path, name: str, text: str, complaint: str
):
    with pytest.raises(SimulationError, match=complaint):
        read_script(written(tmp_path, name, text), bench)


def test_a_script_that_is_not_there_is_an_error_that_names_it(bench: Plan, tmp_path: Path):
    with pytest.raises(
        SimulationError, match=r"none\.csv cannot be read: No such file or directory; give"
    ):
        read_script(tmp_path / "none.csv", bench)


def simulate(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own: it sets up logging, which is global."""
    command = [sys.executable, "-m", "cellwright.runtime.cli", "simulate", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_command_tells_scans_events_and_chain(first: Path):
    script = written(first, "in.csv", "time,tag,value\n1s,close_request,false\n")
    words = (first, "--for", "2s", "--set", "close_request=true", "--inputs", script, "--json")
    result = simulate(*words)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["scans"], found["skipped"], found["state"]) == (200, 0, "RUN")
    assert found["events"] == {"mode_changed": 2, "tag_written": 2}
    assert len(found["chain"]) == 64
    assert found["files"] == 0


def test_a_cell_is_simulated_at_a_multiple_of_real_time(first: Path):
    result = simulate(first, "--for", "4s", "--speed", "10", "--json")
    found = json.loads(result.stdout)
    assert found["simulated_s"] == 4.0
    assert found["real_s"] >= 0.3  # a loaded machine may take longer, never less


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--speed", "fast"], "'fast' is not a speed; write max or a number above 0"),
        (["--for", "long"], "'long' is not a duration"),
        (["--set", "close_request"], "sets nothing; write tag=value"),
        (["--set", "close_request=perhaps"], "BOOL takes true or false"),
        (["--parts", "3"], "names no plant model"),
        (["--plant", "nowhere:Model"], "cannot import nowhere"),
        (["--plant", "clamp:Clamp"], "is not a plant model"),
        (["--inputs", "none.csv"], "none.csv cannot be read"),
        (["--record", "/nonexistent/x.cwrec"], "no recording can be written to /nonexistent/x.cw"),
        (["--set", "clamp_setpoint=1e400"], "is larger than any number"),
    ],
)
def test_what_cannot_be_simulated_is_said(first: Path, words: list[str], complaint: str):
    result = CliRunner().invoke(app, ["simulate", str(first), *words])
    assert result.exit_code == 1
    assert complaint in " ".join(result.output.split())


def test_a_data_folder_with_something_in_it_is_refused(first: Path):
    result = CliRunner().invoke(app, ["simulate", str(first), "--data", str(first)])
    assert result.exit_code == 1
    assert "is not empty; name a new one" in " ".join(result.output.split())


def test_services_without_master_data_are_refused(first: Path):
    plan = compile_file(first / "cell.yaml")
    with pytest.raises(SimulationError, match="has no master data"):
        SimulatedCell(plan, mes="services")


def test_the_configuration_names_the_plant_model_and_its_options_without_loading_it(first: Path):
    file = first / "cell.yaml"
    with file.open("a", encoding="utf-8") as text:
        text.write("\nsimulation: {plant: 'nowhere:Tank', options: {parts: 3, faults: [a, b]}}\n")
    settings = compile_file(file).simulation
    assert settings is not None
    assert settings.plant == "nowhere:Tank"
    assert settings.options == {"parts": 3, "faults": ["a", "b"]}
    result = CliRunner().invoke(app, ["simulate", str(first)])
    assert result.exit_code == 1
    assert "cannot import nowhere" in " ".join(result.output.split())


def test_a_plant_model_that_is_no_class_of_a_module_is_a_problem_of_the_file(first: Path):
    file = first / "cell.yaml"
    with file.open("a", encoding="utf-8") as text:
        text.write("\nsimulation: {plant: Tank}\n")
    (problem,) = check_file(file).problems
    assert "'Tank' names no plant model" in str(problem)
    assert "write module:Class" in str(problem)
