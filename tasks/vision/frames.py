"""Keeps the last frames of rejected parts as PNG files in a folder of bounded size.

Used by the vision worker. It never grows beyond its limit and never touches files that it did not
name.
"""

from __future__ import annotations

import contextlib
import re
import struct
import zlib
from pathlib import Path

from cellwright.tasks.vision.reader import Gray

_OURS = re.compile(r"\d{12}_.*\.png")
_PARTIAL = re.compile(r"\d{12}_.*\.part")


def png(gray: Gray) -> bytes:
    """``gray`` uint8[h, w] as an eight-bit greyscale PNG (RFC 2083), quickly compressed."""
    height, width = gray.shape
    rows = bytearray()
    for row in gray:
        rows.append(0)
        rows += row.tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", header),
            _chunk(b"IDAT", zlib.compress(bytes(rows), 1)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


class RejectedFrames:
    """``folder`` holds at most ``limit`` frames, named by a running number and the serial."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        # A folder that cannot be read is told when the first frame cannot be kept.
        with contextlib.suppress(OSError):
            for left in folder.glob("*.part") if folder.is_dir() else ():
                if _PARTIAL.fullmatch(left.name):
                    left.unlink(missing_ok=True)  # its writer was killed

    def keep(self, gray: Gray, serial: str) -> Path | None:
        """Store a frame and drop the oldest beyond the limit; None when it is 0. Raises OSError."""
        if self.limit == 0:
            return None
        self.folder.mkdir(parents=True, exist_ok=True)
        kept = self.files()
        number = int(kept[-1].name[:12]) + 1 if kept else 1
        safe = re.sub(r"[^A-Za-z0-9._-]", "_", serial)[:60] or "unknown"
        path = self.folder / f"{number:012d}_{safe}.png"
        partial = path.with_suffix(".part")
        try:
            partial.write_bytes(png(gray))
            partial.replace(path)
        except OSError:
            # On a full disk each rejected part would leave another piece of a frame.
            partial.unlink(missing_ok=True)
            raise
        for old in [*kept, path][: -self.limit]:
            old.unlink(missing_ok=True)
        return path

    def files(self) -> list[Path]:
        """The kept frames, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if _OURS.fullmatch(path.name))
