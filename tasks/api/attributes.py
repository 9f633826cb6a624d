"""The default rule by which a changed program goes on from what the one before it knew.

Called by `Program.carry_over` in the scan, between two cycles. Works on one object and its class;
tags and function blocks are carried elsewhere.
"""

from __future__ import annotations

import dis
from collections.abc import Iterator, Mapping
from enum import Enum
from types import CodeType, FunctionType
from typing import Any
from weakref import WeakKeyDictionary


class CarryOverError(ValueError):
    """A value that the changed program would misunderstand; the sentence says what to do."""


def adopt(program: object, state: Mapping[str, Any]) -> None:
    """Take over each attribute that the changed program still knows, by name.

    An attribute is known when ``__init__`` made it, when the class has a value of that name, or
    when a method mentions it; others are dropped. Raises CarryOverError when a value has another
    type than the one that the changed program gives the same name, and changes nothing then.
    """
    kind = type(program)
    mentioned = names_in(kind)
    taken: dict[str, Any] = {}
    for name, value in state.items():
        if name in vars(program):
            _check(kind, name, value, vars(program)[name])
        elif hasattr(kind, name):
            default = getattr(kind, name)
            if callable(default) or hasattr(type(default), "__get__"):
                continue  # it has become a method, a property or a variable
            _check(kind, name, value, default)
        elif name not in mentioned:
            continue
        taken[name] = value
    vars(program).update(taken)


def _check(kind: type, name: str, old: object, new: object) -> None:
    if not _alike(old, new):
        raise CarryOverError(
            f"its attribute '{name}' is {_a(type(old))} in the running program and "
            f"{_a(type(new))} in the changed one; give it another name, or migrate it in "
            f"{kind.__name__}.carry_over"
        )


def _alike(old: object, new: object) -> bool:
    if old is None or new is None:
        return True
    if isinstance(old, Enum) or isinstance(new, Enum):
        return type(old) is type(new)
    if isinstance(old, int | float) and isinstance(new, int | float):
        return isinstance(old, bool) == isinstance(new, bool)
    return isinstance(old, type(new)) or isinstance(new, type(old))


def _a(kind: type) -> str:
    return f"{'an' if kind.__name__[0] in 'aeiouAEIOU' else 'a'} {kind.__name__}"


_names_in: WeakKeyDictionary[type, frozenset[str]] = WeakKeyDictionary()


def names_in(kind: type) -> frozenset[str]:
    """Every name that the methods of a class and of its bases mention; looked up once a class."""
    known = _names_in.get(kind)
    if known is None:
        functions = (
            function
            for base in kind.__mro__
            for value in vars(base).values()
            for function in _functions(value)
        )
        known = frozenset(name for function in functions for name in _names(function.__code__))
        _names_in[kind] = known
    return known


def _functions(value: object) -> Iterator[FunctionType]:
    if isinstance(value, FunctionType):
        yield value
    elif isinstance(value, staticmethod | classmethod):
        yield from _functions(value.__func__)
    elif isinstance(value, property):
        for part in (value.fget, value.fset):
            yield from _functions(part)
    wrapped = getattr(value, "__wrapped__", None)
    if wrapped is not None and wrapped is not value and not isinstance(value, classmethod):
        yield from _functions(wrapped)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def added(program: object, declared: int) -> str:
    """What a program has made beyond its first ``declared`` attributes, with file and line.

    Empty when each of them has a place in the class: a cached property, a default, an annotation.
    """
    kind = type(program)
    known = {name for base in kind.__mro__ for name in vars(base).get("__annotations__", {})}
    for name in list(vars(program))[declared:]:
        if name not in known and not hasattr(kind, name):
            return f"'{name}'{_stored_at(kind, name)}"
    return ""


def _stored_at(kind: type, name: str) -> str:
    """`` (file:line)`` of the first method that stores an attribute of that name."""
    for base in kind.__mro__:
        for value in vars(base).values():
            for function in _functions(value):
                for code in _codes(function.__code__):
                    for instruction in dis.get_instructions(code):
                        if instruction.opname == "STORE_ATTR" and instruction.argval == name:
                            place = instruction.positions
                            line = code.co_firstlineno if place is None else place.lineno
                            return f" ({code.co_filename}:{line})"
    return ""


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
