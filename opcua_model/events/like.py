"""The operator Like (OPC 10000-4, 7.7.3, table 118) in time that a pattern cannot blow up."""

from __future__ import annotations

from collections.abc import Callable

_Test = Callable[[str], bool]
_ANY = None
"""Stands for ``%``."""


def like(text: str, pattern: str) -> bool:
    """True when the whole text matches; ``%`` any text, ``_`` a letter, ``[]``, ``[^]``, ``\\``.

    Greedy with one way back, so the time is at most the product of both lengths.
    """
    tests = _parsed(pattern)
    at = step = 0
    star, mark = -1, 0
    while at < len(text):
        test = tests[step] if step < len(tests) else False
        if test is _ANY:
            star, mark = step, at
            step += 1
        elif test is not False and test(text[at]):  # type: ignore[operator] # a test here
            at += 1
            step += 1
        elif star >= 0:
            mark += 1
            at, step = mark, star + 1
        else:
            return False
    return all(test is _ANY for test in tests[step:])


def _parsed(pattern: str) -> list[_Test | None]:
    tests: list[_Test | None] = []
    at = 0
    while at < len(pattern):
        letter = pattern[at]
        at += 1
        if letter == "%":
            if not tests or tests[-1] is not _ANY:
                tests.append(_ANY)
        elif letter == "_":
            tests.append(lambda _: True)
        elif letter == "[" and (end := _end(pattern, at)) > 0:
            tests.append(_one_of(pattern[at:end]))
            at = end + 1
        else:
            if letter == "\\" and at < len(pattern):
                letter = pattern[at]
                at += 1
            tests.append(letter.__eq__)
    return tests


def _end(pattern: str, at: int) -> int:
    """Place of the bracket that closes the list which begins at ``at``; -1 without one."""
    while at < len(pattern):
        if pattern[at] == "\\":
            at += 1
        elif pattern[at] == "]":
            return at
        at += 1
    return -1


def _one_of(inside: str) -> _Test:
    wanted = not inside.startswith("^")
    rest = inside if wanted else inside[1:]
    letters: set[str] = set()
    ranges: list[tuple[str, str]] = []
    at = 0
    while at < len(rest):
        if rest[at] == "\\" and at + 1 < len(rest):
            letters.add(rest[at + 1])
            at += 2
        elif at + 2 < len(rest) and rest[at + 1] == "-":
            ranges.append((rest[at], rest[at + 2]))
            at += 3
        else:
            letters.add(rest[at])
            at += 1

    def test(letter: str) -> bool:
        inside = letter in letters or any(low <= letter <= high for low, high in ranges)
        return inside is wanted

    return test
