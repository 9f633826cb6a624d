"""The generated reference is what the code says, and every command of it exists."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from cellwright.io.messages import AnyCommand, AnyEvent
from cellwright.io.plan import SYSTEM_TAGS, CellState, quality
from reference.pages import PAGES, STATE_MEANINGS, attribute_docs, events_page, tags_page

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
TOOLS = str(Path(__file__).parents[2] / "tools")


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_of_the_reference_is_what_the_code_says_now(name: str):
    page = (REFERENCE / name).read_text(encoding="utf-8")
    assert page == PAGES[name](), "run: make docs"


def test_make_docs_writes_every_page_and_nothing_else(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "reference", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": TOOLS},
        check=True,
    )
    assert {path.name for path in tmp_path.iterdir()} == set(PAGES)
    assert done.stderr == ""
    for name in PAGES:
        assert f"wrote {tmp_path / name}" in done.stdout


def test_a_folder_that_is_not_there_is_an_error_with_a_remedy(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "reference", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": TOOLS},
        check=False,
    )
    assert done.returncode == 1
    assert "No such file" in done.stderr
    assert "name a folder that is there" in done.stderr


def test_every_command_and_every_event_has_its_entry_with_all_fields():
    page = events_page()
    for kind in (*AnyCommand.__args__, *AnyEvent.__args__):
        section = page.split(f"### `{kind.__struct_config__.tag}`\n")[1].split("\n### ")[0]
        own = set(kind.__struct_fields__) - set(kind.__mro__[1].__struct_fields__)
        assert {name for name in own if f"| `{name}` |" in section} == own


def test_every_operating_state_is_explained():
    assert set(STATE_MEANINGS) == {state.name for state in CellState}


def test_every_quality_code_and_every_system_tag_is_on_the_page_of_tags():
    page = tags_page()
    codes = {name for name, value in vars(quality).items() if name.isupper() and name[0] != "_"}
    assert {name for name in codes if f"`{name}`" in page} == codes
    for tag in SYSTEM_TAGS:
        assert f"| `{tag.name}` | {tag.type} |" in page


def test_the_string_after_an_attribute_is_its_documentation():
    class Example(msgspec.Struct):
        """Not the documentation of a field."""

        first: int
        """Of the first."""
        second: int = 2
        third: int = 3
        """Of the third."""

    assert attribute_docs(Example) == {"first": "Of the first.", "third": "Of the third."}
