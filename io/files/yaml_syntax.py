"""Says in plain words what the YAML parser could not read: what is wrong there and how to mend it.

Called by `located_yaml`. The parser's own words (block mapping, flow sequence, token) are those of
its grammar; here they are those of somebody who edits a file.
"""

from __future__ import annotations

import re
from typing import Final

from ruamel.yaml.error import MarkedYAMLError

_KINDS: Final = {
    "flow mapping": ("{", "}"),
    "flow sequence": ("[", "]"),
}
_TABS: Final = "indent with spaces: YAML forbids tabs there (YAML 1.2.2, 6.1)"
_GENERAL: Final = "check quotes, brackets, colons and indentation here and in the line before"


def in_words(error: MarkedYAMLError, line: str) -> tuple[str, str]:
    """Why ``line``, in which the parser stopped, is not read, and the remedy."""
    problem, context = error.problem or "", error.context or ""
    began = error.context_mark.line + 1 if error.context_mark is not None else 0
    if "\t" in line[: len(line) - len(line.lstrip())] or "'\\t'" in problem:
        return "a tab indents this line, and editors show it in different widths", _TABS
    for kind, (opening, closing) in _KINDS.items():
        if kind in context:
            return (
                f"a bracket {opening} is opened in line {began}, and what follows is no part of it",
                f"close it with {closing}, or put a comma between two entries;"
                " quote a text that has brackets or colons",
            )
    if "block mapping" in context or "block collection" in context:
        return _indentation(context, problem, line, began)
    if "quoted scalar" in context:
        return (
            f"a quotation mark is opened in line {began} and never closed",
            "close it, at the end of its line as a rule",
        )
    return _single(problem, line)


def _indentation(context: str, problem: str, line: str, began: int) -> tuple[str, str]:
    if "scalar" in problem:
        return (
            "text stands behind a value that is complete",
            "put the whole value in quotes, or put what follows into a line of its own",
        )
    if "collection" in context or line.lstrip().startswith("- "):
        return (
            f"a list of lines with `-` begins in line {began}, and this line is no part of it",
            "write either `- ` before each entry or `name:`, and indent all of them alike",
        )
    return (
        f"this line is indented differently from its neighbours, which began in line {began}",
        "begin keys that belong together in the same column, with spaces",
    )


def _single(problem: str, line: str) -> tuple[str, str]:
    if "mapping values are not allowed" in problem:
        return (
            "a colon with a space stands where no key can be",
            "give each key a line of its own, indented like its neighbours;"
            " put a text with a colon in quotes",
        )
    if "could not find expected ':'" in problem:
        return (
            "a line is neither `key: value` nor the rest of a text",
            "write a colon and a space behind the key, here or in the line before",
        )
    token = re.search(r"found character (?:'(.)'|\"(.)\") that cannot start any token", problem)
    if token is not None:
        return (
            f"a value cannot begin with {token[1] or token[2]}",
            "put the value in quotes",
        )
    if "undefined alias" in problem or "anchor" in problem:
        return problem, "name an anchor that is declared with & above"
    if line.lstrip().startswith(("}", "]")):
        return "a bracket is closed that was never opened", "delete it, or open it before"
    return problem or "it is not YAML", _GENERAL
