"""``cellwright history`` shows and writes what is in the database of a cell's file."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from cellwright.io.plan import HistorySettings
from cellwright.mes.history.append import append, register
from cellwright.mes.history.batch import Batch, Kind
from cellwright.mes.history.keeping import Keeper
from cellwright.mes.service.catalogue import open_store
from cellwright.runtime.cli.main import app
from cellwright.runtime.config import compile_file

CELL = """
cell: {name: Bench}
scan: {base: 10ms}
mes: {database: "sqlite:///mes.db"}
tags:
  level: {type: LREAL, memory: true, history: {deadband: 0.1}}
  serial: {type: STRING(8), memory: true, history: true}
  open: {type: BOOL, memory: true, history: true}
  plain: {type: BOOL, memory: true}
tasks:
  nothing: {program: "nothing:Nothing", interval: 10ms}
"""
PROGRAM = """
from cellwright.tasks.api import Program, ProgramOptions

class Nothing(Program[ProgramOptions]):
    def scan(self, ctx):
        pass
"""
NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
NOON_NS = int(NOON.timestamp()) * 10**9
TYPES = {
    "level": ("LREAL", Kind.FLOAT),
    "serial": ("STRING(8)", Kind.TEXT),
    "open": ("BOOL", Kind.INTEGER),
}
runner = CliRunner()


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    """A cell with three recorded values of each of three tags."""
    (tmp_path / "cell.yaml").write_text(CELL)
    (tmp_path / "nothing.py").write_text(PROGRAM)
    plan = compile_file(tmp_path / "cell.yaml")
    assert plan.history is not None
    assert plan.history.deadbands == {"level": 0.1, "serial": 0.0, "open": 0.0}
    Path(plan.data).mkdir()
    store = open_store(plan.database)
    tags = [(name, type_, kind) for name, (type_, kind) in TYPES.items()]
    bits = {
        "level": np.array([1.5, 0.1, 2.25]).view(np.uint64),
        "serial": np.arange(3, dtype=np.uint64),
        "open": np.array([0, 1, 0], np.uint64),
    }
    with store.session() as session:
        keys = register(session, "Bench", tags)
        for name, type_, kind in tags:
            batch = Batch(
                np.full(3, keys[name, type_], np.uint32),
                np.full(3, kind, np.uint8),
                NOON_NS + np.arange(3) * 10**9,
                np.array([0, 0x80310000, 0], np.uint32),
                bits[name],
                [b"A", "Ü".encode(), b"C"] if kind is Kind.TEXT else (),
            )
            append(session, "Bench", [batch])
    store.close()
    return tmp_path


def run(cell: Path, *words: str, code: int = 0) -> str:
    done = runner.invoke(app, ["history", *words, "--file", str(cell)])
    assert done.exit_code == code, done.output
    return done.output


def exported(cell: Path, *words: str) -> list[dict[str, str]]:
    file = cell / "out.csv"
    run(cell, "export", *words, "-o", str(file))
    with file.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def test_values_are_written_as_csv_with_exact_values_and_times(cell: Path) -> None:
    rows = exported(cell, "level", "serial", "open")
    assert [(row["tag"], row["value"], row["status"]) for row in rows] == [
        ("level", "1.5", "GOOD"), ("level", "0.1", "BAD_NO_COMMUNICATION"),
        ("level", "2.25", "GOOD"), ("serial", "A", "GOOD"),
        ("serial", "Ü", "BAD_NO_COMMUNICATION"), ("serial", "C", "GOOD"),
        ("open", "false", "GOOD"), ("open", "true", "BAD_NO_COMMUNICATION"),
        ("open", "false", "GOOD"),
    ]  # fmt: skip
    assert rows[1]["time_utc"] == "2026-03-14T12:00:01.000000Z"
    some = exported(cell, "*", "--from", "2026-03-14T12:00:02+00:00")
    assert [row["value"] for row in some] == ["2.25", "false", "C"]
    assert exported(cell, "level", "--to", "2026-03-14T11:00+00:00") == []


def test_what_is_thinned_out_has_the_figures_of_its_spans(cell: Path) -> None:
    store = open_store(compile_file(cell / "cell.yaml").database)
    day = 86_400 * 10**9
    keeper = Keeper(store, "Bench", HistorySettings(raw_ns=day, seconds_ns=day))
    keeper.divide(1)
    while keeper.step(NOON_NS + 9 * day):
        pass
    store.close()
    (row,) = exported(cell, "level")
    figures = [row[key] for key in ("minimum", "maximum", "mean", "count", "bad")]
    assert figures == ["1.5", "2.25", "1.875", "2", "1"]
    assert "1.5 to 2.25" in run(cell, "show", "level")


def test_values_are_written_as_parquet(cell: Path) -> None:
    run(cell, "export", "level", "serial", "-o", str(cell / "out.parquet"))
    table = parquet.read_table(cell / "out.parquet").to_pylist()
    assert [row["number"] for row in table] == [1.5, 0.1, 2.25, None, None, None]
    assert [row["value"] for row in table[3:]] == ["A", "Ü", "C"]
    assert table[2]["time_utc"] == NOON + timedelta(seconds=2)


def test_tags_and_their_newest_values_are_shown(cell: Path) -> None:
    listed = run(cell, "show").splitlines()
    assert [line.split("  ")[:3] for line in listed] == [
        ["level", "LREAL", "2.25"], ["open", "BOOL", "false"], ["serial", "STRING(8)", "C"]
    ]  # fmt: skip
    newest = run(cell, "show", "level", "--limit", "2").splitlines()
    assert [line.split("  ")[-2:] for line in newest[1:]] == [
        ["0.1", "BAD_NO_COMMUNICATION"], ["2.25", "GOOD"]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("export", "levle", "-o", "x.csv"), "nothing is recorded of a tag 'levle'; did you mean"),
        (("export", "level", "-o", "x.xls"), "let it end with .csv or .parquet"),
        (("show", "level", "--from", "soon"), "'soon' is not a time"),
    ],
)
def test_what_cannot_be_is_told(cell: Path, words: tuple[str, ...], complaint: str) -> None:
    assert complaint in run(cell, *words, code=2)


def test_a_file_that_cannot_be_written_leaves_nothing(cell: Path) -> None:
    assert "cannot write" in run(cell, "export", "level", "-o", str(cell / "no/x.csv"), code=1)
    assert not list(cell.glob("*.part"))
