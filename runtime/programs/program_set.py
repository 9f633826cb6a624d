"""What a cell's programs are made of: the modules of its folder, with their hashes.

Whoever only looks at what runs (`cellwright status`) reads it without importing a program.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import CodeType
from typing import Final

import msgspec

PACKAGE: Final = "__init__.py"


class Module(msgspec.Struct, frozen=True):
    """One Python file of the cell's folder as it was read."""

    name: str
    """As it is imported: ``press.helpers``."""
    file: str
    """Relative to the cell's folder."""
    source: bytes

    @property
    def sha256(self) -> str:
        """Of the source, hexadecimal."""
        return hashlib.sha256(self.source).hexdigest()

    @property
    def is_package(self) -> bool:
        """It is the ``__init__.py`` of a folder."""
        return Path(self.file).name == PACKAGE


class ProgramSet(msgspec.Struct, frozen=True):
    """All modules of the folder that the programs import, each after those that it imports."""

    modules: tuple[Module, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 over names and sources; the same for the same programs in another folder."""
        whole = hashlib.sha256()
        for module in sorted(self.modules, key=lambda module: module.name):
            whole.update(f"{module.name}\0{module.sha256}\n".encode())
        return whole.hexdigest()

    def names(self) -> frozenset[str]:
        """Names of the modules."""
        return frozenset(module.name for module in self.modules)


def changed_files(old: ProgramSet, new: ProgramSet) -> dict[str, tuple[str, str]]:
    """File to SHA-256 before and after, where they differ; empty for a file that is not there."""
    before = {module.file: module.sha256 for module in old.modules}
    after = {module.file: module.sha256 for module in new.modules}
    return {
        file: (before.get(file, ""), after.get(file, ""))
        for file in sorted(before.keys() | after.keys())
        if before.get(file) != after.get(file)
    }


def compiled(module: Module, folder: Path) -> CodeType:
    """The module's code; raises SyntaxError, or ValueError for text that is none."""
    code: CodeType = compile(
        module.source, str(folder / module.file), "exec", dont_inherit=True, optimize=0
    )
    return code
