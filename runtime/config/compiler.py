"""Compiles ``cell.yaml`` into the plan that every process receives.

The command line and the supervisor call `compile_file` or `check_file`. The phases run in a fixed
order and each goes on after an error of another, so that all complaints come out at once; a plan
is made only when there is no error.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel

from cellwright.io.files.located_yaml import Node, read
from cellwright.io.files.problems import (
    ConfigError,
    Problem,
    Problems,
    TooManyProblemsError,
    nearest,
)
from cellwright.io.files.sqlite_url import sqlite_url_in
from cellwright.io.plan import (
    INTEGERS,
    SYSTEM_TAGS,
    Device,
    Direction,
    Edge,
    OnLoss,
    OpcUaSettings,
    OverrunPolicy,
    Plan,
    SafeAction,
    ScanSettings,
    SimulationSettings,
    Tag,
    Task,
    Value,
)
from cellwright.io.plan.layout import layout_hash, place
from cellwright.runtime.config.alarms.alarms import AlarmDrafts
from cellwright.runtime.config.alarms.drafts import KnownTags
from cellwright.runtime.config.alarms.recorder import compile_recorder
from cellwright.runtime.config.sections import limits, model
from cellwright.runtime.config.sections.addresses import compile_metrics
from cellwright.runtime.config.sections.history import History, compile_history
from cellwright.runtime.config.sections.recorder import Recorder
from cellwright.runtime.config.sections.validation import REMEDIES, misspelt, validate
from cellwright.runtime.config.sections.web import Web, compile_web
from cellwright.runtime.config.tags.devices import DeviceDraft, Devices, compile_devices
from cellwright.runtime.config.tags.groups import Point, pack
from cellwright.runtime.config.tags.tags import compile_tags
from cellwright.runtime.config.tasks.binding import Bindings, Use, bind
from cellwright.runtime.config.tasks.programs import TaskDraft, Tasks, compile_tasks
from cellwright.runtime.config.tasks.timing import check_base, check_spin, check_timing

M = TypeVar("M", bound=BaseModel)
EXTENSION: Final = "x-"
"""Sections with this prefix are passed over; they are a place for anchors."""
_MAKE_USERS: Final = (
    "make it with `cellwright user add NAME . --role Operator`, or correct the name"
)
_FALLBACK_BASE_NS: Final = 10_000_000
"""Stands in for a base interval that is itself wrong, so that the rest can be checked."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a file: ``plan`` is None when there is an error among the problems."""

    plan: Plan | None
    problems: list[Problem]


def compile_file(path: Path, *, data: Path | None = None) -> Plan:
    """The plan of the file; ``data`` replaces the data folder. Raises ConfigError with all errors.

    Warnings do not keep a file from compiling; `check_file` shows them too.
    """
    report = check_file(path, data=data)
    if report.plan is None:
        raise ConfigError(report.problems)
    return report.plan


def check_file(path: Path, *, data: Path | None = None) -> Report:
    """Compile without raising; errors and warnings in the order of the file."""
    problems = Problems(str(path))
    plan = None
    try:
        with _no_collection():
            root = read(path, problems)
            if root is not None:
                plan = _Compiler(Path(os.path.abspath(path)), data, root, problems).compile()
    except TooManyProblemsError:
        plan = None
    return Report(plan if problems.errors == 0 else None, problems.ordered())


@contextmanager
def _no_collection() -> Iterator[None]:
    """Python's collector waits: the tree of a large file only grows, and to look for garbage in it
    again and again takes a quarter of the time."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _Compiler:
    def __init__(self, path: Path, data: Path | None, root: Node, problems: Problems) -> None:
        self.path = path.resolve()
        self.folder = self.path.parent
        self.data = data
        self.root = root
        self.problems = problems
        self.meant: set[str] = set()

    def compile(self) -> Plan | None:
        self._check_sections()
        cell = self._required(model.Cell, "cell")
        scan = self._required(model.Scan, "scan")
        opcua = self._optional(model.OpcUa, "opcua")
        mes = self._optional(model.Mes, "mes")
        metrics = self._optional(model.Metrics, "metrics")
        recorder, past = self._optional(Recorder, "recorder"), self._optional(History, "history")
        simulation = self._optional(model.Simulation, "simulation")
        base_ns = scan.base if scan is not None else _FALLBACK_BASE_NS
        settings = self._scan_settings(scan) if scan is not None else None
        section, problems = self.root.section, self.problems
        devices = compile_devices(section("devices"), self.root, self.folder, base_ns, problems)
        tags = compile_tags(section("tags"), self.root, devices, problems)
        tasks = compile_tasks(section("tasks"), self.root, self.folder, devices, problems)
        drafts = AlarmDrafts(self.root, base_ns, problems)
        bindings = bind(tags, tasks, self.root, problems, drafts.extras)
        known = KnownTags(bindings.uses, tags, tasks, devices.good)
        drafts.check(known)
        recording = compile_recorder(recorder, self.root, known, problems)
        history = compile_history(past, tags.good, mes is not None, self.root, problems)
        if settings is not None:
            check_timing(tasks.good.values(), base_ns, settings.watchdog_ns, self.root, problems)
        self._check_keyswitch(cell, bindings)
        self._check_folders()
        users = self._users(opcua, in_database=mes is not None)
        web = compile_web(self._optional(Web, "web"), self.root, self.folder, problems)
        master_data = self._file(mes.master_data if mes else None, "mes", "master_data")
        if problems.errors or cell is None or settings is None:
            return None
        data = Path(os.path.abspath(self.data or self.folder / cell.data))
        table, value_size = _tag_table(bindings)
        device_table = _device_table(devices, bindings)
        task_table = _task_table(tasks, bindings, table, base_ns)
        return Plan(
            cell=cell.name,
            site=cell.site,
            start=cell.start,
            mode=cell.mode,
            keyswitch=cell.keyswitch or "",
            crash_deaths=cell.crash_loop.deaths,
            crash_within_ns=cell.crash_loop.within,
            source=str(self.path),
            folder=str(self.folder),
            data=str(data),
            scan=settings,
            devices=device_table,
            tags=table,
            tasks=task_table,
            opcua=None if opcua is None else _opcua(opcua, users or ""),
            database=sqlite_url_in(data, mes.database) if mes is not None else None,
            master_data=master_data,
            metrics=compile_metrics(metrics.listen if metrics is not None else None),
            web=web,
            **drafts.tables(table),
            recorder=recording,
            history=history,
            simulation=None
            if simulation is None
            else SimulationSettings(plant=simulation.plant, options=dict(simulation.options)),
            value_size=value_size,
            layout_hash=layout_hash(table, device_table, task_table),
        )

    def _check_folders(self) -> None:
        for folder in (self.folder, self.data):
            try:
                str(folder).encode()
            except UnicodeEncodeError:
                self.problems.error(
                    self.root.mark,
                    f"the name of the folder {str(folder).encode(errors='backslashreplace')!r} "
                    "is not UTF-8",
                    "other programs would read another name",
                    "give the folder another name",
                )

    def _check_sections(self) -> None:
        known = list(model.CellFile.model_fields)
        for name, entry in self.root.entries.items():
            if name.startswith(EXTENSION):
                continue
            if name not in known:
                self.problems.error(
                    entry.mark,
                    f"unknown section '{name}'",
                    "the file has no such section",
                    nearest(name, known),
                )
            elif entry.node.kind != "mapping" and not (
                name in ("devices", "tags", "tasks", "alarms", "heartbeats")
                and entry.node.text == ""
                and entry.node.kind == "scalar"
            ):
                self.problems.error(
                    entry.mark,
                    f"the section '{name}' is not a mapping",
                    "a section is a mapping of names or keys",
                    "write `key: value` lines below it",
                )
        tasks = self.root.entries.get("tasks")
        self.meant = misspelt([n for n in self.root.entries if not n.startswith(EXTENSION)], known)
        if "tasks" in self.meant and tasks is None:
            return
        if tasks is None or not (tasks.node.entries or tasks.node.text or tasks.node.items):
            self.problems.error(
                tasks.mark if tasks is not None else self.root.mark,
                "the cell has no task",
                "nothing would run in it",
                "add a section `tasks` with one program",
            )

    def _required(self, section: type[M], name: str) -> M | None:
        if name not in self.root.entries:
            if name in self.meant:
                return None
            self.problems.error(
                self.root.mark,
                f"the section '{name}' is missing",
                "a cell cannot do without it",
                f"add `{name}:` with "
                + ("the cell's name" if name == "cell" else "the base interval"),
            )
            return None
        return self._optional(section, name)

    def _optional(self, section: type[M], name: str) -> M | None:
        entry = self.root.entries.get(name)
        if entry is None or entry.node.kind != "mapping":
            return None
        data = entry.node.plain()
        return validate(section, data, self.root, (name,), self.problems, subject=f"section {name}")

    def _scan_settings(self, scan: model.Scan) -> ScanSettings:
        watchdog = scan.watchdog or limits.Watchdog.model_construct(
            time=2 * scan.base, sensitivity=2
        )
        if watchdog.time < scan.base:
            self.problems.error(
                self.root.at(("scan", "watchdog")),
                "the scan's watchdog is shorter than its base interval",
                "the heartbeat comes once in a base interval",
                "write at least twice the base interval",
            )
        check_base(scan, self.root, self.problems)
        check_spin(scan, self.root, self.problems)
        return ScanSettings(
            base_ns=scan.base,
            watchdog_ns=watchdog.time,
            watchdog_sensitivity=watchdog.sensitivity,
            priority=scan.realtime.priority,
            core=scan.realtime.core,
            awake=scan.realtime.awake,
            spin_ns=scan.realtime.spin,
        )

    def _check_keyswitch(self, cell: model.Cell | None, bindings: Bindings) -> None:
        if cell is None or cell.keyswitch is None:
            return
        here = self.root.at(("cell", "keyswitch"))
        if "mode" in cell.model_fields_set:
            self.problems.error(
                self.root.at(("cell", "mode")),
                "the mode is given twice",
                "the tag `keyswitch` already gives it",
                "leave out one of `mode` and `keyswitch`",
            )
        use = bindings.uses.get(cell.keyswitch)
        if use is None:
            self.problems.error(
                here,
                f"there is no tag '{cell.keyswitch}'",
                "the keyswitch is read from a tag",
                nearest(cell.keyswitch, bindings.uses),
            )
        elif use.type.is_array or use.type.code not in INTEGERS:
            self.problems.error(
                here,
                f"the tag '{cell.keyswitch}' is a {use.type}",
                "a keyswitch is a whole number: 0 STOP, 1 RUN, 2 REMOTE",
                "use a tag of an integer type",
            )

    def _users(self, opcua: model.OpcUa | None, *, in_database: bool) -> str | None:
        if opcua is None:
            return None
        if opcua.users is None and opcua.anonymous == "none" and not in_database:
            self.problems.error(
                self.root.at(("opcua",), key=True),
                "nobody could use the OPC UA server",
                "there are no users and 'anonymous' is none",
                "add `users: users.yaml`, or `anonymous: read`",
            )
        return self._file(opcua.users, "opcua", "users")

    def _file(self, name: str | None, section: str, key: str) -> str | None:
        if name is None:
            return None
        path = os.path.abspath(self.folder / name)
        if not os.path.isfile(path):
            stems = {
                entry.stem: entry.name for entry in self.folder.glob("*.yaml") if entry != self.path
            }
            close = get_close_matches(Path(name).stem, stems, n=1)
            self.problems.error(
                self.root.at((section, key)),
                f"there is no file '{name}'",
                f"{section}.{key} is looked up in {self.folder}",
                f"did you mean '{stems[close[0]]}'?"
                if close
                else REMEDIES.get(key, "create it or correct the name"),
            )
            return None
        return path


def _opcua(section: model.OpcUa, users_file: str) -> OpcUaSettings:
    return OpcUaSettings(
        endpoint=section.endpoint,
        anonymous=section.anonymous,
        users_file=users_file,
        insecure=section.insecure,
        clients=section.whose_clients,
        suppress=tuple(dict.fromkeys(section.suppress)),
    )


def _tag_table(bindings: Bindings) -> tuple[tuple[Tag, ...], int]:
    uses = list(bindings.uses.values())
    offsets, value_size = place([use.type for use in uses])
    places = enumerate(zip(uses, offsets, strict=True))
    return tuple(_tag(index, use, offset) for index, (use, offset) in places), value_size


def _tag(index: int, use: Use, offset: int) -> Tag:
    if use.direction is Direction.SYSTEM and use.automatic is None:
        system = next(tag for tag in SYSTEM_TAGS if tag.name == use.name)
        return Tag(
            index=index,
            name=use.name,
            type=use.type,
            direction=use.direction,
            offset=offset,
            initial=use.type.initial,
            unit=system.unit,
            retain=system.retain,
            readers=tuple(use.readers),
            description=system.description,
        )
    if use.draft is None:
        made = use.automatic
        assert made is not None
        return Tag(
            index=index,
            name=use.name,
            type=use.type,
            direction=use.direction,
            offset=offset,
            initial=made.initial,
            unit=made.unit,
            retain=made.retain,
            writer=use.writer,
            readers=tuple(use.readers),
            description=made.description,
        )
    draft, declared = use.draft, use.draft.model
    initial = _initial(use)
    substitute = declared.substitute
    if draft.on_loss is OnLoss.SUBSTITUTE and substitute is None:
        substitute = initial
    return Tag(
        index=index,
        name=use.name,
        type=use.type,
        direction=use.direction,
        offset=offset,
        initial=initial,
        address=draft.address,
        unit=declared.unit,
        range=(declared.range[0], declared.range[1]) if declared.range is not None else None,
        scale=draft.scale,
        on_loss=draft.on_loss,
        substitute=None if substitute is None else use.type.check(substitute),
        safe_action=draft.safe_action,
        safe=draft.safe,
        retain=declared.retain,
        write=tuple(declared.write),
        writer=use.writer,
        readers=tuple(use.readers),
        description=declared.description,
    )


def _initial(use: Use) -> Value:
    if use.draft is not None and use.draft.model.initial is not None:
        return use.type.check(use.draft.model.initial)
    if use.writer_initial is not None:
        return use.writer_initial
    return use.type.initial


def _device_table(devices: Devices, bindings: Bindings) -> tuple[Device, ...]:
    points: dict[str, list[Point]] = {}
    for use in bindings.uses.values():
        if use.draft is not None and use.draft.address is not None:
            points.setdefault(use.draft.address.device, []).append(
                Point(
                    use.draft.address,
                    use.direction is Direction.OUTPUT,
                    use.draft.scale,
                    use.draft.safe_action,
                    use.draft.safe if use.draft.safe_action is SafeAction.VALUE else None,
                )
            )
    return tuple(_device(draft, points.get(name, [])) for name, draft in devices.good.items())


def _device(draft: DeviceDraft, points: list[Point]) -> Device:
    packed = pack(list(draft.areas.values()), points, draft.gap)
    return Device(
        name=draft.name,
        kind=draft.kind,
        driver=draft.driver,
        options=draft.options,
        poll_ns=draft.poll_ns,
        on_loss=draft.on_loss,
        groups=packed.groups,
        input_size=packed.input_size,
        output_size=packed.output_size,
        safe_outputs=packed.safe_outputs,
        hold_mask=packed.hold_mask,
        parts=packed.parts,
    )


def _task_table(
    tasks: Tasks, bindings: Bindings, table: tuple[Tag, ...], base_ns: int
) -> tuple[Task, ...]:
    index = {tag.name: tag.index for tag in table}
    return tuple(
        _task(number, draft, bindings, index, base_ns)
        for number, draft in enumerate(tasks.good.values())
    )


def _task(
    number: int, draft: TaskDraft, bindings: Bindings, index: dict[str, int], base_ns: int
) -> Task:
    given = draft.model
    watchdog = given.watchdog
    event = bindings.events.get(draft.name)
    bound = bindings.by_task[draft.name]
    return Task(
        index=number,
        name=draft.name,
        program=given.program,
        interval_ns=given.interval or 0,
        phase_ns=given.phase,
        event=None if event is None else index[event],
        edge=Edge(given.edge or Edge.RISING),
        freewheeling=given.freewheeling,
        priority=given.priority,
        overrun=OverrunPolicy(given.overrun or OverrunPolicy.SKIP),
        watchdog_ns=watchdog.time if watchdog is not None else base_ns,
        watchdog_sensitivity=watchdog.sensitivity if watchdog is not None else 1,
        watchdog_omitted=watchdog.omitted if watchdog is not None else 0,
        binding={variable: index[tag] for variable, tag in bound.items()},
        options=draft.options,
        worker=draft.program.worker,
        deadlines=draft.deadlines,
    )
