"""``cellwright mes verify --checkpoint FILE`` names what was done to a chain, on both databases.

The forger of these tests knows what he does: he hashes the tail again and moves the chain's end.
All lengths are multiples of a tile of the stored tree.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from cellwright.mes.service.catalogue import open_store
from support.audit_trails import Rows, fill, rewrite
from support.small_cell import SmallCell

RECORDS = 512


@pytest.fixture
def cell(database_url: str, tmp_path: Path) -> SmallCell:
    """A cell whose people left so many records; a checkpoint of them lies elsewhere."""
    cell = SmallCell(tmp_path / "cell", tmp_path / "run")
    yaml = YAML()
    content = yaml.load(cell.file)
    content["mes"] = {"database": database_url}
    yaml.dump(content, cell.file)
    (cell.folder / "data").mkdir(exist_ok=True)
    store = open_store(database_url)
    fill(store, RECORDS)
    store.close()
    made = cell.type("mes", "checkpoint", "--to", str(tmp_path / "kept.json"))
    assert made.returncode == 0, made.stderr
    return cell


@pytest.fixture
def forge(database_url: str) -> Callable[[Callable[[Rows], int]], None]:
    """Changes the records of the cell's database; see `rewrite`."""

    def run(change: Callable[[Rows], int]) -> None:
        store = open_store(database_url)
        rewrite(store, change)
        store.close()

    return run


def verify(cell: SmallCell) -> tuple[int, str]:
    done = cell.type("mes", "verify", "--checkpoint", str(cell.folder.parent / "kept.json"))
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def nicer(rows: Rows) -> int:
    rows[4]["reason"] = "nicer"
    return 4


def swapped(rows: Rows) -> int:
    rows[6], rows[400] = rows[400], rows[6]
    return 6


def cut(rows: Rows) -> int:
    del rows[256:]
    return len(rows)


@pytest.mark.parametrize(
    ("change", "named"),
    [(nicer, "at record 5:"), (swapped, "at record 7:"), (cut, "at record 257:")],
)
def test_a_forged_chain_is_named_by_its_first_wrong_record(cell, forge, change, named):
    forge(change)
    code, said = verify(cell)
    assert (code, named in said) == (1, True), said


def test_a_chain_that_grew_honestly_is_right(cell, database_url):
    assert verify(cell) == (0, f"{RECORDS} records, chain intact")
    store = open_store(database_url)
    fill(store, 300)
    store.close()
    assert verify(cell) == (0, f"{RECORDS + 300} records, chain intact")
