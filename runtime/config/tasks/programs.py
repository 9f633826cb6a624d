"""Finds the programs of the tasks and has them check their options.

Called by the compiler; it imports the authors' modules, in the compiler's process only. Whatever
such a module raises becomes a complaint with its file and line.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cellwright.io.files.located_yaml import Entry, Node
from cellwright.io.files.problems import Complaint, Mark, Problems, nearest
from cellwright.io.plan import Deadline
from cellwright.io.registry import registry
from cellwright.runtime.config.sections import model
from cellwright.runtime.config.sections.validation import validate
from cellwright.runtime.config.tags.devices import NAME, Devices
from cellwright.runtime.config.tags.tags import RESERVED
from cellwright.runtime.config.tasks.attributes import check_attributes
from cellwright.runtime.config.tasks.author_code import EndlessError, bounded
from cellwright.runtime.config.tasks.task_rules import check_kind, deadlines_of
from cellwright.tasks.api import Program, ProgramOptions, Variable

_TARGET: Final = re.compile(r"(?P<module>[A-Za-z_][\w.]*):(?P<name>[A-Za-z_]\w*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class TaskDraft:
    """A task whose program was found."""

    name: str
    mark: Mark
    model: model.Task
    program: type[Program[Any]]
    variables: Mapping[str, Variable]
    options: dict[str, Any]
    deadlines: dict[str, Deadline]


@dataclass(frozen=True, slots=True)
class Tasks:
    """All tasks of the file. Of a broken task only the name is known."""

    good: dict[str, TaskDraft]
    broken: set[str]


def compile_tasks(
    entries: Mapping[str, Entry], root: Node, folder: Path, devices: Devices, problems: Problems
) -> Tasks:
    """All tasks of the section, each with its program and validated options."""
    compiler = _Compiler(root, folder, devices, problems)
    tasks = Tasks({}, set())
    for name, entry in entries.items():
        draft = compiler.task(name, entry)
        if draft is None:
            tasks.broken.add(name)
        else:
            tasks.good[name] = draft
    return tasks


@dataclass(frozen=True, slots=True)
class _Compiler:
    root: Node
    folder: Path
    devices: Devices
    problems: Problems

    def task(self, name: str, entry: Entry) -> TaskDraft | None:
        path = ("tasks", name)
        self._check_name(name, entry)
        if entry.node.kind != "mapping":
            if entry.node.kind != "void":
                self.problems.error(
                    entry.mark,
                    f"the task '{name}' is not a mapping",
                    "a task has a program and what runs it",
                    "write it like {program: module:Class, interval: 10ms}",
                )
            return None
        data = entry.node.plain()
        task = validate(model.Task, data, self.root, path, self.problems, subject="a task")
        target, given = data.get("program"), data.get("options", {})
        if not isinstance(target, str):
            return None
        try:
            program = find_program(target, self.folder)
            variables = _variables(program)
        except Complaint as complaint:
            self.problems.complain(self.root.at((*path, "program")), complaint)
            return None
        for undeclared in check_attributes(program, self.folder):
            self.problems.complain(self.root.at((*path, "program")), undeclared)
        options = self._options(program, target, given, path) if isinstance(given, dict) else None
        fits = task is not None and check_kind(name, entry, task, self.root, self.problems)
        if task is None or options is None or not fits:
            return None
        deadlines = deadlines_of(name, task, program, self.root, self.problems)
        return TaskDraft(
            name, entry.mark, task, program, variables, options.model_dump(mode="json"), deadlines
        )

    def _check_name(self, name: str, entry: Entry) -> None:
        if NAME.fullmatch(name) is None or name.casefold() == RESERVED:
            self.problems.error(
                entry.mark,
                f"'{name}' is not a name for a task",
                f"its automatic tags are called after it, and {RESERVED} is the runtime's",
                "use a letter first, then letters, digits and _, at most 64",
            )

    def _options(
        self, program: type[Program[Any]], target: str, given: dict[str, Any], path: tuple[str, str]
    ) -> ProgramOptions | None:
        before = self.problems.errors
        options = validate(
            program.Options,
            given,
            self.root,
            (*path, "options"),
            self.problems,
            subject=f"program {target}",
        )
        if options is not None and self.problems.errors == before:
            self._ask(program, options, path)
        return options

    def _ask(
        self, program: type[Program[Any]], options: ProgramOptions, path: tuple[str, str]
    ) -> None:
        """Have the program check what only it understands, for example a template."""
        unknown = {name for name, kind in self.devices.broken.items() if not kind}
        if unknown & {value for value in options.model_dump().values() if isinstance(value, str)}:
            return  # its device is broken; that is already said
        here = self.root.at((*path, "program"))
        try:
            complaints = list(program.validate(options, str(self.folder), self.devices.kinds()))
        except Exception as error:  # noqa: BLE001 - an author's code; becomes a complaint
            self.problems.error(
                here,
                f"{program.__name__}.validate failed: {type(error).__name__}: {error}",
                f"the program could not check its options{where_in(error, self.folder)}",
                "correct the program",
            )
            return
        for text in complaints:
            key, _, sentence = str(text).partition(":")
            known = key.strip() in type(options).model_fields
            self.problems.error(
                self.root.at((*path, "options", key.strip())) if known else here,
                sentence if known else str(text),
                f"{program.__name__} refuses its option '{key.strip()}'"
                if known
                else f"{program.__name__} refuses its options",
                "correct the option or what it names",
            )


def find_program(target: str, folder: Path) -> type[Program[Any]]:
    """The class of ``module:Class`` or of a registered name; raises Complaint."""
    if ":" not in target:
        return _registered(target, folder)
    match = _TARGET.fullmatch(target)
    if match is None or ".." in target or match["module"].endswith("."):
        raise Complaint(
            f"'{target}' names no program",
            "a program is module:Class or a registered name",
            "write one like my_cell.sequence:Sequence",
        )
    found = getattr(_module(match["module"], folder), match["name"], None)
    if found is None:
        raise Complaint(
            f"module {match['module']} has no class {match['name']}",
            "a task runs one class of the module",
            nearest(match["name"], _programs_in(match["module"])),
        )
    return _checked(found, target)


def _missing_module(name: str, folder: Path) -> str:
    """What to do about a module that is not there."""
    known = _modules_in(folder)
    close = nearest(name, known)
    if close.startswith("did you mean"):
        return close
    file = f"{name.replace('.', '/')}.py"
    return f"create {file} in the cell's folder, or correct the name" + (
        f"; {close}" if known else ""
    )


def _instead(name: str, folder: Path) -> str | None:
    """How a program is written that was named by its file or its module alone."""
    module = name.removesuffix(".py").replace("/", ".").removeprefix("..").strip(".")
    if not re.fullmatch(r"[A-Za-z_][\w.]*", module, re.ASCII):
        return None
    if name.endswith(".py") or module in _modules_in(folder):
        return f"write {module}:Class, with the name of the class in that module"
    return None


def _registered(name: str, folder: Path) -> type[Program[Any]]:
    known = registry.names("programs")
    if name not in known:
        raise Complaint(
            f"'{name}' is not a registered program",
            "a program of this folder is written module:Class, without .py",
            _instead(name, folder) or nearest(name, known),
        )
    try:
        return _checked(registry.load("programs", name), name)
    except registry.RegistryError as error:
        raise Complaint(
            f"the program '{name}' cannot be used", str(error), "install what it needs"
        ) from error


def _checked(found: object, target: str) -> type[Program[Any]]:
    if not isinstance(found, type) or not issubclass(found, Program):
        raise Complaint(
            f"'{target}' is not a program",
            "a task runs a subclass of cellwright.tasks.api.Program",
            "derive the class from Program, or name another",
        )
    if inspect.isabstract(found):
        missing = ", ".join(sorted(found.__abstractmethods__))
        raise Complaint(
            f"'{target}' is not complete", f"it does not define {missing}", f"define {missing}"
        )
    return found


def _variables(program: type[Program[Any]]) -> Mapping[str, Variable]:
    variables = program.variables()
    for name in variables:
        if NAME.fullmatch(name) is None:
            raise Complaint(
                f"the variable '{name}' of {program.__name__} has no name for a tag",
                "a variable's name becomes part of a tag's",
                "use letters, digits and _ without accents",
            )
    return variables


def _programs_in(module: str) -> list[str]:
    return [
        name
        for name, value in vars(sys.modules[module]).items()
        if isinstance(value, type) and issubclass(value, Program) and value is not Program
    ]


def _module(name: str, folder: Path) -> Any:
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top == "cellwright":
        raise Complaint(
            f"the module name '{top}' is taken",
            "Python or Cellwright has a module of that name, which would be found first",
            "rename the module",
        )
    with _importable(top, folder):
        try:
            with bounded():
                return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
                raise Complaint(
                    f"there is no module '{name}'",
                    f"it is neither in {folder} nor installed",
                    _missing_module(name, folder),
                ) from error
            raise _import_failed(name, error, folder) from error
        except EndlessError as error:
            sys.modules.pop(name, None)
            raise Complaint(
                f"module '{name}' is not imported to its end",
                f"{error}{where_in(error, folder)}; a cell cannot start or change with it",
                "take out what loops or waits while it is imported",
            ) from error
        except (Exception, SystemExit) as error:
            # An author's module may raise anything while it is imported.
            raise _import_failed(name, error, folder) from error


def _import_failed(name: str, error: BaseException, folder: Path) -> Complaint:
    sentence = error.msg if isinstance(error, SyntaxError) else error
    return Complaint(
        f"module '{name}' cannot be imported",
        f"{type(error).__name__}: {sentence}{where_in(error, folder)}",
        "correct the module and check again",
    )


def where_in(error: BaseException, folder: Path) -> str:
    """`` (file:line)`` of the deepest frame in ``folder``, or of the error itself."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({_short(error.filename, folder)}:{error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)]
    if not own:
        return ""
    return f" ({_short(own[-1].filename, folder)}:{own[-1].lineno})"


def _short(filename: str, folder: Path) -> str:
    path = Path(filename)
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else filename


def _modules_in(folder: Path) -> list[str]:
    found = []
    for path in sorted([*folder.glob("*.py"), *folder.glob("*/*.py")])[:200]:
        parts = path.relative_to(folder).with_suffix("").parts
        found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


@contextmanager
def _importable(top: str, folder: Path) -> Iterator[None]:
    """``folder`` first on the path; another cell's module of the same name is forgotten."""
    own = (folder / f"{top}.py", folder / top)
    loaded = sys.modules.get(top)
    if loaded is not None and any(path.exists() for path in own):
        file = getattr(loaded, "__file__", None)
        places = [file] if file else list(getattr(loaded, "__path__", []))
        if not any(Path(place).is_relative_to(folder) for place in places):
            for name in [n for n in sys.modules if n == top or n.startswith(top + ".")]:
                del sys.modules[name]
    importlib.invalidate_caches()
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))
