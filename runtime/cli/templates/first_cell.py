"""Writes a first cell into an empty folder, for ``cellwright init``. It never overwrites a file."""

from __future__ import annotations

import re
import socket
import unicodedata
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

FILES: Final = ("cell.yaml", "clamp.py")
PORTS: Final = range(4840, 4900)
"""OPC UA servers are looked for on the first one."""
_LONGEST: Final = 64
"""Characters of a cell's name."""
_SOURCE: Final = __package__


class TemplateError(OSError):
    """The folder cannot take a new cell; the sentence says what to do."""


def write_template(folder: Path) -> list[Path]:
    """The written files. The folder is made if need be; raises TemplateError when it has content.

    The cell passes ``cellwright check`` and runs without any device. It has the folder's name, and
    its OPC UA server a port that nobody listens on now.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        present = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise TemplateError(
            f"cannot make the folder {folder} for a new cell: {error.strerror}; choose another"
        ) from error
    if present:
        shown = ", ".join(present[:3]) + (", ..." if len(present) > 3 else "")
        raise TemplateError(
            f"{folder} is not empty (it has {shown}) and a new cell would mix with what is there; "
            "name a new or an empty folder"
        )
    facts = {"{name}": _cell_name(folder.resolve().name), "{port}": str(_free_port())}
    written = []
    for name in FILES:
        target = folder / name
        try:
            with target.open("x", encoding="utf-8") as file:
                file.write(_filled(files(_SOURCE).joinpath(name).read_text("utf-8"), facts))
        except OSError as error:
            raise TemplateError(
                f"cannot write {target}: {error.strerror}; check rights and free space"
            ) from error
        written.append(target)
    return written


def _filled(text: str, facts: Mapping[str, str]) -> str:
    for placeholder, value in facts.items():
        text = text.replace(placeholder, value)
    return text


def _cell_name(folder: str) -> str:
    """The folder's name in the characters that a cell's name may have."""
    plain = unicodedata.normalize("NFKD", folder).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", plain).strip("_-")
    if not name:
        return "Cell"
    return (name if name[0].isalpha() else f"Cell_{name}")[:_LONGEST]


def _free_port() -> int:
    """The first port that nobody listens on; if all are taken, `run` names the one that is."""
    for port in PORTS:
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return PORTS[0]
