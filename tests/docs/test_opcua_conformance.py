"""The page on OPC UA names tests that there are."""

from __future__ import annotations

import re

from support.behaviours import TESTS

PAGE = TESTS.parent / "docs/reference/opcua_conformance.md"


def test_every_test_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8")))
    files = (TESTS / "opcua_model").glob("test_*.py")
    known = {
        name
        for file in files
        for name in re.findall(r"def (test_\w+)\(", file.read_text(encoding="utf-8"))
    }
    assert named <= known, named - known
    assert len(named) > 50
