"""Finds attributes that a program uses and never declares: mostly misspelled variables.

Called by the module `programs` for each program that was found. It reads the source of the class
and of its bases; where there is no source, or where names are made at run time, it says nothing
and leaves the matter to the scan, which refuses what a program adds to itself.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cellwright.io.files.problems import Complaint, nearest
from cellwright.tasks.api import Program

_DYNAMIC: Final = frozenset({"setattr", "vars", "__dict__", "__getattr__", "__getattribute__"})
"""A class that mentions one of them makes names that its source does not show."""
_MAKES: Final = "__init__", "recover", "carry_over"
"""Methods that may give an object attributes, with the methods of its own that they call."""

_OF_THE_CLASS: Final = frozenset({"__init_subclass__", "__new__", "__class_getitem__"})
"""Methods whose first argument is the class, without a decorator that says so."""

Method = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class _Use:
    name: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class _Method:
    """What one method does with attributes of its own object."""

    stored: frozenset[str]
    called: frozenset[str]
    uses: tuple[_Use, ...]


def check_attributes(program: type[Program[Any]], folder: Path) -> Iterator[Complaint]:
    """A complaint for each attribute that no class of the program declares, at its first use."""
    methods = _methods(program, folder)
    if methods is None:
        return
    known = set(dir(program)) | _annotated(program)
    pending: list[str] = [name for name in _MAKES if name in methods]
    seen: set[str] = set()
    while pending:
        name = pending.pop()
        if name in methods and name not in seen:
            seen.add(name)
            for method in methods[name]:
                known |= method.stored
                pending += method.called
    shown = sorted(name for name in known if not name.startswith("_"))
    told: set[str] = set()
    uses = [use for found in methods.values() for method in found for use in method.uses]
    for use in sorted(uses, key=lambda use: (use.file, use.line)):
        if use.name not in known and use.name not in told:
            told.add(use.name)
            yield Complaint(
                f"{program.__name__} has no attribute '{use.name}' ({use.file}:{use.line})",
                "a program may use its variables and what its __init__ makes",
                nearest(use.name, [name for name in shown if not hasattr(Program, name)]),
            )


def _annotated(program: type[Program[Any]]) -> set[str]:
    return {name for base in program.__mro__ for name in vars(base).get("__annotations__", {})}


def _methods(program: type[Program[Any]], folder: Path) -> dict[str, list[_Method]] | None:
    """By name, of all its classes; None when their source does not tell everything."""
    found: dict[str, list[_Method]] = {}
    for base in program.__mro__:
        if base in Program.__mro__[1:]:
            continue
        try:
            lines, first = inspect.getsourcelines(base)
            file = inspect.getsourcefile(base) or ""
            tree = ast.parse(textwrap.dedent("".join(lines)))
        except (OSError, TypeError, SyntaxError):
            return None
        path = Path(file)
        shown = str(path.relative_to(folder)) if path.is_relative_to(folder) else file
        for node in tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else ():
            if isinstance(node, Method):
                method = _method(node, shown, first - 1)
                if method is None:
                    return None
                found.setdefault(node.name, []).append(method)
    return found


def _method(function: Method, file: str, before: int) -> _Method | None:
    """What a method stores, calls and uses of its first argument; None when names are dynamic."""
    arguments = [*function.args.posonlyargs, *function.args.args]
    decorators = {node.id for node in function.decorator_list if isinstance(node, ast.Name)}
    if (
        not arguments
        or decorators & {"staticmethod", "classmethod"}
        or (function.name in _OF_THE_CLASS)
    ):
        return _Method(frozenset(), frozenset(), ())
    own = arguments[0].arg
    stored, called, uses = set[str](), set[str](), list[_Use]()
    for node in ast.walk(function):
        mentioned = getattr(node, "id", None) or getattr(node, "attr", None)
        if mentioned in _DYNAMIC:
            return None
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == own
            and not node.attr.startswith("__")
        ):
            uses.append(_Use(node.attr, file, before + node.lineno))
            if isinstance(node.ctx, ast.Store):
                stored.add(node.attr)
            else:
                called.add(node.attr)
    return _Method(frozenset(stored), frozenset(called), tuple(uses))
