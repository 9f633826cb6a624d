"""A page names only files, folders and modules that are there.

What counts as a path of the repository is told by its form, so that no list of exceptions is kept:

- a path whose first folder is one of the repository's own (`io/plan/units.py`, `runtime/scan/`)
  must exist, seen from the top or from the page's folder, also in a command;
- the name of a source file (`standard.py`, `snapshot.h`) must be the end of the path of one, unless
  the page has its reader write or run it, that is, unless a fenced block of the page names it;
- a dotted name below `cellwright` must be a module, something in one, or a group of entry points.

Folders of a running cell (`data/journal.db`) and OPC UA paths do not begin like that.
"""

from __future__ import annotations

import importlib
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"(?<![\w./<-])[\w.-]+(?:/[\w.*@-]+)+/?|(?<![\w./<-])[\w-]+/(?![\w<])")
_SOURCE = re.compile(r"[\w/.-]*\w\.(?:py|c|h)")
_MODULE = re.compile(r"cellwright(?:\.\w+)+")


@cache
def files() -> frozenset[str]:
    """Every file of the repository that git does not ignore, with the folders that hold it."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.splitlines()
    kept = [name for name in listed if (ROOT / name).exists()]
    folders = {str(folder) for name in kept for folder in Path(name).parents}
    return frozenset({*kept, *folders})


@cache
def pages() -> list[str]:
    return sorted(name for name in files() if name.endswith(".md"))


def is_there(path: str, page: str) -> bool:
    """Whether a path exists, from the top or beside the page; ``*`` stands for anything."""
    places = (ROOT, (ROOT / page).parent)
    return any(any(True for _ in place.glob(path.rstrip("/"))) for place in places)


def ends_a_path(name: str) -> bool:
    return any(f"/{file}".endswith(f"/{name}") for file in files())


def missing_paths(text: str, page: str) -> list[str]:
    """Paths that ``text`` names in back quotes, as a page of that name, and that do not exist."""
    tops = {name.partition("/")[0] for name in files() if "/" in name}
    blocks = "\n".join(_FENCED.findall(text))
    spans = _CODE.findall(_FENCED.sub("", text))
    paths = {path for code in (*spans, blocks) for path in _PATH.findall(code)}
    missing = {
        path for path in paths if path.partition("/")[0] in tops and not is_there(path, page)
    }
    sources = {name for name in spans if _SOURCE.fullmatch(name)} - missing
    missing |= {
        name
        for name in sources
        if not (ends_a_path(name) or is_there(name, page) or name in blocks)
    }
    return sorted(missing)


def is_module(name: str) -> bool:
    """Whether a dotted name is a module or what one defines, at any depth."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


@pytest.mark.parametrize("page", pages())
def test_every_path_that_a_page_names_exists(page: str):
    assert missing_paths((ROOT / page).read_text(encoding="utf-8"), page) == []


def test_every_module_that_a_page_names_exists():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {
        name
        for page in pages()
        for code in _CODE.findall(_FENCED.sub("", (ROOT / page).read_text(encoding="utf-8")))
        for name in _MODULE.findall(code)
    }
    assert (
        sorted(name for name in named - set(project["entry-points"]) if not is_module(name)) == []
    )
    assert named


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("`io/plan/units.py` and `runtime/scan/`", []),
        ("`io/plan/tape.py`", ["io/plan/tape.py"]),
        ("`runtime/desk/`", ["runtime/desk/"]),
        ("`test_paths.py` and `modbus/client.py`", []),
        ("`outbox_of_old.py`", ["outbox_of_old.py"]),
        ("`pump.py`, written by the reader\n\n```python\n# my_pump.py\n```\n`my_pump.py`", []),
        ("`data/journal.db`, `Objects/Machines`, `km/h`, `safe: false`", []),
        ("`native/src/*/*.c`", []),
        ("`native/source/*.c`", ["native/source/*.c"]),
        ("`make test ARGS=tests/none/test_old.py`", ["tests/none/test_old.py"]),
        ("`/etc/deploy/cell.yaml`, `press/deploy/cell.yaml`, `cell-.../tests/here`", []),
        ("```sh\npython tools/none.py\n```", ["tools/none.py"]),
    ],
)
def test_a_path_is_told_by_its_form(text: str, missing: list[str]):
    assert missing_paths(text, "docs/README.md") == missing
