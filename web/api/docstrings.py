"""What requests and answers say of themselves: the docstrings of structs and below their fields.

Reads the source, which lies beside the program. Asked once, for the OpenAPI document.
"""

from __future__ import annotations

import ast
import inspect
import textwrap

import msgspec


def docs_of(struct: type[msgspec.Struct]) -> dict[str, str]:
    """The string under each field, by the field's name, inherited ones included."""
    found: dict[str, str] = {}
    for owner in reversed(struct.__mro__):
        if issubclass(owner, msgspec.Struct) and owner is not msgspec.Struct:
            found.update(_own(owner))
    return found


def summary_of(struct: type[msgspec.Struct]) -> str:
    """The struct's own docstring in one line; empty when it has none."""
    text = struct.__doc__ or ""
    return " ".join(inspect.cleandoc(text).partition("\n\n")[0].split())


def _own(owner: type) -> dict[str, str]:
    try:
        source = textwrap.dedent(inspect.getsource(owner))
    except (OSError, TypeError):
        return {}  # made at run time, or delivered without its source
    (made,) = ast.parse(source).body
    docs: dict[str, str] = {}
    name = ""
    for node in made.body if isinstance(made, ast.ClassDef) else []:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name)):
                continue
            case ast.Expr(value=ast.Constant(value=str(text))) if name:
                docs[name] = " ".join(inspect.cleandoc(text).split())
        name = ""
    return docs
