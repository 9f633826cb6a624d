"""Declares and compiles ``cellwright.native._native`` (cffi, API mode).

The headers in ``src/`` are the only declarations: what they say without preprocessor lines is what
cffi is told, so the two cannot differ. Run by setuptools from the folder of ``setup.py``.
"""

from pathlib import Path

from cffi import FFI  # type: ignore[import-untyped]

SOURCES = Path(__file__).resolve().parent / "src"

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
)


def declarations(header: str) -> str:
    """The header's text without preprocessor lines."""
    lines = (SOURCES / header).read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("#"))


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
