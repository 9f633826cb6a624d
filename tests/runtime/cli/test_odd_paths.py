"""A cell works in whatever folder somebody gives it: a path is never taken for something else."""

from __future__ import annotations

import json
import os
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from cellwright.io.files.sqlite_url import sqlite_file, sqlite_url, sqlite_url_in
from cellwright.mes.service.catalogue import open_store
from cellwright.runtime.config import compile_file
from support.small_cell import SmallCell

FOLDERS = (
    "Zelle #1 ü%20?&=x'",
    '50% off; $HOME `id` "quoted" [bold]x[red] :warning: {0}',
    "a:b\\c|d*[!e]<f>~",
)


@pytest.mark.parametrize("name", FOLDERS)
def test_the_store_lies_in_the_data_folder_whatever_its_name(tmp_path: Path, name: str) -> None:
    data = tmp_path / name / "data"
    data.mkdir(parents=True)
    url = sqlite_url_in(data, "sqlite:///mes.db")
    assert url == sqlite_url(data / "mes.db")
    assert sqlite_file(url) == data / "mes.db"
    open_store(url).close()
    assert (data / "mes.db").exists()
    assert [found.name for found in tmp_path.iterdir()] == [name], "and nothing beside it"


@pytest.mark.parametrize(
    "url", ["sqlite:////var/lib/a b/mes.db", "postgresql://me@plant/mes?sslmode=require"]
)
def test_a_url_that_is_not_relative_stays_as_it_is(url: str) -> None:
    assert sqlite_url_in(Path("/data #1"), url) == url


def test_what_a_person_writes_behind_the_slashes_stays_a_url(tmp_path: Path) -> None:
    url = sqlite_url_in(tmp_path / "a?b", "sqlite:///my%20store.db?timeout=5")
    assert sqlite_file(url) == tmp_path / "a?b" / "my store.db"
    assert sqlite_file("postgresql://me@plant/mes") is None


def told(cell: SmallCell, *words: str) -> str:
    done = cell.type(*words)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


def typed_back(line: str) -> list[str]:
    """What a shell makes of a command that was printed."""
    return shlex.split(line)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_cell_in_an_odd_folder_is_checked_simulated_and_named_in_commands_to_copy(
    tmp_path: Path, name: str
) -> None:
    cell = SmallCell(tmp_path / name, tmp_path / "run")
    yaml = YAML()
    content = yaml.load(cell.file)
    content["mes"] = {"database": "sqlite:///mes.db"}
    yaml.dump(content, cell.file)
    assert told(cell, "check").startswith(f"{cell.file}: correct")
    plan = compile_file(cell.file)
    assert sqlite_file(plan.database or "") == cell.folder / "data" / "mes.db"
    recording = f"{name} [x].cwrec"
    done = cell.command("simulate", ".", "--for", "2s", "--record", recording)
    assert done.returncode == 0, done.stderr
    assert "identical" in told(cell, "replay", recording)
    page = f"{name} <b>.html"
    said = told(cell, "scope", "clamp_pressure", "--file", recording, "--html", page)
    assert said == f"wrote {page}\n"
    done = cell.type("mes", "orders")
    assert done.returncode == 1
    command = done.stderr.strip().partition("they begin with '")[2].removesuffix("'")
    assert typed_back(command) == ["cellwright", "run", str(cell.file)]
    new = tmp_path / f"{name} 2"
    said = told(cell, "init", str(new))
    check, _, run = said.splitlines()[-1].removeprefix("next: ").partition(" && ")
    assert typed_back(check) == ["cellwright", "check", str(new)]
    assert typed_back(run) == ["cellwright", "run", str(new)]
    assert f"wrote {new / 'cell.yaml'}" in said


def test_a_folder_whose_name_is_not_utf8_is_refused_with_a_remedy(tmp_path: Path) -> None:
    cell = SmallCell(tmp_path / os.fsdecode(b"Zelle \xff"), tmp_path / "run")
    for words in (("check",), ("run",)):
        done = cell.command(*words)
        assert done.returncode == 2, done.stderr
        assert "is not UTF-8" in done.stderr
        assert "give the folder another name" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_cell_in_an_odd_folder_runs_with_its_store_and_everything_finds_it(
    tmp_path: Path,
) -> None:
    cell = SmallCell(tmp_path / FOLDERS[0], tmp_path / "run #1 [bold]")
    yaml = YAML()
    content = yaml.load(cell.file)
    content["mes"] = {"database": "sqlite:///mes.db"}
    yaml.dump(content, cell.file)
    with cell.running() as supervisor:
        status: dict[str, Any] = json.loads(told(cell, "status", "--json"))
        assert status["source"] == str(cell.file)
        assert str(cell.file) in told(cell, "status")
        told(cell, "mes", "orders")
        assert "chain intact" in told(cell, "mes", "verify")
        assert told(cell, "tags", "set", "clamp_setpoint", "6") == (
            f"FirstCell: clamp_setpoint = 6.0 ({cell.file})\n"
        )
        program = cell.folder / "clamp.py"
        program.write_text(program.read_text().replace("self.strokes += 1", "self.strokes += 2"))
        assert "loaded anew" in told(cell, "change", "--yes")
        kept = told(cell, "record").strip()
        assert Path(kept).parent == cell.folder / "data" / "recordings"
        assert Path(kept).name in told(cell, "recordings")
        assert "identical" in told(cell, "replay", kept)
        assert supervisor.poll() is None
        supervisor.send_signal(signal.SIGINT)
        supervisor.wait(60)
    assert (cell.folder / "data" / "mes.db").exists()
    assert {found.name for found in tmp_path.iterdir()} <= {FOLDERS[0], "run #1 [bold]"}


def test_a_value_that_looks_like_markup_is_shown_as_it_is(tmp_path: Path) -> None:
    cell = SmallCell(tmp_path / "cell", tmp_path / "run")
    yaml = YAML()
    content = yaml.load(cell.file)
    content["tags"]["note"] = {"type": "STRING(20)", "memory": True, "write": ["Operator"]}
    yaml.dump(content, cell.file)
    with cell.running():
        for value in ("[bold]x[/]", "[/]", ":warning: a", "5 [bar]"):
            assert told(cell, "tags", "set", "note", value) == (
                f"FirstCell: note = {value} ({cell.file})\n"
            )
            assert told(cell, "force", "note", value) == (
                f"FirstCell: note forced to {value} ({cell.file})\n"
            )
            assert told(cell, "tags", "get", "note") == f"{value}\n"
            assert value in told(cell, "tags", "list", "note")
