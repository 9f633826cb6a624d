"""``cellwright simulate``: a cell in simulated time, from the command line.

The only place where simulated and real time meet: it shows how they compare and, when asked, makes
the one wait for the other.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError
from rich.markup import escape
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from cellwright.io.options import from_file
from cellwright.io.plan import Plan
from cellwright.io.registry.registry import RegistryError, load_class
from cellwright.runtime.cell import logs
from cellwright.runtime.cli.common import FileArgument, JsonOption, fail
from cellwright.runtime.cli.compiling import compiled
from cellwright.runtime.cli.console import err, out
from cellwright.runtime.simulation import SimulatedCell, SimulationError
from cellwright.runtime.simulation.cell import nanoseconds
from cellwright.runtime.simulation.footprint import Contents, Footprint
from cellwright.runtime.simulation.inputs import play, read_script, timed_input
from cellwright.tasks.api.plant import PlantModel, PlantOptions

CHUNK_S: Final = 0.05
"""Real time between two looks at the clock."""
REPORT_S: Final = 5.0
"""Real time between two lines of progress."""


@dataclass
class Summary:
    """What a simulation came to."""

    cell: str
    seed: int
    simulated_s: float
    real_s: float
    scans: int
    skipped: int
    state: str
    plant: dict[str, int]
    events: dict[str, int]
    chain: str
    rss_begin_bytes: int
    rss_end_bytes: int
    handles_begin: int
    handles_end: int
    files: int
    files_bytes: int

    @property
    def times(self) -> float:
        """Simulated over real time."""
        return self.simulated_s / max(self.real_s, 1e-9)


def simulate(  # noqa: PLR0917 - a command has the options that it has
    file: FileArgument = Path(),
    duration: Annotated[
        str, typer.Option("--for", help="Simulated time, like 90s, 10min or 24h.")
    ] = "1min",
    speed: Annotated[str, typer.Option(help="Times real time, or max.")] = "max",
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")] = 1,
    parts: Annotated[int | None, typer.Option(min=1, help="Stop after this many parts.")] = None,
    plant: Annotated[
        str, typer.Option(help="Plant model, module:Class, instead of the cell's; none: no plant.")
    ] = "",
    option: Annotated[
        list[str] | None, typer.Option(help="Option of the plant model, name=value.")
    ] = None,
    real_vision: Annotated[
        bool, typer.Option("--real-vision", help="Render and read camera frames.")
    ] = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Initial value, tag=value; may be repeated.")
    ] = None,
    inputs: Annotated[
        Path | None, typer.Option(help="Script of timed inputs: CSV or YAML of time, tag, value.")
    ] = None,
    services: Annotated[
        bool, typer.Option("--services", help="Use a journal on disk and the real MES services.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="New folder for the data. Default: discard the data.")
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="Save a recording of the last ten minutes to this file.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a cell in simulated time, with its own programs and simulated devices."""
    plan = compiled(file)
    try:
        kind, options = _plant(plan, plant, option or [], parts=parts, real_vision=real_vision)
        limit_s = nanoseconds(duration) / 1e9
        pace = _pace(speed)
        if data is not None and data.exists() and any(data.iterdir()):
            raise SimulationError(f"the folder {data} is not empty; name a new one")
        if record is not None:
            _check_place(record)
        settings = [_setting(plan, text) for text in set_ or []]
        script = read_script(inputs, plan) if inputs is not None else []
        with tempfile.TemporaryDirectory(prefix="cw-simulate-") as folder:
            place = data or Path(folder) / "data"
            logs.configure("simulate", place / "log")
            with SimulatedCell(
                plan,
                seed=seed,
                plant=kind,
                options=options,
                journal="file" if services else "memory",
                mes="services" if services else "stand-in",
                record=record is not None,
                data=place,
            ) as cell:
                for name, value in settings:
                    cell.set(name, value)
                play(cell, script)
                summary = _run(cell, seed, limit_s, pace, parts is not None)
                if record is not None and cell.recorder is not None:
                    cell.recorder.keep(record)
    except (SimulationError, OSError) as error:
        fail(str(error))
    _show(summary, as_json)


def _plant(
    plan: Plan, target: str, given: list[str], *, parts: int | None, real_vision: bool
) -> tuple[type[PlantModel[Any]] | None, PlantOptions | None]:
    """Class and options of the plant model: the configured ones, changed by the command line."""
    known = plan.simulation
    target = target or (known.plant if known is not None else "none")
    if target == "none":
        if given or parts or real_vision:
            raise SimulationError(
                f"{plan.source} names no plant model to have options or parts; add "
                "simulation: {plant: module:Class}, or name one with --plant"
            )
        return None, None
    sys.path.insert(0, plan.folder)
    try:
        kind = load_class(target)
    except RegistryError as error:
        raise SimulationError(str(error)) from error
    if not issubclass(kind, PlantModel):
        raise SimulationError(f"'{target}' is not a plant model; derive it from PlantModel")
    chosen = dict(known.options) if known is not None and known.plant == target else {}
    chosen |= dict(_option(text) for text in given)
    if parts is not None:
        chosen["parts"] = parts
    if real_vision:
        chosen["real_vision"] = True
    try:
        return kind, from_file(kind.Options, chosen)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(place) for place in first["loc"])
        raise SimulationError(
            f"option '{name}' of {target}: {first['msg']}; it has "
            f"{', '.join(kind.Options.model_fields)}"
        ) from error


def _option(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    try:
        return name, YAML(typ="safe").load(value) if sign else True
    except YAMLError as error:
        raise SimulationError(f"option '{text}' is not name=value: {error}") from error


def _check_place(file: Path) -> None:
    """Refuse a place that takes no file before hours are simulated for it."""
    folder = file.absolute().parent
    if file.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise SimulationError(
            f"no recording can be written to {file}: the folder {folder} does not exist, is not "
            f"writable, or the name is a folder's; name a file in a folder that is there"
        )


def _setting(plan: Plan, text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign:
        raise SimulationError(f"'{text}' sets nothing; write tag=value")
    return name, timed_input(plan, "0", name, value).value


def _pace(text: str) -> float:
    """Simulated seconds a real one; infinity for ``max``."""
    if text == "max":
        return math.inf
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < math.inf:
        raise SimulationError(f"'{text}' is not a speed; write max or a number above 0")
    return speed


def _run(cell: SimulatedCell, seed: int, limit_s: float, speed: float, by_parts: bool) -> Summary:
    begin_cycles, first = cell.cycles, Footprint.of()
    begin = reported = time.perf_counter()
    limit_ns = round(limit_s * 1e9)
    from_ns = cell.clock.now_ns()
    over: Callable[[], bool] = lambda: by_parts and cell.plant.finished  # noqa: E731 - one look
    chunk_ns = round(CHUNK_S * 1e9 * min(speed, 20.0))
    while cell.clock.now_ns() - from_ns < limit_ns and not over():
        cell.run_until(min(cell.clock.now_ns() + chunk_ns, from_ns + limit_ns))
        now = time.perf_counter()
        simulated_s = (cell.clock.now_ns() - from_ns) / 1e9
        if now - reported >= REPORT_S:
            reported = now
            figures = " ".join(f"{name} {value}" for name, value in cell.plant.figures().items())
            err.print(
                f"[dim]{simulated_s:.0f} s simulated, {simulated_s / (now - begin):.0f} times "
                f"real time; {figures}[/]",
                highlight=False,
            )
        ahead_s = begin + simulated_s / speed - now
        if ahead_s > 0:
            time.sleep(ahead_s)
    if by_parts:
        cell.run_for(1.0)  # what is on its way becomes durable
    real_s = time.perf_counter() - begin
    last, written = Footprint.of(), Contents.of(cell.data)
    return Summary(
        cell=cell.plan.cell,
        seed=seed,
        simulated_s=(cell.clock.now_ns() - from_ns) / 1e9,
        real_s=real_s,
        scans=cell.cycles - begin_cycles,
        skipped=int(str(cell["sys.skipped"])),
        state=cell.state.name,
        plant=dict(cell.plant.figures()),
        events=dict(sorted(cell.counts.items())),
        chain=cell.chain,
        rss_begin_bytes=first.rss_bytes,
        rss_end_bytes=last.rss_bytes,
        handles_begin=first.handles,
        handles_end=last.handles,
        files=written.files,
        files_bytes=written.size_bytes,
    )


def _show(found: Summary, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(asdict(found) | {"times": found.times}, indent=2) + "\n")
        return
    mib = 1 << 20
    lines = [
        f"{found.cell}: {found.simulated_s:.1f} s simulated in {found.real_s:.1f} s, "
        f"{found.times:.0f} times real time; seed {found.seed}",
        f"scans     {found.scans}, skipped {found.skipped}; {found.state}",
    ]
    if found.plant:
        counted = ", ".join(
            f"{value} {name.replace('_', ' ')}" for name, value in found.plant.items()
        )
        lines.append(f"plant     {counted}")
    events = ", ".join(f"{count} {kind}" for kind, count in found.events.items())
    lines += [
        f"events    {events or 'none'}",
        f"memory    {found.rss_begin_bytes / mib:.1f} to {found.rss_end_bytes / mib:.1f} MiB; "
        f"file handles {found.handles_begin} to {found.handles_end}; "
        f"{found.files} files, {found.files_bytes / mib:.1f} MiB",
        f"chain     {found.chain}",
    ]
    for line in lines:
        out.print(escape(line), highlight=False)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(simulate)
