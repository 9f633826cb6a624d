"""``cellwright mes`` works on the database of a cell's file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from prepare import EXAMPLE
from typer.testing import CliRunner

from cellwright.mes.master_data import apply, load_file
from cellwright.mes.store import Store
from cellwright.runtime.cli.main import app
from cellwright.runtime.config import compile_file

runner = CliRunner()


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    """A copy of the example cell whose database knows the example's parts."""
    folder = tmp_path / "cell"
    ignored = shutil.ignore_patterns("data", "__pycache__", "plant")
    shutil.copytree(EXAMPLE, folder, ignore=ignored)
    plan = compile_file(folder / "cell.yaml")
    assert plan.database is not None
    assert plan.master_data is not None
    Path(plan.data).mkdir()
    store = Store.open(plan.database)
    with store.session() as session:
        apply(session, load_file(plan.master_data), actor="test")
    store.close()
    return folder


def test_an_order_is_stored_started_listed_and_audited(cell: Path) -> None:
    made = runner.invoke(
        app, ["mes", "order", "JO-7", "BLD-7421", "5", "--file", str(cell), "--reason", "trial"]
    )
    assert made.exit_code == 0, made.output
    assert made.output.split()[1] == "RUNNING"
    listed = runner.invoke(app, ["mes", "orders", str(cell)])
    assert "JO-7" in listed.output
    number = made.output.split()[0]
    trail = runner.invoke(app, ["mes", "audit", str(cell), "--entity", f"work_order:{number}"])
    assert "trial" in trail.output
    assert "@console" in trail.output
    assert runner.invoke(app, ["mes", "parts", str(cell)]).exit_code == 0
    whole = runner.invoke(app, ["mes", "verify", str(cell)])
    assert whole.exit_code == 0
    assert "chain intact" in whole.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["JO-8", "NOPE", "5"], "there is no part 'NOPE'"),
        (["JO-8", "BLD-7421", "5", "--revision", "Z"], "revision"),
    ],
)
def test_a_refused_order_says_why_and_exits_with_1(
    cell: Path, arguments: list[str], sentence: str
) -> None:
    refused = runner.invoke(app, ["mes", "order", *arguments, "--file", str(cell)])
    assert refused.exit_code == 1
    assert sentence in refused.output


def test_the_same_job_order_twice_is_refused(cell: Path) -> None:
    order = ["mes", "order", "JO-9", "BLD-7421", "1", "--file", str(cell)]
    assert runner.invoke(app, order).exit_code == 0
    again = runner.invoke(app, order)
    assert again.exit_code == 1
    assert "stored already" in again.output


def test_a_broken_chain_is_named_and_exits_with_1(cell: Path) -> None:
    plan = compile_file(cell / "cell.yaml")
    assert plan.database is not None
    runner.invoke(app, ["mes", "order", "JO-1", "BLD-7421", "1", "--file", str(cell)])
    store = Store.open(plan.database)
    with store.session() as session:
        connection = session.connection()
        triggers = connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_record'"
        )
        for (name,) in triggers.fetchall():
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        connection.exec_driver_sql("UPDATE audit_record SET actor = 'nobody' WHERE sequence = 2")
    store.close()
    broken = runner.invoke(app, ["mes", "verify", str(cell)])
    assert broken.exit_code == 1
    assert "broken at record 2" in broken.output


def test_a_cell_that_never_ran_is_told_from_one_whose_data_lie_elsewhere(
    cell: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (cell / "data").rename(elsewhere)
    refused = runner.invoke(app, ["mes", "parts", str(cell)])
    assert refused.exit_code == 1
    assert "has no records yet; they begin with 'cellwright run " in refused.output
    found = runner.invoke(app, ["mes", "verify", str(cell), "--data", str(elsewhere)])
    assert (found.exit_code, "chain intact" in found.output) == (0, True), found.output
