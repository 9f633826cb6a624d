"""The modules of a cell's folder that its programs are made of: found, read and imported as one.

The scan process imports its programs here, `cellwright change` and a replay do the same beside it.
Sources are always compiled anew: a cached byte code may belong to the text of a second ago.
"""

from __future__ import annotations

import ast
import linecache
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from cellwright.runtime.programs.program_set import PACKAGE, Module, ProgramSet, compiled
from cellwright.runtime.programs.resolve import resolve
from cellwright.tasks.api import Program


class SetFinder(MetaPathFinder):
    """Finds the modules of one cell: in its folder, or among ``sources`` and nowhere else.

    ``code`` may hold what the sources were compiled to. `found` is in the order of completion.
    """

    def __init__(
        self,
        folder: Path,
        sources: ProgramSet | None = None,
        code: Mapping[str, CodeType] | None = None,
    ) -> None:
        self.folder = folder
        self._sources = None if sources is None else {one.name: one for one in sources.modules}
        self._code = code or {}
        self._found: dict[str, Module] = {}

    @property
    def found(self) -> ProgramSet:
        """What has been imported through this finder so far."""
        return ProgramSet(tuple(self._found.values()))

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module of that name when it is one of the cell's."""
        module = self._module(fullname)
        return None if module is None else self.spec(module)

    def spec(self, module: Module) -> ModuleSpec:
        """What the import system wants to know of a module."""
        file = self.folder / module.file
        spec = spec_from_file_location(
            module.name,
            file,
            loader=_SetLoader(self, module),
            submodule_search_locations=[str(file.parent)] if module.is_package else None,
        )
        assert spec is not None
        return spec

    def _module(self, name: str) -> Module | None:
        if self._sources is not None:
            return self._sources.get(name)
        place = Path(*name.split("."))
        for file in (place / PACKAGE, place.with_name(place.name + ".py")):
            try:
                return Module(name, str(file), (self.folder / file).read_bytes())
            except (FileNotFoundError, NotADirectoryError):
                continue
        return None

    def execute(self, module: Module, into: ModuleType) -> None:
        """Run the module's body; whatever it raises comes out."""
        code = self._code.get(module.name) or compiled(module, self.folder)
        text = module.source.decode(errors="replace")
        # Whoever asks for the text of what runs (pydantic, for docstrings; a traceback) must not
        # find what lies in the folder by now. Entries without a time stamp are not looked up again.
        file = str(self.folder / module.file)
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        exec(code, vars(into))
        self._found.setdefault(module.name, module)


class _SetLoader(Loader):
    def __init__(self, finder: SetFinder, module: Module) -> None:
        self._finder = finder
        self._module = module

    def exec_module(self, module: ModuleType) -> None:
        self._finder.execute(self._module, module)

    def get_source(self, _name: str) -> str:
        return self._module.source.decode(errors="replace")


def of_folder(folder: Path) -> list[str]:
    """Names of the loaded modules whose files lie in the folder."""
    inside = str(folder) + "/"
    return [
        name
        for name, module in list(sys.modules.items())
        if str(getattr(module, "__file__", None) or "").startswith(inside)
    ]


def _in_the_way(folder: Path) -> list[str]:
    """Names of loaded modules that an import from the folder must not find.

    They are the folder's own, as they were read before, and those of another cell that has a
    module of the same name.
    """
    tops = {path.stem for path in folder.glob("*.py")}
    tops |= {path.parent.name for path in folder.glob(f"*/{PACKAGE}")}
    tops -= {"cellwright", *sys.stdlib_module_names}
    same = [name for name in sys.modules if name.partition(".")[0] in tops]
    return list({*same, *of_folder(folder)})


def install(finder: SetFinder) -> None:
    """Have this process import the cell's modules through the finder from now on."""
    for name in _in_the_way(finder.folder):
        del sys.modules[name]
    sys.meta_path.insert(0, finder)


@contextmanager
def imported_apart(folder: Path, sources: ProgramSet | None = None) -> Iterator[SetFinder]:
    """Imports in the block see the folder (or ``sources``) anew and leave nothing behind."""
    before = {name: sys.modules.pop(name) for name in _in_the_way(folder)}
    finder = SetFinder(folder, sources)
    sys.meta_path.insert(0, finder)
    try:
        yield finder
    finally:
        sys.meta_path.remove(finder)
        for name in of_folder(folder):
            del sys.modules[name]
        for module in finder.found.modules:
            linecache.cache.pop(str(folder / module.file), None)
        sys.modules.update(before)


def resolved(programs: Iterable[str], finder: SetFinder) -> list[type[Program[Any]]]:
    """The classes of ``module:Class`` or registered names, through an installed finder.

    Raises RegistryError.
    """
    folder = str(finder.folder)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return [resolve(program) for program in programs]


def worker_files(folder: Path, target: str) -> dict[str, str]:
    """File to SHA-256 of a worker's module and of what it imports from the folder.

    Found without importing anything: a worker may bring libraries that do not belong beside a scan.
    """
    finder = SetFinder(folder)
    found: dict[str, str] = {}
    waiting = [target.partition(":")[0]]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        module = finder._module(name)
        if module is None:
            continue
        found[module.file] = module.sha256
        waiting += _imports(module)
        if "." in name:
            waiting.append(name.rpartition(".")[0])
    return dict(sorted(found.items()))


def _imports(module: Module) -> Iterator[str]:
    """Names that a module may import; of ``from a import b`` both ``a`` and ``a.b``."""
    try:
        tree = ast.parse(module.source)
    except (SyntaxError, ValueError):
        return
    package = module.name if module.is_package else module.name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                above = ".".join(parts[: len(parts) - node.level + 1])
                base = f"{above}.{base}".strip(".")
            yield base
            for alias in node.names:
                yield f"{base}.{alias.name}".strip(".")
