"""The command line without a running cell: configuration, users, help, and plain refusals."""

from __future__ import annotations

import json
import os
import pwd
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from cellwright.runtime.cli.common import actor
from cellwright.runtime.cli.help import PANELS
from support.small_cell import SmallCell


@pytest.fixture
def cell(tmp_path: Path) -> SmallCell:
    return SmallCell(tmp_path / "cell", tmp_path / "run")


def assert_refused(done: Any, code: int, *words: str) -> None:
    """The exit code, nothing on stdout, and one sentence on stderr without a trace."""
    assert done.returncode == code, done
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def test_init_check_and_the_files_that_init_writes(tmp_path: Path, cell: SmallCell) -> None:
    folder = tmp_path / "new cell"
    done = cell.type("init", str(folder))
    assert done.returncode == 0, done
    assert [line for line in done.stdout.splitlines() if line.startswith("wrote")] == [
        f"wrote {folder / 'cell.yaml'}",
        f"wrote {folder / 'clamp.py'}",
    ]
    checked = cell.type("check", str(folder))
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "correct" in checked.stdout
    assert cell.type("check", cwd=folder).stdout == checked.stdout


def test_init_touches_no_folder_that_holds_something(cell: SmallCell) -> None:
    before = cell.file.read_text()
    assert_refused(cell.type("init", str(cell.folder)), 1, "is not empty", "name a new")
    assert cell.file.read_text() == before


def test_check_names_every_problem_with_its_place_and_ends_with_code_2(cell: SmallCell) -> None:
    text = cell.file.read_text()
    cell.file.write_text(text.replace("base: 10ms", "base: 10").replace("type: REAL", "type: REEL"))
    done = cell.type("check")
    assert done.returncode == 2
    assert done.stdout == ""
    *problems, count = done.stderr.splitlines()
    places = [problem for problem in problems if re.match(r"cell\.yaml:\d+:\d+: ", problem)]
    assert count == f"{len(places)} problems"
    assert "'REEL' is not an IEC 61131-3 type" in done.stderr
    assert_refused(cell.type("xref"), 2, "'REEL' is not an IEC 61131-3 type")
    assert_refused(cell.command("run"), 2, "'REEL' is not an IEC 61131-3 type")


def test_a_file_that_is_not_there_is_a_configuration_error(cell: SmallCell, tmp_path: Path) -> None:
    assert_refused(cell.type("check", str(tmp_path / "no.yaml")), 2, "no.yaml")
    assert_refused(cell.command("run", str(tmp_path / "no.yaml")), 2, "no.yaml")


def test_nodeset_writes_the_opcua_model_of_a_cell_file(cell: SmallCell, tmp_path: Path) -> None:
    done = cell.type("nodeset", "--to", str(tmp_path / "model.xml"))
    assert done.returncode == 0, done.stderr
    count = (tmp_path / "model.xml").read_text().count(" NodeId=")
    assert done.stdout == f"wrote {tmp_path / 'model.xml'}: {count} nodes\n"
    refused = cell.type("nodeset", "--to", str(tmp_path / "no" / "model.xml"))
    assert_refused(refused, 1, "name a file in a folder that can be written")


@pytest.mark.behaviour(13)
def test_xref_lists_who_writes_and_who_reads(cell: SmallCell) -> None:
    done = cell.type("xref")
    assert done.returncode == 0
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert rows["clamp_pressure"].split()[-1].startswith("clamp")
    assert "clamp" in rows["close_request"]
    assert "clamp.strokes" in rows


def test_the_schema_is_a_json_schema_of_the_file(cell: SmallCell) -> None:
    done = cell.command("schema")
    assert (done.returncode, done.stderr) == (0, "")
    schema = json.loads(done.stdout)
    assert schema["$schema"].startswith("https://json-schema.org/draft/")
    assert schema["type"] == "object"
    assert {"cell", "scan", "devices", "tags", "tasks", "opcua", "mes"} <= set(schema["properties"])
    _check_references(schema, schema)


def _check_references(node: Any, schema: dict[str, Any]) -> None:
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str):
            found: Any = schema
            for part in unquote(reference).removeprefix("#/").split("/"):
                found = found[part]
            assert isinstance(found, dict)
        if "type" in node and isinstance(node["type"], str):
            known = {"object", "array", "string", "number", "integer", "boolean", "null"}
            assert node["type"] in known
        for value in node.values():
            _check_references(value, schema)
    elif isinstance(node, list):
        for value in node:
            _check_references(value, schema)


def test_version_is_that_of_the_distribution(cell: SmallCell) -> None:
    done = cell.type("version")
    assert (done.returncode, done.stdout) == (0, "cellwright 0.1.0\n")


def test_without_words_the_help_is_shown_and_wrong_words_end_with_code_2(cell: SmallCell) -> None:
    assert "check" in cell.type("--help").stdout
    for words in (("explode",), ("run", "--fast"), ("watch", "--interval", "0")):
        assert_refused(cell.type(*words), 2, words[-1])


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("start",),
        ("stop",),
        ("reset",),
        ("tags", "list"),
        ("tags", "get", "x"),
        ("tags", "set", "x", "1"),
        ("force", "x", "1"),
        ("unforce",),
        ("watch", "--count", "1"),
    ],
    ids="-".join,
)
def test_what_needs_a_running_cell_says_that_none_runs(
    cell: SmallCell, words: tuple[str, ...]
) -> None:
    assert_refused(
        cell.type(*words), 1, "is not running", f"start it with 'cellwright run {cell.folder}'"
    )


def test_a_user_without_a_name_is_known_to_the_audit_by_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a container that runs under a number of its own."""

    def nobody(uid: int) -> None:
        raise KeyError(f"uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    assert actor() == f"uid {os.getuid()}@console"


# --- users ----------------------------------------------------------------------------------------

PASSWORD = "correct horse battery"


@pytest.fixture
def with_opcua(cell: SmallCell) -> SmallCell:
    with cell.file.open("a") as file:
        file.write('opcua: {endpoint: "opc.tcp://127.0.0.1:48400", users: users.yaml}\n')
    return cell


def test_the_first_user_makes_the_file_and_the_password_is_not_in_it(with_opcua: SmallCell) -> None:
    cell = with_opcua
    added = cell.type(
        *("user", "add", "anna", "--role", "Operator", "--role", "Planner"),
        *("--password-env", "PW"),
        PW=PASSWORD,
    )
    assert (added.returncode, added.stdout) == (0, "anna: Operator, Planner\n"), added
    text = (cell.folder / "users.yaml").read_text()
    assert "$argon2id$" in text
    assert PASSWORD not in text
    assert (cell.folder / "users.yaml").stat().st_mode & 0o077 == 0
    assert cell.type("check").returncode == 0


@pytest.mark.parametrize(
    ("words", "password", "code", "say"),
    [
        (("anna", "--role", "Operater"), PASSWORD, 2, "'Operater' is not a role"),
        (("anna",), "", 1, "password"),
        (("",), PASSWORD, 1, "name"),
    ],
)
def test_a_user_that_cannot_be_is_refused(
    with_opcua: SmallCell, words: tuple[str, ...], password: str, code: int, say: str
) -> None:
    done = with_opcua.type("user", "add", *words, "--password-env", "PW", PW=password)
    assert_refused(done, code, say)
    assert not (with_opcua.folder / "users.yaml").exists()


def test_users_are_listed_and_taken_away(with_opcua: SmallCell) -> None:
    cell = with_opcua
    assert "has no users" in cell.type("user", "list").stdout
    for name in ("bert", "anna"):
        cell.type("user", "add", name, "--role", "Planner", "--password-env", "PW", PW=PASSWORD)
    assert cell.type("user", "list").stdout == "anna: Planner\nbert: Planner\n"
    assert cell.type("user", "remove", "bert").stdout == "bert was removed from users.yaml\n"
    assert cell.type("user", "list").stdout == "anna: Planner\n"
    assert_refused(cell.type("user", "remove", "bert"), 1, "there is no user 'bert'")


def test_a_password_variable_that_is_not_set_is_named(with_opcua: SmallCell) -> None:
    done = with_opcua.type("user", "add", "anna", "--password-env", "NO_SUCH_VARIABLE")
    assert_refused(done, 2, "the environment variable 'NO_SUCH_VARIABLE' is not set")
    assert not (with_opcua.folder / "users.yaml").exists()


@pytest.mark.parametrize(("again", "code"), [(PASSWORD, 0), (PASSWORD + "x", 1)])
def test_a_typed_password_is_asked_twice_and_must_be_the_same(
    with_opcua: SmallCell, monkeypatch: pytest.MonkeyPatch, again: str, code: int
) -> None:
    answers = iter([PASSWORD, again])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
    done = with_opcua.type("user", "add", "anna")
    assert done.returncode == code, done
    assert ("the two passwords differ" in done.stderr) == (code == 1)
    assert (with_opcua.folder / "users.yaml").exists() == (code == 0)


@pytest.mark.parametrize(
    ("text", "say"),
    [
        ("users: {anna: {password: secret, roles: [Operator]}}", "must be an argon2 hash"),
        ("anna: 1", "expected 'users:'"),
    ],
)
def test_check_reads_the_users_file_too(with_opcua: SmallCell, text: str, say: str) -> None:
    (with_opcua.folder / "users.yaml").write_text(text)
    assert_refused(with_opcua.type("check"), 2, "users.yaml", say, "1 problem")


def test_check_names_a_role_that_gives_no_rights(with_opcua: SmallCell) -> None:
    with_opcua.type("user", "add", "anna", "--password-env", "PW", PW=PASSWORD)
    users = with_opcua.folder / "users.yaml"
    users.write_text(users.read_text().replace("Operator", "operator"))
    assert_refused(
        with_opcua.type("check"), 2, "user anna: 'operator' is not a role; did you mean 'Operator'"
    )


def test_check_reads_the_master_data_too(cell: SmallCell) -> None:
    with cell.file.open("a") as file:
        file.write('mes: {database: "sqlite:///mes.db", master_data: parts.yaml}\n')
    parts = cell.folder / "parts.yaml"
    parts.write_text("parts: [{part_numbr: X}]\n")
    assert_refused(cell.type("check"), 2, "parts.yaml:1:", "part_numbr")
    parts.write_text("parts: []\n")
    assert cell.type("check").returncode == 0


def test_a_cell_without_a_users_file_says_what_to_add(cell: SmallCell) -> None:
    done = cell.type("user", "add", "anna", "--password-env", "PW", PW=PASSWORD)
    assert_refused(done, 2, "add 'users: users.yaml'")


def test_the_version_is_told_by_command_and_by_option(cell: SmallCell) -> None:
    by_command = cell.type("version")
    assert by_command.returncode == 0
    assert re.fullmatch(r"cellwright \d+\.\d+\.\d+\n", by_command.stdout)
    by_option = cell.type("--version")
    assert (by_option.returncode, by_option.stdout) == (0, by_command.stdout)


def test_help_shows_every_command_once_below_a_heading_and_begins_with_init(
    cell: SmallCell,
) -> None:
    text = cell.type("--help").stdout
    assert text.strip() == cell.type().stdout.strip()
    shown = re.findall(r"^│ ([a-z]+(?:-[a-z]+)*) {2,}\S", text, re.MULTILINE)
    assert shown == [name for names in PANELS.values() for name in names]
    assert shown[0] == "init"
    places = [text.index(f" {heading} ─") for heading in PANELS]
    assert places == sorted(places)


def test_whom_the_mes_has_taken_over_is_changed_there(with_opcua: SmallCell) -> None:
    cell, words = with_opcua, ("--password-env", "PW")
    with cell.file.open("a") as file:
        file.write('mes: {database: "sqlite:///mes.db"}\n')
    for _ in range(2):  # before the first start it may be corrected
        assert cell.type("user", "add", "anna", *words, PW=PASSWORD).returncode == 0
    (cell.folder / "data").mkdir(exist_ok=True)
    for asked in (("add", "anna", *words), ("remove", "anna")):
        done = cell.type("user", *asked, PW=PASSWORD)
        assert_refused(done, 1, "taken anna over", "`cellwright mes user change anna")
    assert cell.type("user", "add", "bert", *words, PW=PASSWORD).returncode == 0
