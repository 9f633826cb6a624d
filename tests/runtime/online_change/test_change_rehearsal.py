"""What of a change cannot be interrupted is told from what only happened to be slow."""

from __future__ import annotations

from cellwright.runtime.online_change.rehearsal import Found, Piece, objections

MS = 1_000_000


def test_a_piece_that_is_long_twice_at_the_same_place_is_refused_with_the_shorter_time() -> None:
    first = Found(pieces=[Piece("press.py", 3, 40 * MS), Piece("press.py", 9, 8 * MS)])
    again = Found(pieces=[Piece("press.py", 3, 30 * MS), Piece("lamp.py", 9, 8 * MS)])
    (reason,) = objections(first, again, 5 * MS)
    assert reason.startswith(
        "press.py:3: one call here computes for 30.0 ms and cannot be interrupted; the cycle "
        "leaves 5 ms"
    )
    assert objections(first, Found(), 5 * MS) == []


def test_a_state_that_is_long_in_the_handing_over_is_refused_when_it_is_so_twice() -> None:
    (reason,) = objections(Found(swap_ns=9 * MS), Found(swap_ns=7 * MS), 5 * MS)
    assert reason.startswith("handing over the programs' state takes 7.0 ms in one step")
    assert objections(Found(swap_ns=9 * MS), Found(swap_ns=4 * MS), 5 * MS) == []
