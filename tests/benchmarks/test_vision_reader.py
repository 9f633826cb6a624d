"""Times of reading and verifying a 1280 x 1024 frame; run with ``--benchmark-only``."""

from __future__ import annotations

from typing import Any

from tasks.marks import Look, draw, empty

from cellwright.tasks.vision.reader import read_marks
from cellwright.tasks.vision.verify import MarkVerdict, verify

CONTENT = "1AB23/B-17/S000123"


def test_read_a_frame_with_a_mark(benchmark: Any) -> None:
    drawn = draw(CONTENT, Look(module=14), 1)
    assert benchmark(read_marks, drawn.gray)[0].text == CONTENT


def test_read_a_frame_without_a_mark(benchmark: Any) -> None:
    assert benchmark(read_marks, empty(Look(), 1)) == []


def test_verify_a_mark(benchmark: Any) -> None:
    drawn = draw(CONTENT, Look(module=14), 1)
    found = read_marks(drawn.gray)
    assert benchmark(verify, drawn.gray, found, CONTENT).verdict is MarkVerdict.OK
