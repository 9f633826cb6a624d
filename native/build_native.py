"""Declares and compiles ``cellwright.native._native`` (cffi, API mode).

The headers in ``src/`` are the only declarations: what they say without preprocessor lines is what
cffi is told, so the two cannot differ. Run by setuptools from the folder of ``setup.py``.
"""

from pathlib import Path

from cffi import FFI  # type: ignore[import-untyped]

SOURCES = Path(__file__).resolve().parent / "src"

#: In the order in which they depend on each other.
HEADERS = (
    "cell.h",
    "bits.h",
    "crc32c.h",
    "snapshot.h",
    "ring.h",
    "commands.h",
    "statistics.h",
    "wait.h",
    "realtime.h",
    "changes.h",
    "operation.h",
    "latch.h",
    "overlay.h",
    "commit.h",
    "publish.h",
    "recorder.h",
    "blocks.h",
    "blocks_logic.h",
    "blocks_timers.h",
    "blocks_analog.h",
    "blocks_pid.h",
    "blocks_sequencer.h",
)


def declarations(header: str) -> str:
    """The header's text without preprocessor lines."""
    lines = (SOURCES / header).read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("#"))


ffibuilder = FFI()
for name in HEADERS:
    ffibuilder.cdef(declarations(name))
ffibuilder.set_source(
    "cellwright.native._native",
    "\n".join(f'#include "{name}"' for name in HEADERS),
    sources=[f"native/src/{path.name}" for path in sorted(SOURCES.glob("*.c"))],
    depends=[f"native/src/{path.name}" for path in sorted(SOURCES.glob("*.h"))],
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
