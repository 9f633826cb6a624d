"""Writes a first cell into an empty folder, for ``cellwright init``. It never overwrites a file."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

FILES: Final = ("cell.yaml", "clamp.py")
_SOURCE: Final = "cellwright.runtime.cli.templates"


class TemplateError(OSError):
    """The folder cannot take a new cell; the sentence says what to do."""


def write_template(folder: Path) -> list[Path]:
    """The written files. The folder is made if need be; raises TemplateError when it has content.

    The cell passes ``cellwright check`` and runs without any device.
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
    written = []
    for name in FILES:
        target = folder / name
        try:
            with target.open("x", encoding="utf-8") as file:
                file.write(files(_SOURCE).joinpath(name).read_text(encoding="utf-8"))
        except OSError as error:
            raise TemplateError(
                f"cannot write {target}: {error.strerror}; check rights and free space"
            ) from error
        written.append(target)
    return written
