"""The tutorial is followed to the letter: every command, every change, real processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from prepare import free_port

from support.walkthrough import Walkthrough

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.timeout(400)
def test_the_first_cell_can_be_commissioned_as_the_tutorial_says(tmp_path: Path):
    swaps = {"4840": str(free_port()), "/home/ana": str(tmp_path)}
    with Walkthrough(tmp_path, swaps) as walkthrough:
        assert walkthrough.follow(DOCS / "tutorial" / "first_cell.md") > 30
