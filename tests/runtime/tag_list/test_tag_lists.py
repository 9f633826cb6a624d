"""Tags of a cell's file as a list for a spreadsheet, and back: round trip, edits, bad lists."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prepare import EXAMPLE
from typer.testing import CliRunner

from cellwright.io.plan import Plan
from cellwright.runtime.cli.main import app
from cellwright.runtime.config import compile_file
from cellwright.runtime.tag_list.yaml_edit import flow

HEAD = """\
cell: {name: Listed}
scan: {base: 10ms, watchdog: {time: 1s, sensitivity: 5}}
devices:
  io: {driver: modbus-tcp, host: 127.0.0.1}   # the coupler
"""
TASKS = 'tasks:\n  quiet: {program: "quiet:Quiet", interval: 10ms}\n'
PROGRAM = """
from cellwright.tasks.api import Program

class Quiet(Program):
    def scan(self, ctx):
        pass
"""


class Listed:
    """A cell's folder, with a list beside the file."""

    def __init__(self, folder: Path, tags: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file, self.list = folder / "cell.yaml", folder / "list.csv"
        (folder / "quiet.py").write_text(PROGRAM, encoding="utf-8")
        self.file.write_text(HEAD + tags + TASKS, encoding="utf-8", newline="")

    def export(self, *words: str) -> str:
        done = CliRunner().invoke(
            app, ["tags", "export", str(self.file), "--to", str(self.list), *words]
        )
        assert done.exit_code == 0, done.output
        return self.list.read_text(encoding="utf-8-sig")

    def take(self, content: str | bytes, *words: str) -> tuple[int, str]:
        """Import a list: exit code and everything that was said, with short names of files."""
        data = content.encode() if isinstance(content, str) else content
        self.list.write_bytes(data)
        done = CliRunner().invoke(
            app, ["tags", "import", str(self.list), "--file", str(self.file), *words]
        )
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.output.replace(f"{self.file.parent}/", "")

    @property
    def text(self) -> str:
        with self.file.open(encoding="utf-8", newline="") as file:
            return file.read()

    def plan(self) -> Plan:
        return compile_file(self.file)


TAGS = """\
# what the machine has
tags:
  # sensors
  part:   {type: BOOL, in: "io.discrete_inputs[0]", substitute: false}   # at the stop
  level:
    type: REAL            # metres
    in: "io.input_registers[0]"
    # its range
    range: [0, 10]
    scale: {raw: [0, 65535], eng: [0, 10]}
    description: >
      How full
      it is

  lamp:   {type: BOOL, out: "io.coils[0]", safe: off, write: [Operator, Supervisor]}
  recipe: {type: "STRING(20)", memory: true, retain: true, initial: "00123"}
  curve:  {type: "ARRAY[0..2] OF REAL", memory: true, initial: [1, 2.5, 3]}

# what it does
"""


@pytest.fixture
def listed(tmp_path: Path) -> Listed:
    return Listed(tmp_path / "cell", TAGS)


def test_a_list_that_is_taken_back_changes_nothing(listed: Listed) -> None:
    before = listed.text
    for words in ((), ("--semicolon",)):
        code, said = listed.take(listed.export(*words))
        assert (code, "0 added, 0 changed, 5 as they were" in said) == (0, True), said
        assert listed.text == before


def test_the_example_makes_the_same_round(tmp_path: Path) -> None:
    folder = tmp_path / "cell"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("data", "__pycache__"))
    text = (folder / "cell.yaml").read_text(encoding="utf-8")
    before = compile_file(folder / "cell.yaml")
    out = folder / "list.csv"
    assert CliRunner().invoke(app, ["tags", "export", str(folder), "--to", str(out)]).exit_code == 0
    tags = text[text.index("tags:") : text.index("# What an operator")]
    (folder / "cell.yaml").write_text(text.replace(tags, "tags:\n\n"), encoding="utf-8")
    done = CliRunner().invoke(app, ["tags", "import", str(out), "--file", str(folder)])
    assert done.exit_code == 0, done.output
    assert compile_file(folder / "cell.yaml") == before


def test_only_what_changes_is_touched(listed: Listed) -> None:
    text = listed.export().replace("0,10,0,65535,0,10", "0,12.5,0,65535,0,12.5")
    text = text.replace("How full it is\\n", "=1+1")
    before = listed.text
    code, said = listed.take(text, "--dry-run")
    assert code == 0, said
    assert '~ level: description "How full it is\\n" -> "=1+1", range [0, 10] -> [0, 12.5]' in said
    assert listed.text == before
    code, said = listed.take(text)
    assert code == 0, said
    wanted = before.replace("range: [0, 10]", "range: [0, 12.5]")
    wanted = wanted.replace("eng: [0, 10]", "eng: [0, 12.5]")
    wanted = wanted.replace(">\n      How full\n      it is\n", '"=1+1"\n')
    assert listed.text == wanted


def test_tags_come_at_the_end_and_go_only_when_asked(listed: Listed) -> None:
    more = "name,type,memory,description\r\nspeed,REAL,true,Größe 5 °C: \u20ac\r\n"
    code, said = listed.take(more)
    assert code == 0, said
    assert "+ speed: {type: REAL, memory: true" in said
    assert "5 only in the file" in said
    assert listed.plan().tag("speed").description == "Größe 5 °C: \u20ac"
    assert 'initial: [1, 2.5, 3]}\n  speed: {type: REAL, memory: true, description: "Gr' in (
        listed.text
    )
    code, said = listed.take(more, "--delete")
    assert code == 0, said
    assert "5 deleted" in said
    assert [t.name for t in listed.plan().tags if not t.name.startswith("sys.")] == ["speed"]
    assert "# what it does" in listed.text


def test_a_key_whose_column_is_missing_stays_and_one_whose_cell_is_empty_goes(
    listed: Listed,
) -> None:
    code, said = listed.take("name;safe;write\nlamp;true;\n")
    assert code == 0, said
    assert 'lamp:   {type: BOOL, out: "io.coils[0]", safe: true}\n' in listed.text


def test_a_tag_moves_to_another_place(listed: Listed) -> None:
    code, said = listed.take('name,out,safe,substitute\npart,"io.coils[7]",off,\n')
    assert code == 0, said
    assert 'part:   {type: BOOL, out: "io.coils[7]", safe: off}   # at the stop' in listed.text


@pytest.mark.parametrize(
    ("section", "then"),
    [
        ("", "tags:\n  a: {type: BOOL, memory: true}\n"),
        ("tags:\n", "tags:\n  a: {type: BOOL, memory: true}\n"),
        ("tags: {}\n", "tags: \n  a: {type: BOOL, memory: true}\n"),
        ("tags: {b: {type: INT, memory: true}}\n", "true}, a: {type: BOOL, memory: true}}\n"),
        (
            "tags:\r\n    b: {type: INT, memory: true}\r\n",
            "true}\r\n    a: {type: BOOL, memory: true}\r\n",
        ),
    ],
)
def test_a_section_of_any_form_takes_tags(tmp_path: Path, section: str, then: str) -> None:
    listed = Listed(tmp_path, section)
    code, said = listed.take("name,type,memory\na,BOOL,true\n")
    assert code == 0, said
    assert then in listed.text
    assert not listed.plan().tag("a").retain


@pytest.mark.parametrize(
    ("tags", "content", "said"),
    [
        (
            "tags:\n  a: &x {type: BOOL, memory: true}\n  b: *x\n",
            "name,type,memory\nb,INT,true\n",
            "cell.yaml:7:3: the tag 'b' is an alias",
        ),
        (
            "x-m: &m {type: BOOL, memory: true, retain: true}\ntags:\n  b: {<<: *m}\n",
            "name,retain\nb,\n",
            "'retain' of the tag 'b' comes from a merge key",
        ),
        (
            "tags:\n  b: {type: BOOL,  # why\n    retain: true, memory: true}\n",
            "name,retain\nb,\n",
            "a comment stands beside what is to be deleted",
        ),
        (
            "tags:\n  b: {type: &t BOOL, memory: true}\n  c: {type: *t, memory: true}\n",
            "name,type\nb,INT\n",
            "the list cannot be taken into this file",
        ),
    ],
)
def test_what_cannot_be_edited_is_refused_with_its_place(
    tmp_path: Path, tags: str, content: str, said: str
) -> None:
    listed = Listed(tmp_path, tags)
    before = listed.text
    code, told = listed.take(content)
    assert code == 2
    assert said in told
    assert listed.text == before


BAD: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "list.csv:1:1: the list is empty"),
    "blank lines": ("\n\n;;\n", "list.csv:1:1: the list is empty"),
    "no header": ("speed,REAL,true\n", "list.csv:1:1: there is no column 'speed'"),
    "no name column": ("type,memory\nREAL,true\n", "list.csv:1:1: the list has no column 'name'"),
    "misspelt column": ("name,typ\na,BOOL\n", "list.csv:1:2: there is no column 'typ'"),
    "column twice": ("name,type,type\na,BOOL,BOOL\n", "list.csv:1:3: the column 'type' is there"),
    "Latin-1": (
        "name,type,memory,description\na,BOOL,true,\xfcber\n".encode("latin-1"),
        "list.csv:2:13: byte 0xFC is not utf-8",
    ),
    "picture": (b"\x89PNG\r\n\x1a\n\x00\x00", "byte 0x89 is not utf-8"),
    "name twice": (
        "name,type,memory\na,BOOL,true\nb,INT,true\na,INT,true\n",
        "list.csv:4:1: the tag 'a' is there twice; line 2 has it already",
    ),
    "name in other case": (
        "name,type,memory\na,BOOL,true\nA,BOOL,true\n",
        "list.csv:3:1: the tag 'A' differs",
    ),
    "no name": ("name,type,memory\n,BOOL,true\n", "list.csv:2:1: the row has no name"),
    "unknown type": (
        "name,type,memory\na,FLOAT,true\n",
        "list.csv:2:2: 'FLOAT' is not the type of a tag",
    ),
    "no type": ("name,type,memory\na,,true\n", "list.csv:2:1: the key 'type' is missing"),
    "no place": ("name,type\na,BOOL\n", "list.csv:2:1: the tag 'a' lives nowhere"),
    "unknown device": (
        "name,type,in\na,BOOL,oi.coils[1]\n",
        "list.csv:2:3: no device is called 'oi'",
    ),
    "address twice": (
        "name,type,out,safe\na,BOOL,io.coils[1],false\nb,BOOL,io.coils[1],false\n",
        "list.csv:3:3:",
    ),
    "unknown unit": ("name,type,memory,unit\na,REAL,true,baar\n", "list.csv:2:4: 'baar' is not"),
    "unknown role": ("name,type,memory,write\na,REAL,true,Boss\n", "list.csv:2:4: 'Boss' is not"),
    "switch": ("name,type,memory\na,BOOL,maybe\n", "list.csv:2:3: 'maybe' is neither true nor"),
    "no number": (
        "name,type,memory,range_low,range_high\na,REAL,true,low,5\n",
        "list.csv:2:4: 'low' is not a number",
    ),
    "half a range": (
        "name,type,memory,range_low,range_high\na,REAL,true,0,\n",
        "list.csv:2:5: range_high is empty",
    ),
    "range upside down": (
        "name,type,memory,range_low,range_high\na,REAL,true,9,1\n",
        "list.csv:2:4: the range 9 to 1 is empty",
    ),
    "thousands or decimals": (
        "name;type;memory;initial\na;REAL;true;1,500\n",
        "list.csv:2:4: '1,500' may be 1.500 or 1500",
    ),
    "thousands and decimals": (
        "name;type;memory;initial\na;REAL;true;1.500,5\n",
        "list.csv:2:4: '1.500,5' is not a number",
    ),
    "a comma among commas": (
        "name,type,memory,initial\na,REAL,true,2,5\n",
        "list.csv:2:5: the row has 5 cells; the first line names 4 columns",
    ),
    "short row": ("name,type,memory\na,BOOL\n", "list.csv:2:3: the row has 2 cells"),
    "open quotation": ('name,type,memory\na,BOOL,"true\n', "list.csv:2:1: the list cannot be"),
    "too large a value": (
        "name,type,memory,initial\na,SINT,true,500\n",
        "list.csv:2:4: 'initial' does not fit into the type SINT",
    ),
    "infinite": (
        "name,type,memory,initial\na,LREAL,true,1e999\n",
        "list.csv:2:4: '1e999' is too large",
    ),
    "no list": (
        'name,type,memory,initial\na,ARRAY[0..1] OF INT,true,"1,2"\n',
        "list.csv:2:4: '1,2' is no list",
    ),
    "control character": (
        "name,type,memory,description\na,INT,true,be\x07ll\n",
        "list.csv:2:4: the text holds control characters",
    ),
    "line of another row": (
        'name,type,memory,description\na,INT,true,"two\nlines"\nb,IMT,true,\n',
        "list.csv:4:2: 'IMT' is not the type",
    ),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_bad_list_is_refused_at_its_place_and_the_file_stays(tmp_path: Path, name: str) -> None:
    content, complaint = BAD[name]
    listed = Listed(tmp_path, "tags:\n")
    before = listed.text
    code, said = listed.take(content)
    assert (code, complaint in said) == (2, True), said
    assert listed.text == before
    left = {path.name for path in tmp_path.iterdir()} - {"__pycache__"}
    assert left == {"cell.yaml", "list.csv", "quiet.py"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("\ufeffname;type;memory;initial\r\na;REAL;WAHR;2,5\r\n", ()),
        ("sep=;\nname;type;memory;initial\na;REAL;true;2,5\n", ()),
        ("name\ttype\tmemory\tinitial\na\tREAL\ttrue\t2.5\n".encode("utf-16"), ()),
        ('Name,TYPE,memory,initial,\n\na,REAL,TRUE,"2,5",\n', ()),
        (" name , type,memory,initial\n a , REAL,1, 2.50 \n,,,\n", ()),
        (b"name,type,memory,initial,description\na,REAL,1,2.5,\xfc\n", ("--encoding", "cp1252")),
    ],
)
def test_a_list_is_taken_as_spreadsheets_write_it(
    tmp_path: Path, content: str | bytes, words: tuple[str, ...]
) -> None:
    listed = Listed(tmp_path, "tags:\n")
    code, said = listed.take(content, *words)
    assert code == 0, said
    assert listed.plan().tag("a").initial == 2.5


def test_no_cell_of_a_written_list_is_a_formula(tmp_path: Path) -> None:
    nasty = ["=1+1", "+cmd", "-cmd", "@SUM(A1)", "'quoted", "''=x", "\t=1", "'", "-", "= 1"]
    entries = {
        f"t{n}": {"type": "STRING(20)", "memory": True, "description": text, "initial": text}
        for n, text in enumerate(nasty)
        if "\t" not in text
    }
    entries["n"] = {"type": "INT", "memory": True, "initial": -5}
    listed = Listed(tmp_path, f"tags: {flow(entries)}\n")
    before = listed.plan()
    text = listed.export()
    for row in text.splitlines():
        assert not re.search(r'(^|,)"?[=+@\t\r]', row), row
        assert not re.search(r'(^|,)"?-(?!5(,|$))', row), row
    code, said = listed.take(text)
    assert "0 changed" in said, said
    listed.file.write_text(HEAD + "tags:\n" + TASKS, encoding="utf-8")
    code, said = listed.take(text)
    assert code == 0, said
    assert listed.plan() == before


def test_a_file_that_changes_meanwhile_is_not_overwritten(
    listed: Listed, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cellwright.runtime.tag_list import importing  # noqa: PLC0415 - patched in its place

    real = importing.weigh

    def weigh(*args: Any, **more: Any) -> Any:
        found = real(*args, **more)
        listed.file.write_text(listed.text + "# edited\n", encoding="utf-8")
        return found

    monkeypatch.setattr(importing, "weigh", weigh)
    code, said = listed.take("name,type,memory\nspeed,REAL,true\n")
    assert code == 1
    assert "changed in the meantime" in said
    assert listed.text.endswith("# edited\n")


names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co")), max_size=12)
numbers = st.integers(-1000, 1000) | st.floats(-1e6, 1e6).map(lambda value: value + 0.0)
memory = {"memory": st.just(True), "retain": st.booleans(), "description": texts}
FIELD = "somewhere"
tag = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("REAL"), "in": st.just(FIELD), "substitute": numbers},
        optional={
            "scale": st.just({"raw": [0, 4095], "eng": [-1.5, 10]}),
            "order": st.sampled_from(["CDAB", "DCBA"]),
            "description": texts,
        },
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("INT"),
            "out": st.just(FIELD),
            "safe": st.sampled_from(["hold", "off", -5, 0]),
            "write": st.just(["Operator"]),
        },
        optional={"unit": st.just("mm"), "range": st.just([-10, 10.5])},
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["REAL", "LREAL"]), **memory, "initial": numbers},
        optional={"unit": st.sampled_from(["bar", "mm", "degC"]), "range": st.just([-2e6, 2e6])},
    ),
    st.fixed_dictionaries({"type": st.just("STRING(64)"), **memory, "initial": texts}),
    st.fixed_dictionaries(
        {
            "type": st.just("ARRAY[0..1] OF LREAL"),
            **memory,
            "initial": st.lists(numbers, min_size=2, max_size=2),
        },
        optional={"write": st.just(["Operator", "Maintenance"])},
    ),
    st.fixed_dictionaries(
        {"type": st.just("BOOL"), **memory, "initial": st.booleans() | st.sampled_from([0, 1])}
    ),
)


@settings(max_examples=60, deadline=None)
@given(
    tags=st.dictionaries(names, tag, min_size=1, max_size=6),
    other=st.dictionaries(names, tag, max_size=4),
    semicolon=st.booleans(),
)
def test_any_tags_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory,
    tags: dict[str, Any],
    other: dict[str, Any],
    semicolon: bool,
) -> None:
    """Into an empty file, and into one that has other tags, some of them with the same names."""
    folder = tmp_path_factory.mktemp("round")
    tags, other = placed(tags), placed(other)
    listed = Listed(folder, f"tags: {flow(tags)}\n")
    before = listed.plan()
    text = listed.export(*(["--semicolon"] if semicolon else []))
    block = "".join(
        f"  {name}:\n"
        + "".join(f"    {key}: {flow(value)}  # {key}\n" for key, value in keys.items())
        for name, keys in other.items()
    )
    for section in ("tags:\n", f"tags: {flow(other)}\n", f"tags:\n{block}"):
        listed.file.write_text(HEAD + section + TASKS, encoding="utf-8")
        code, said = listed.take(text, "--delete")
        assert code == 0, said
        after = listed.plan()
        assert {t.name: _apart(t) for t in after.tags} == {t.name: _apart(t) for t in before.tags}
        assert "# the coupler" in listed.text


def placed(tags: dict[str, Any]) -> dict[str, Any]:
    """Each tag of a device at an address of its own."""
    place = {"in": "io.input_registers", "out": "io.holding_registers"}
    return {
        name: keys | {key: f"{place[key]}[{2 * n}]" for key in place if key in keys}
        for n, (name, keys) in enumerate(tags.items())
    }


def _apart(tag: Any) -> Any:
    """A tag without its place in the image, which the order of the file decides."""
    return tag.__class__(
        **{
            field: getattr(tag, field)
            for field in tag.__struct_fields__
            if field not in ("index", "offset")
        },
        index=0,
        offset=0,
    )
