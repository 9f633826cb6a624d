"""Markdown as all generated pages have it: a page with its mark, a table, marked-up docstrings.

The modules that write pages call it; it reads no code and writes no file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

MARK: Final = "<!-- Written by `make docs` from the code; do not edit. -->"


def marked_up(text: str) -> str:
    """The docstring's double back quotes as Markdown has them."""
    return text.replace("``", "`")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; line ends and bars in cells are made harmless."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(marked_up(text).split()).replace("|", "\\|")


def page(title: str, *parts: str) -> str:
    """A page that says that it is generated."""
    return "\n\n".join([f"# {title}", MARK, *parts]) + "\n"
