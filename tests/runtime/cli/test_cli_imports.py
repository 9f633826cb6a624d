"""What a command loads: looking at a running cell must not cost what compiling one does."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest
import typer.main

from cellwright.runtime.cli.help import PANELS
from cellwright.runtime.cli.main import app
from support.small_cell import SmallCell

HEAVY = frozenset(
    {
        "alembic", "argon2", "asyncio", "asyncua", "cellwright.mes", "cellwright.opcua_model",
        "cellwright.runtime.config", "cellwright.runtime.diagnosis", "cellwright.runtime.recorder",
        "cellwright.runtime.scan", "cellwright.runtime.simulation",
        "cellwright.runtime.supervision", "cellwright.tasks", "cellwright.web", "cryptography",
        "httptools", "litestar", "lupa", "numpy", "pymodbus", "ruamel", "sqlalchemy", "structlog",
        "uvicorn", "uvloop", "zxingcpp",
    }
)  # fmt: skip
"""What compiling, running and recording a cell and its MES take. pydantic alone is not among them:
typer itself reads options with it."""
IMAGE = frozenset({"cellwright.io", "cellwright.native", "msgspec"})
TABLES = frozenset({"rich"})


def loaded_by(cell: SmallCell, *words: str) -> set[str]:
    """Names of all modules that a process has loaded which ran the command to its end."""
    run = "from cellwright.runtime.cli.main import app; app(standalone_mode=False)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {run}; print('\\n', *sys.modules)", *words],
        env={**cell.environment},
        cwd=cell.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done
    return set(done.stdout.rpartition("\n ")[2].split())


def among(loaded: set[str], unwanted: frozenset[str]) -> list[str]:
    """Which of them were loaded, or something of theirs."""
    return sorted(
        name
        for name in unwanted
        if any(one == name or one.startswith(f"{name}.") for one in loaded)
    )


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallCell]:
    """A cell that runs."""
    place = tmp_path_factory.mktemp("looked-at")
    small = SmallCell(place / "cell", place / "run")
    running: AbstractContextManager[object] = small.running()
    with running:
        yield small


def test_the_version_loads_neither_an_image_nor_tables(cell: SmallCell) -> None:
    for words in (["--version"], ["version"]):
        loaded = loaded_by(cell, *words)
        assert "typer" in loaded
        assert among(loaded, HEAVY | IMAGE | TABLES) == []


def test_the_list_of_the_commands_loads_no_command(cell: SmallCell) -> None:
    assert among(loaded_by(cell, "--help"), HEAVY | IMAGE) == []


@pytest.mark.parametrize(
    "words",
    [
        ("tags", "get", "clamp_pressure"),
        ("tags", "get", "clamp_pressure", "--full"),
        ("tags", "list", "--json"),
        ("status", "--json"),
        ("alarms", "--json"),
    ],
    ids=" ".join,
)
def test_looking_at_a_running_cell_loads_its_image_and_no_compiler_and_no_tables(
    cell: SmallCell, words: tuple[str, ...]
) -> None:
    loaded = loaded_by(cell, *words)
    assert "cellwright.io.image" in loaded
    assert among(loaded, HEAVY | TABLES) == []


@pytest.mark.parametrize("words", [("status",), ("tags", "list"), ("alarms",)], ids=" ".join)
def test_a_table_of_a_running_cell_loads_rich_and_no_compiler(
    cell: SmallCell, words: tuple[str, ...]
) -> None:
    assert among(loaded_by(cell, *words), HEAVY) == []


def test_the_list_says_of_each_command_what_its_own_help_says() -> None:
    commands = typer.main.get_group(app).commands
    listed = {name: entry.help for names in PANELS.values() for name, entry in names.items()}
    own = {
        name: inspect.cleandoc(command.help or "").partition("\n\n")[0].replace("\n", " ")
        for name, command in commands.items()
    }
    assert own == listed
