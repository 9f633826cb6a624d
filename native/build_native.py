"""Declares and compiles ``cellwright.native._native`` (cffi, API mode) and writes its types.

The headers in ``src/`` are the only declarations: what they say without preprocessor lines is what
cffi is told, and what ``_native.pyi`` tells mypy, so that they cannot differ. Run by setuptools
from the folder of ``setup.py``.
"""

import keyword
import re
from collections.abc import Iterator
from pathlib import Path

from cffi import FFI  # type: ignore[import-untyped]
from pycparser import CParser, c_ast  # type: ignore[import-untyped]

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "src"

#: In the order in which they depend on each other.
HEADERS = (
    "image/word.h",
    "image/bits.h",
    "platform/crc32c.h",
    "image/snapshot.h",
    "rings/ring.h",
    "rings/commands.h",
    "image/statistics.h",
    "platform/wait.h",
    "platform/realtime.h",
    "image/changes.h",
    "image/operation.h",
    "image/latch.h",
    "image/overlay.h",
    "image/commit.h",
    "image/publish.h",
    "recorder/recorder.h",
    "blocks/blocks.h",
    "blocks/logic.h",
    "blocks/timers.h",
    "blocks/analog.h",
    "blocks/pid.h",
    "blocks/sequencer.h",
    "opcua/items.h",
)


def declarations(header: str) -> str:
    """The header's text without preprocessor lines."""
    lines = (SOURCES / header).read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("#"))


_BYTES = ("char", "uint8_t", "void")
_INTEGERS = ("size_t", *(f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)))
_PYTHON = {"void": "None", "bool": "bool", "float": "float", "double": "float", "int": "int"}

STUB = '''"""Written by build_native.py from the headers in src; do not edit."""

from collections.abc import Iterator
from typing import Any

class CData:
    """A value of C, mostly a pointer."""

    def __getattr__(self, name: str) -> Any: ...
    def __setattr__(self, name: str, value: Any) -> None: ...
    def __getitem__(self, index: Any) -> Any: ...
    def __setitem__(self, index: Any, value: Any) -> None: ...
    def __add__(self, elements: int) -> CData: ...
    def __sub__(self, other: Any) -> Any: ...
    def __int__(self) -> int: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Any]: ...

class _FFI:
    NULL: CData
    def new(self, cdecl: Any, init: Any = ...) -> CData: ...
    def gc(self, cdata: CData, destructor: Any, size: int = ...) -> CData: ...
    def cast(self, cdecl: Any, value: Any) -> CData: ...
    def from_buffer(
        self, cdecl: Any, python_buffer: Any = ..., require_writable: bool = ...
    ) -> CData: ...
    def buffer(self, cdata: CData, size: int = ...) -> Any: ...
    def memmove(self, dest: Any, src: Any, n: int) -> None: ...
    def sizeof(self, cdecl: Any) -> int: ...
    def typeof(self, cdecl: Any) -> Any: ...
    def unpack(self, cdata: CData, length: int) -> Any: ...
    def string(self, cdata: CData, maxlen: int = ...) -> Any: ...
    def addressof(self, cdata: CData, *fields: Any) -> CData: ...

class _Library:
'''


def stub() -> str:
    """What mypy is told: a member of ``_Library`` for each function and enumeration constant."""
    typedefs = "typedef _Bool bool;" + "".join(f"typedef int {name};" for name in _INTEGERS)
    # Comments are the preprocessor's, which does not run; their lines are counted all the same.
    text = "".join(f'\n# 1 "{name}"\n{declarations(name)}' for name in HEADERS)
    text = re.sub(r"/\*.*?\*/", lambda found: "\n" * found[0].count("\n"), text, flags=re.DOTALL)
    lines: list[str] = []
    header = ""
    for node in CParser().parse(typedefs + text, "typedefs").ext:
        members = list(_members(node))
        if members and node.coord.file != header:
            header = node.coord.file
            lines.append(f"    # {header}")
        lines += members
    return STUB + "\n".join(lines) + "\n\nffi: _FFI\nlib: _Library\n"


def _members(node: c_ast.Node) -> Iterator[str]:
    if not isinstance(node, c_ast.Decl):
        return
    if isinstance(node.type, c_ast.Enum):
        for constant in node.type.values.enumerators:
            yield f"    {constant.name}: int"
    elif isinstance(node.type, c_ast.FuncDecl):
        arguments = ["self"]
        for parameter in node.type.args.params:
            if parameter.name is not None:  # else it is the `void` of an empty list
                name = f"{parameter.name}_" if keyword.iskeyword(parameter.name) else parameter.name
                arguments.append(f"{name}: {_type(parameter.type, given=True)}")
        answer = _type(node.type.type, given=False)
        yield f"    def {node.name}({', '.join(arguments)}, /) -> {answer}: ..."


def _type(node: c_ast.Node, *, given: bool) -> str:
    """A type for mypy; bytes may be ``given`` where C only reads bytes."""
    if isinstance(node, c_ast.PtrDecl | c_ast.ArrayDecl):
        pointed = node.type
        reads = isinstance(pointed, c_ast.TypeDecl) and "const" in pointed.quals
        plain = isinstance(pointed.type, c_ast.IdentifierType) and pointed.type.names[0] in _BYTES
        return "CData | bytes" if given and reads and plain else "CData"
    name = " ".join(node.type.names) if isinstance(node.type, c_ast.IdentifierType) else "int"
    return "int" if name in _INTEGERS else _PYTHON[name]


def _relative(path: Path) -> str:
    return f"native/src/{path.relative_to(SOURCES)}"


ffibuilder = FFI()
for name in HEADERS:
    ffibuilder.cdef(declarations(name))
ffibuilder.set_source(
    "cellwright.native._native",
    "\n".join(f'#include "{name}"' for name in HEADERS),
    sources=[_relative(path) for path in sorted(SOURCES.rglob("*.c"))],
    depends=[_relative(path) for path in sorted(SOURCES.rglob("*.h"))],
    include_dirs=["native/src"],
    extra_compile_args=[
        "-O3",
        "-std=c11",
        "-D_GNU_SOURCE",
        "-Wall",
        "-Wextra",
        "-Werror",
        # cffi's own generated code leaves parameters unused.
        "-Wno-unused-parameter",
    ],
)

(HERE / "_native.pyi").write_text(stub(), encoding="utf-8")
