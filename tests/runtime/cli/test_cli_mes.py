"""``cellwright mes`` works on the database of a cell's file."""

from __future__ import annotations

import csv
import io
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prepare import EXAMPLE
from sqlalchemy import select
from typer.testing import CliRunner

from cellwright.mes.definitions.master_data import apply, load_file
from cellwright.mes.orders.tables import WorkOrder
from cellwright.mes.service.catalogue import open_store
from cellwright.mes.shopfloor.parts import find_or_add
from cellwright.mes.shopfloor.tables import Serial, SerialState, Verdict
from cellwright.runtime.cli.main import app
from cellwright.runtime.config import compile_file

runner = CliRunner()


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    return copy_of_the_example(tmp_path / "cell")


def copy_of_the_example(folder: Path) -> Path:
    """A copy of the example cell whose database knows the example's parts."""
    ignored = shutil.ignore_patterns("data", "__pycache__", "plant")
    shutil.copytree(EXAMPLE, folder, ignore=ignored)
    plan = compile_file(folder / "cell.yaml")
    assert plan.database is not None
    assert plan.master_data is not None
    Path(plan.data).mkdir()
    store = open_store(plan.database)
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
    store = open_store(plan.database)
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


# --- which parts, and in which form ---------------------------------------------------------------

BOOT = "7d3f0c52-6c1e-4d1d-9f7a-0d5a3b0d9c11"
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cell after four parts: two good, one rejected, one that is still in it; only read."""
    cell = copy_of_the_example(tmp_path_factory.mktemp("made") / "cell")
    order = ["mes", "order", "JO-7", "BLD-7421", "5", "--file", str(cell)]
    assert runner.invoke(app, order).exit_code == 0
    plan = compile_file(cell / "cell.yaml")
    assert plan.database is not None
    store = open_store(plan.database)
    with store.session() as session:
        work_order = session.scalars(select(WorkOrder)).one()
        for number in range(1, 5):
            at = NOON + timedelta(hours=number)
            unit = find_or_add(session, f"{BOOT}-{number:06}", at)
            session.flush()
            unit.order = work_order
            session.add(
                Serial(
                    serial=f"SN2600000{number}",
                    unit_id=unit.id,
                    order_id=work_order.id,
                    station="mark",
                    state=SerialState.SPENT,
                    reserved_utc=at,
                )
            )
            if number < 4:
                unit.verdict = Verdict.REJECTED if number == 2 else Verdict.GOOD
                unit.reason = "no symbol was read at both tries" if number == 2 else ""
                unit.released_utc = at + timedelta(minutes=5)
    store.close()
    return cell


def parts(cell: Path, *words: str, **environment: str) -> str:
    done = runner.invoke(app, ["mes", "parts", str(cell), *words], env=environment)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ((), "1234"),
        (("--serial", "SN26000002"), "2"),
        (("--serial", "SN*3"), "3"),
        (("--serial", "SN_6000002"), ""),
        (("--part", "BLD-7421"), "1234"),
        (("--part", "BLD"), ""),
        (("--part", "*-000003"), "3"),
        (("--verdict", "rejected"), "2"),
        (("--verdict", "good"), "13"),
        (("--verdict", "open"), "4"),
        (("--since", "2026-03-04T15:04Z"), "34"),
        (("--until", "2026-03-04T14:00Z"), "12"),
        (("--since", "2026-03-04", "--verdict", "good", "--limit", "1"), "3"),
        (("--order", "JO-7", "--serial", "SN26000001"), "1"),
        (("--order", "JO-8"), ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_parts_are_found_by_serial_part_verdict_time_and_order(
    made: Path, words: tuple[str, ...], wanted: str
) -> None:
    rows = json.loads(parts(made, "--json", *words))
    assert [row["serial"][-1] for row in rows] == list(wanted)


def test_a_part_is_told_with_its_times_to_machines(made: Path) -> None:
    row = json.loads(parts(made, "--json", "--serial", "SN26000002"))[0]
    assert (row["arrived_utc"], row["released_utc"]) == (
        "2026-03-04T14:00:00Z", "2026-03-04T14:05:00Z",
    )  # fmt: skip
    assert (row["verdict"], row["part_number"], row["recovered"]) == ("rejected", "BLD-7421", False)
    rows = list(csv.DictReader(io.StringIO(parts(made, "--csv"))))
    assert [r["verdict"] for r in rows] == ["good", "rejected", "good", ""]
    assert rows[1] == {key: "" if value is None else str(value) for key, value in row.items()}
    assert parts(made, "--csv", "--order", "JO-8").split(",")[0] == "part_id"


def test_the_tables_of_the_mes_fit_80_columns_and_break_no_word(made: Path) -> None:
    for command in ("parts", "orders", "audit"):
        words = ["mes", command, str(made)]
        narrow = runner.invoke(app, words, env={"COLUMNS": "80"}).stdout
        wide = runner.invoke(app, words, env={"COLUMNS": "400"}).stdout
        assert max(map(len, narrow.splitlines())) <= 80, narrow
        assert sorted(narrow.split()) == sorted(wide.split())
    assert "SN26000002  rejected" in parts(made, COLUMNS="80")
    assert "in the cell" in parts(made)


def test_orders_and_audit_are_there_for_machines(made: Path) -> None:
    for command, key in (("orders", "job_order_id"), ("audit", "action")):
        rows = json.loads(runner.invoke(app, ["mes", command, str(made), "--json"]).stdout)
        text = runner.invoke(app, ["mes", command, str(made), "--csv"]).stdout
        assert [row[key] for row in csv.DictReader(io.StringIO(text))] == [r[key] for r in rows]
        assert rows


@pytest.mark.parametrize(
    ("words", "say"),
    [
        (("--verdict", "bad"), "'bad' is none; take one of good, rejected, open"),
        (("--since", "soon"), "--since: 'soon' is not a time"),
        (("--json", "--csv"), "cannot be had together"),
    ],
)
def test_a_choice_of_parts_that_cannot_be_meant_is_refused(
    made: Path, words: tuple[str, ...], say: str
) -> None:
    done = runner.invoke(app, ["mes", "parts", str(made), *words])
    assert done.exit_code == 2
    assert say in done.output


def test_serial_numbers_are_skipped_with_who_and_why(cell: Path) -> None:
    words = ["mes", "serials", "skip", "BLD-7421", "--file", str(cell)]
    done = runner.invoke(app, [*words, "--to", "41", "--reason", "last night's backup"])
    assert done.exit_code == 0, done.output
    pattern, _, rest = done.output.partition(": ")
    assert "{n:" in pattern
    assert "numbers up to 41 are used (before: 0), the next serial is " in rest
    assert rest.split()[-1].endswith("42")
    trail = runner.invoke(app, ["mes", "audit", str(cell), "--entity", "serial_counter", "--json"])
    (record,) = json.loads(trail.output)
    assert (record["action"], record["reason"]) == ("serial.skip", "last night's backup")
    assert record["actor"].endswith("@console")
    for more, code, why in (
        (["--to", "40", "--reason", "r"], 1, "never moves back"),
        (["--reason", "r"], 2, "give --to"),
        (["--to", "50", "--by", "1", "--reason", "r"], 2, "give --to"),
        (["--to", "50"], 2, "--reason"),
        (["--to", "0", "--reason", "r"], 2, "greater than or equal to 1"),
        (["--to", "50", "--reason", ""], 1, "give a reason"),
    ):
        refused = runner.invoke(app, [*words, *more])
        assert (refused.exit_code, why in refused.output) == (code, True), refused.output


def test_an_action_is_signed_at_the_command_line(cell: Path) -> None:
    def do(*words: str, typed: str = "") -> str:
        done = runner.invoke(app, ["mes", *words, "--file", str(cell)], input=typed)
        assert "correct horse" not in done.output
        return done.output

    add = ("user", "add", "boss", "--roles", "Administrator")
    assert "boss" in do(*add, typed="correct horse 7!\n" * 2)
    demand = ("signatures", "demand", "workorders.release")
    assert "demands an electronic signature" in do(*demand)
    signed = (*demand, "--signed-by", "boss")
    assert "signature is refused" in do(*signed, typed="correct horse 8!\n")
    assert "workorders.release" in do(*signed, typed="correct horse 7!\n")
    assert "Boss" not in do("signatures", "list")
    (listed,) = json.loads(do("signatures", "list", "--json"))["items"]
    assert (listed["signer"], listed["meaning"], listed["valid"]) == ("boss", "approval", True)
    assert json.loads(do("signatures", "verify", "--json"))["ok"] is True
