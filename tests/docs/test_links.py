"""Every page can be reached, every link leads somewhere, every command that is shown exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer.main

from cellwright.runtime.cli.main import app
from reference.decisions import decisions_page
from support.walkthrough import blocks

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
        *(ROOT / "tests").rglob("*.md"),
        *DOCS.rglob("*.md"),
    ]
)

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_CODE = re.compile(r"```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)
_COMMAND = re.compile(r"(?:^|[\s(`/])cellwright((?: [a-z]+)+)((?: [^\n`|;&)]*)?)", re.MULTILINE)
_MAKE = re.compile(r"(?:^|`)make ([a-z]+)", re.MULTILINE)


def links(page: Path) -> list[str]:
    """Targets of the links inside the repository."""
    text = _CODE.sub("", page.read_text(encoding="utf-8"))
    found = [match["target"] for match in _LINK.finditer(text)]
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub makes anchors of them."""
    found = set()
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for match in _HEADING.finditer(text):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match["text"]).lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file_and_to_a_heading_in_it(page: Path):
    broken = []
    for target in links(page):
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_every_page_can_be_reached_from_the_readme():
    seen: set[Path] = set()
    todo = [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        todo += [(page.parent / link.partition("#")[0]).resolve() for link in links(page)]
    assert [str(page) for page in PAGES if page not in seen] == []


def test_the_index_of_the_decisions_is_complete():
    folder = DOCS / "decisions"
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert page == decisions_page(folder), "run: make docs"


def test_a_decision_without_its_title_is_an_error_that_names_the_file(tmp_path: Path):
    (tmp_path / "0001-first.md").write_text("# 0002 Second\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"0001-first\.md begins with '# 0002 Second'"):
        decisions_page(tmp_path)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("Context: no room.", "has 'Context: no room.' below its title"),
        ("Room: `docs/`. Status: perhaps.", "Status: perhaps.' below its title"),
        ("Room: `attic/`. Status: holds.", "names the room attic/, which is not there"),
        ("Room: the repository. Status: replaced by 0009.", "replaced by 0009, which is not there"),
    ],
)
def test_a_decision_says_its_room_and_whether_it_holds(tmp_path: Path, line: str, complaint: str):
    folder = tmp_path / "docs" / "decisions"
    folder.mkdir(parents=True)
    (folder / "0001-first.md").write_text(f"# 0001 First\n\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(complaint)):
        decisions_page(folder)


def test_a_decision_that_was_replaced_leads_to_its_successor(tmp_path: Path):
    folder = tmp_path / "docs" / "decisions"
    folder.mkdir(parents=True)
    standing = ("replaced by 0002", "holds", "holds, replaced in part by 0002")
    for number, status in zip(("0001", "0002", "0003"), standing, strict=True):
        text = f"# {number} Title\n\nRoom: `docs/`. Status: {status}.\n"
        (folder / f"{number}-title.md").write_text(text, encoding="utf-8")
    page = decisions_page(folder)
    assert "| [0001](0001-title.md) | Title | replaced by [0002](0002-title.md) |" in page
    assert "| [0002](0002-title.md) | Title | holds |" in page
    assert "| Title | holds, replaced in part by [0002](0002-title.md) |" in page


def shown_commands() -> Iterator[tuple[str, list[str], str]]:
    """Page, words and the rest of each ``cellwright ...`` in code of any page."""
    for page in PAGES:
        code = "\n".join(_CODE.findall(page.read_text(encoding="utf-8")))
        for match in _COMMAND.finditer(code):
            yield page.name, match[1].split(), match[2]


def test_every_command_and_option_that_a_page_shows_exists():
    root: Any = typer.main.get_command(app)
    wrong = []
    count = 0
    for page, words, rest in shown_commands():
        command = root
        # Commands of the MES's actions are made when they are asked for.
        while (
            words
            and hasattr(command, "commands")
            and (found := command.get_command(click.Context(command), words[0]))
        ):
            command = found
            del words[0]
        count += 1
        if hasattr(command, "commands"):
            wrong.append(f"{page}: cellwright {' '.join(words)}{rest}")
            continue
        known = {option for parameter in command.params for option in parameter.opts}
        options = re.findall(r"(?<=\s)--?[a-z][a-z-]*", rest)
        wrong += [f"{page}: {option}" for option in options if option not in {*known, "--help"}]
    assert wrong == []
    assert count > 50


def test_every_target_of_make_that_a_page_names_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set()
    for page in PAGES:
        for code in _CODE.findall(page.read_text(encoding="utf-8")):
            named |= set(_MAKE.findall(code.replace("```sh\n", "\n")))
    assert {"demo", "test"} <= named
    assert named <= targets


def test_every_console_block_says_what_it_types_first():
    for page in PAGES:
        for block in blocks(page.read_text(encoding="utf-8")):
            if block.language == "console":
                assert block.body.startswith(("$ ", "^C\n")), f"{page.name}:{block.line}"


def test_no_page_names_folders_of_the_machine_that_it_was_written_on():
    for page in PAGES:
        assert not re.search(r"/work/|/root/|/tmp/", page.read_text(encoding="utf-8")), page
