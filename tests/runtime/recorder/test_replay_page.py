"""The how-to page on replay is followed to the letter."""

from __future__ import annotations

from pathlib import Path

from prepare import free_port

from support.walkthrough import Walkthrough

PAGE = Path(__file__).parents[3] / "docs" / "howto" / "replay.md"


def test_what_a_cell_did_can_be_kept_replayed_and_tried_with_a_changed_program(
    tmp_path: Path,
) -> None:
    with Walkthrough(tmp_path, {"4840": str(free_port())}) as walkthrough:
        assert walkthrough.follow(PAGE) > 8
    page = (tmp_path / "press" / "slow.html").read_text()
    assert "clamp_pressure" in page
