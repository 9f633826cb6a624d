"""The marking station's worker: Lua engine, symbol encoder and marker, in a process of its own.

It does the station's jobs ``prepare``, ``fire`` and ``status``. It decides nothing about serials,
but as a second lock it never fires twice for one serial and never fires what it did not prepare.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cellwright.io.markers.base import (
    FireResult,
    MarkContent,
    Marker,
    MarkerError,
    MarkOutcome,
)
from cellwright.io.options import from_plan
from cellwright.io.registry.registry import RegistryError
from cellwright.tasks.api import JobError, Worker, WorkerContext
from cellwright.tasks.marking.lua.engine import LocalLua, Rendered, Template, TemplateError
from cellwright.tasks.marking.lua.process import LuaProcess, WatchdogError
from cellwright.tasks.marking.options import MarkingOptions
from cellwright.tasks.marking.template_file import TemplateFile
from cellwright.tasks.symbology.data_matrix import SymbolError, modules

_REMEMBERED_SERIALS: Final = 4096


class MarkingWorker(Worker):
    """Prepares and fires marks for one `MarkingStation`."""

    def __init__(self, context: WorkerContext) -> None:
        super().__init__(context)
        self.options = from_plan(MarkingOptions, context.options)
        self._template = TemplateFile(Path(context.plan.folder) / self.options.template)
        self._marker: Marker[Any] = _make_marker(context, self.options.marker)
        # The engine's budget of instructions is the same every time, the process's watchdog is not.
        self._lua = (
            LocalLua()
            if context.simulated
            else LuaProcess(timeout_s=self.options.lua_timeout_ms / 1000)
        )
        self._prepared = ""
        self._fired: OrderedDict[str, None] = OrderedDict()

    def open(self) -> None:
        """Start the Lua engine and connect to the marker; raises JobError."""
        # What is read now stays in force if somebody takes the file away before the first part; one
        # that cannot be read is told with that part's job.
        with contextlib.suppress(JobError):
            self._template.read()
        try:
            self._lua.start()
            self._marker.connect()
        except (TemplateError, MarkerError) as error:
            raise JobError(str(error)) from error

    def handle(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        """``prepare``, ``fire`` or ``status``; raises JobError."""
        match kind:
            case "prepare":
                return self._prepare(body)
            case "fire":
                return self._fire(str(body["serial"]))
            case "status":
                return self._status()
            case other:
                raise JobError(f"the marking worker knows no job '{other}'")

    def close(self) -> None:
        """End the Lua engine and close the connection."""
        self._lua.close()
        self._marker.close()

    def _prepare(self, body: dict[str, Any]) -> dict[str, Any]:
        self._prepared = ""
        rendered = self._render(body)
        pattern = rendered.pattern or self.options.pattern
        if not pattern:
            raise JobError(
                f"template {self._template.name} names no pattern; return one or set the option "
                "'pattern'"
            )
        try:
            side = modules(rendered.symbol).shape[0]
            self._marker.prepare(MarkContent(pattern, rendered.symbol, rendered.texts))
        except SymbolError as error:
            raise JobError(f"template {self._template.name}: {error}") from error
        except MarkerError as error:
            raise JobError(str(error)) from error
        self._prepared = str(body["serial"])
        return {
            "content": rendered.symbol,
            "texts": list(rendered.texts),
            "pattern": pattern,
            "modules": side,
        }

    def _render(self, body: dict[str, Any]) -> Rendered:
        template = self._template.read()
        data = {str(name): str(value) for name, value in dict(body.get("fields", {})).items()}
        for name in ("part_id", "serial", "order", "part_number", "revision"):
            data[name] = str(body.get(name, ""))
        seconds = int(body.get("utc_ns", 0)) / 1e9
        data["date"] = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
        try:
            try:
                return self._validated(template, data)
            except WatchdogError:
                # The watchdog runs on wall time: on a busy machine it may hit an innocent template.
                return self._validated(template, data)
        except TemplateError as error:
            raise JobError(str(error)) from error

    def _validated(self, template: Template, data: dict[str, str]) -> Rendered:
        complaints = self._lua.validate_product_data(template, data)
        if complaints:
            raise JobError(f"template {template.name} refuses the data: {'; '.join(complaints)}")
        return self._lua.execute_marking(template, data)

    def _fire(self, serial: str) -> dict[str, Any]:
        result = self._fire_once(serial)
        return {"outcome": result.outcome.value, "detail": result.detail}

    def _fire_once(self, serial: str) -> FireResult:
        if serial in self._fired:
            return FireResult(
                MarkOutcome.UNKNOWN, f"serial {serial} was fired before; the marker was not started"
            )
        if serial != self._prepared:
            return FireResult(
                MarkOutcome.FAILED,
                f"serial {serial} is not what was prepared ({self._prepared or 'nothing'}); "
                "the marker was not started",
            )
        self._prepared = ""
        self._fired[serial] = None
        if len(self._fired) > _REMEMBERED_SERIALS:
            self._fired.popitem(last=False)
        try:
            return self._marker.fire()
        except MarkerError as error:
            return FireResult(MarkOutcome.FAILED, str(error))

    def _status(self) -> dict[str, Any]:
        try:
            template = self._lua.get_status(self._template.read())
        except TemplateError as error:
            raise JobError(str(error)) from error
        return {
            "template": template,
            "engine_kills": self._lua.kills,
            "prepared": self._prepared,
        }


def _make_marker(context: WorkerContext, name: str) -> Marker[Any]:
    try:
        return context.devices.marker(context.plan.device(name))
    except RegistryError as error:
        raise JobError(f"device '{name}': {error}") from error
