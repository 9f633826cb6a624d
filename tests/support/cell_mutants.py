"""Cells that have every key of the schema, and what is left of them after one or a few mistakes.

Used by the campaign over cell files. A mutant is drawn from a number only, so that one that fails can be
made again: ``python tests/support/cell_mutants.py 17`` prints it.
"""

# ruff: noqa: E501, PLR0911, PLR0912, PLR0124

from __future__ import annotations

import copy
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from cellwright.runtime.config import json_schema

Keys = tuple[str | int, ...]

PROGRAM: Final = '''
"""The program of the cell with every key."""

from pydantic import Field

from cellwright.tasks.api import BOOL, REAL, UDINT, Deadline, Input, Output, Program, ProgramOptions, Retained, Worker


class PressOptions(ProgramOptions):
    """Its options."""

    gain: float = Field(1.0, gt=0)
    names: list[str] = []
    limits: dict[str, float] = {}


class Press(Program[PressOptions]):
    """Counts."""

    Options = PressOptions
    worker = "press:Scales"
    deadlines = {
        "look": Deadline(cycles=50, value={"score": 0, "seen": False}),
        "weigh": Deadline(cycles=5, value={"mass": 0.0}),
    }

    start = Input(BOOL)
    setpoint = Input(REAL, unit="bar")
    pressure = Output(REAL, unit="bar")
    valve = Output(BOOL)
    strokes = Retained(UDINT)

    def scan(self, ctx):
        self.strokes += 1
        self.pressure = min(10.0, self.setpoint * self.options.gain)
        self.valve = self.start


class Scales(Worker):
    """Does no job."""

    def handle(self, kind, body):
        return {}


class Counter(Program):
    """Counts its executions."""

    runs = Output(UDINT)

    def scan(self, ctx):
        self.runs += 1
'''

PLANT: Final = '''
"""A plant that does nothing."""

from cellwright.tasks.api.plant import PlantModel, PlantOptions


class NothingOptions(PlantOptions):
    """Its options."""

    rate: float = 0.5


class Nothing(PlantModel[NothingOptions]):
    """Stands still."""

    Options = NothingOptions

    def step(self):
        return None
'''

TEMPLATE: Final = """local M = {}
function M.execute_marking(data) return true, {symbol = data.serial, texts = {}} end
return M
"""

CELL: Final = """
cell:
  name: Every
  site: Plant1
  start: run
  mode: remote
  keyswitch: key
  data: data
  crash_loop: {deaths: 5, within: 10min}
scan:
  base: 10ms
  watchdog: {time: 50ms, sensitivity: 2}
  realtime: {priority: 10, core: -1, awake: false, spin: 0us}
devices:
  io:
    driver: modbus-tcp
    poll: 20ms
    on_loss: hold
    order: ABCD
    encoding: ascii
    gap: 8
    host: 127.0.0.1
    port: 5020
    unit: 1
    timeout_s: 0.5
    single: false
    watchdog:
      time_ms: 500
      address: 4096
      unit_ms: 100
      before: [{address: 4104, value: 1}]
      after: [{address: 4099, value: 1}]
      status: {address: 4102, value: 1}
      trigger: 7
      safe_coils: 512
  sim:
    driver: simulated
    poll: 20ms
    on_loss: substitute
    order: CDAB
    encoding: latin-1
    gap: 4
    timeout_s: 0.5
    stands_for: something else
    areas: {coils: {bits: true, writable: true, size: 64, per_request: 32}, words: {bits: false}}
    values: {"coils[3]": 1}
    signals:
      "words[0]": {wave: sine, low: 0, high: 100, period_s: 2.0, phase_s: 0.5, wire: UINT}
      "words[2]": {wave: constant, value: 3, wire: REAL, order: CDAB}
      "words[4]": {wave: noise, low: 0, high: 5, seed: 3}
      "words[5]": {wave: follow, of: "words[0]", delay_s: 0.5}
      "words[6]": {wave: csv, file: values.csv, column: a, repeat: true}
      "coils[0]": {wave: square, period_s: 1.0, duty: 0.5}
    faults: [{fault: slow, from_s: 5, to_s: 6, every_s: 60, at: "words[0]", what: read, delay_s: 0.2}]
  peen:
    driver: telesis
    host: 127.0.0.1
    port: 9101
    station: 1
    answer_timeout_s: 1.0
    tries: 3
    connect_timeout_s: 1.0
    mark_timeout_s: 20.0
    poll_s: 0.2
    require_bcc: true
  eye: {driver: shared-memory-camera, path: every-eye, size: [64, 48], timeout_s: 1.0}
tags:
  key: {type: USINT, memory: true, initial: 2, write: [Admin]}
  present: {type: BOOL, in: "io.discrete_inputs[0]", on_loss: substitute, substitute: false}
  level:
    type: REAL
    in: "io.input_registers[2]"
    wire: INT
    unit: bar
    range: [0, 10]
    scale: {raw: [-1000, 1000], eng: [0, 10]}
    on_loss: hold
    description: Level
  name_plate: {type: STRING(8), in: "io.input_registers[10]", encoding: ascii, on_loss: hold}
  energy: {type: REAL, in: "sim.words[2]", order: CDAB, on_loss: hold}
  wave: {type: UINT, in: "sim.words[0]", substitute: 7}
  valve: {type: BOOL, out: "io.coils[0]", safe: false}
  speed: {type: UINT, out: "io.holding_registers[0]", safe: hold, initial: 5, write: [Operator]}
  setpoint: {type: REAL, memory: true, retain: true, initial: 5.0, unit: bar, range: [0, 8], write: [Supervisor, Operator]}
  pressure: {type: REAL, memory: true, unit: bar, range: [0, 10], history: {deadband: 0.1}}
  recipe: {type: "ARRAY[0..3] OF INT", memory: true, initial: [1, 2, 3, 4]}
  mine: {type: UINT, memory: true}
  theirs: {type: UINT, memory: true, write: [Operator]}
  go: {type: BOOL, memory: true, write: [Operator]}
alarms:
  guard:
    when: "go and not present"
    text: Guard open
    severity: 900
    delay: 200ms
    off_delay: 100ms
    group: guards
    acknowledge: true
    enabled: true
    consequence: stop
  level_limits:
    {tag: level, low_low: 1, low: 2, high: 8, high_high: 9, deadband: 0.2, text: Level}
heartbeats:
  panel:
    send: mine
    period: 100ms
    expect: theirs
    timeout: 5s
    on_loss: alarm
    text: Panel lost
    severity: 300
    group: panels
history: {interval: 50ms, raw: 7d, seconds: 30d, minutes: 2y, hours: 10y}
recorder:
  window: 30s
  after: 5s
  buffer: 8MiB
  keep: 100MB
  files: 5
  pause: 10s
  faults: true
  overruns: false
  triggers: {too_high: "level > 9"}
tasks:
  press:
    program: "press:Press"
    interval: 20ms
    phase: 10ms
    priority: 1
    overrun: skip
    watchdog: {time: 20ms, sensitivity: 2, omitted: 3}
    bind: {start: go, setpoint: setpoint, pressure: pressure, valve: valve}
    deadlines: {look: {cycles: 500, value: {score: 1}}, weigh: 7}
    options: {gain: 1.5, names: [a, b], limits: {a: 1.0}}
  on_edge: {program: "press:Counter", event: go, edge: rising, priority: 5, watchdog: 3ms}
  idle: {program: "press:Counter", freewheeling: true, priority: 50, watchdog: 2ms}
  mark:
    program: marking.station
    interval: 20ms
    priority: 2
    options:
      marker: peen
      template: blade.lua
      station: mark
      pattern: BLADE
      resend_s: 2.0
      serial_timeout_s: 5.0
      prepare_timeout_s: 5.0
      mark_timeout_s: 30.0
      lua_timeout_ms: 200
  inspect:
    program: vision.station
    interval: 20ms
    priority: 3
    options:
      camera: eye
      station: inspect
      max_module_errors: 2
      min_unused_error_correction: 0.25
      captures: 2
      capture_timeout_s: 1.0
      inspect_timeout_s: 5.0
      keep_rejected: 10
opcua:
  endpoint: "opc.tcp://127.0.0.1:4840"
  anonymous: read
  users: users.yaml
  insecure: false
  clients: any
  suppress: [validity, usage, revocation]
mes: {database: "sqlite:///mes.db", master_data: parts.yaml}
metrics: {listen: "127.0.0.1:9464"}
web:
  listen: "127.0.0.1:8080"
  tls: {certificate: server.pem, key: server.key, client_ca: machines.pem}
  workers: 2
  max_body_mb: 10
  rate: {user: 1000, address: 100}
simulation: {plant: "plant:Nothing", options: {rate: 0.25}}
"""


def write_files(folder: Path) -> None:
    """The files that the cells refer to."""
    (folder / "press.py").write_text(PROGRAM)
    (folder / "plant.py").write_text(PLANT)
    (folder / "blade.lua").write_text(TEMPLATE)
    (folder / "values.csv").write_text("time_s,a\n0,1\n1,2\n")
    (folder / "parts.yaml").write_text("parts:\n- {part_number: A-1, serial_pattern: 'S{n:04d}'}\n")
    (folder / "users.yaml").write_text("users: {}\n")
    for name in ("server.pem", "server.key", "machines.pem"):
        (folder / name).touch()


def bases() -> list[dict[str, Any]]:
    """Correct cells that have every key of the schema among them."""
    mode, keyswitch = (YAML(typ="safe").load(CELL) for _ in range(2))
    del mode["cell"]["keyswitch"]  # the two exclude each other
    del keyswitch["cell"]["mode"]
    return [mode, keyswitch]


def places(value: Any, at: Keys = ()) -> Iterator[Keys]:
    """Every key and every item below ``value``, those of sections too."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*at, key)
            yield from places(inner, (*at, key))


def get(value: Any, at: Keys) -> Any:
    """What stands there."""
    for step in at:
        value = value[step]
    return value


def words_of_schema() -> tuple[set[str], list[Any]]:
    """Every key of the schema, and every value that it names or bounds."""
    keys: set[str] = set()
    values: list[Any] = []

    def look(node: Any) -> None:
        if isinstance(node, list):
            for item in node:
                look(item)
        if not isinstance(node, dict):
            return
        properties = node.get("properties")
        if isinstance(properties, dict):
            keys.update(properties)
        for word, inner in node.items():
            if word in {"enum", "examples"}:
                values.extend(inner)
            elif word in {"minimum", "maximum", "exclusiveMinimum", "default", "const"}:
                values.append(inner)
            look(inner)

    look(json_schema())
    return keys, [value for value in values if not isinstance(value, dict)]


HOSTILE: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 2, 255, 65535, 65536, 2**31, 2**63, 2**64, 10**40, -(10**40),
    0.0, -0.0, 0.5, -1e-300, 1e308, float("inf"), float("-inf"), float("nan"),
    "", " ", "a b", "ü", "Zelle 1", "\u2028", "\U0001f600", "x" * 100_000, "0", "-1", "1,5", "1,5GiB",
    "1e999", "10", "10 ms", "1ns", "0ms", "-5ms", "999999999999999999h", "1us", "0.5ms", "1h", "1kB",
    "true", "null", "hold", "off", "on", "sys.cycle", "sys.state", "io.coils[0]", "io.coils[99999]",
    "io.nowhere[1]", "nobody.coils[0]", "io.holding_registers[4].3", "press:Press", "press:Nothing",
    "nowhere:Press", "os:path", "not (", "level >", "level > level", "bad(level)", "__import__('os')",
    "STRING(0)", "STRING(999999999)", "ARRAY[0..99999999] OF LREAL", "ARRAY[5..1] OF INT", "INT",
    "../..", "/dev/null", "/proc/self/mem", "sqlite://", "postgresql://nobody@127.0.0.1:1/x",
    "opc.tcp://:99999", "opc.tcp://[::1]:4840", "http://x", "127.0.0.1:0", "[::]:70000",
    [], {}, [[]], {"": None}, {"a": 1}, [1, 2], [2, 1], [0, 0], ["a"], [None], {1: 2}, [1, 2, 3, 4, 5],
)  # fmt: skip
"""Values that somebody or something may put where another was meant."""


class Mutants:
    """Draws mutants of the cells of `bases`."""

    def __init__(self) -> None:
        self.cells = bases()
        keys, self.values = words_of_schema()
        self.keys = sorted(keys)

    def draw(self, number: int) -> tuple[dict[str, Any], list[str]]:
        """A mutant and what was done to it; the first ones go through every place in turn."""
        lots = random.Random(number)
        whole, base = divmod(number, len(self.cells))
        cell = copy.deepcopy(self.cells[base])
        self.places = list(places(cell))
        done = []
        at = self.places[whole % len(self.places)]
        for _ in range(lots.choice((1, 1, 1, 2, 3))):
            done.append(self._mutate(cell, at, lots))
            at = lots.choice(list(places(cell)) or [("cell",)])
        return cell, done

    def _mutate(self, cell: dict[str, Any], at: Keys, lots: random.Random) -> str:
        kinds = (
            "hostile",
            "word",
            "missing",
            "unknown",
            "swapped",
            "near",
            "deep",
            "twice",
            "moved",
        )
        kind = lots.choice(kinds)
        try:
            holder, key = get(cell, at[:-1]), at[-1]
            old = holder[key]
        except (KeyError, IndexError, TypeError):
            return "nothing"
        match kind:
            case "hostile":
                holder[key] = copy.deepcopy(lots.choice(HOSTILE))
            case "word":
                holder[key] = copy.deepcopy(lots.choice(self.values))
            case "missing":
                del holder[key]
            case "unknown":
                new = lots.choice([*self.keys, "", "Ünbekannt", str(key).upper(), f"{key}x", 5])
                if isinstance(holder, dict):
                    holder[new] = holder.pop(key)
                else:
                    holder.append(new)
            case "swapped":
                there = lots.choice(self.places)
                try:
                    holder[key] = copy.deepcopy(get(cell, there))
                except (KeyError, IndexError, TypeError):
                    return "nothing"
            case "near":
                holder[key] = self._near(old, lots)
            case "deep":
                depth = lots.choice((3, 30, 100))
                for _ in range(depth):
                    old = [old] if lots.random() < 0.5 else {"a": old}
                holder[key] = old
            case "twice":
                if isinstance(holder, list):
                    holder.append(copy.deepcopy(old))
                else:
                    holder[f"{key}_2"] = copy.deepcopy(old)
            case "moved":
                other = lots.choice(
                    list(holder) if isinstance(holder, dict) else range(len(holder))
                )
                holder[key], holder[other] = holder[other], holder[key]
        return f"{kind} at {'.'.join(map(str, at))}"

    def _near(self, old: Any, lots: random.Random) -> Any:
        """Another value of the same kind, which is often right."""
        if isinstance(old, bool):
            return not old
        if isinstance(old, int | float):
            return lots.choice((old + 1, old - 1, old * 2, -old, old * 1000, old / 2))
        if isinstance(old, str):
            alike = [word for word in self.values if isinstance(word, str)]
            digits = [c for c in old if c.isdigit()]
            if digits:
                return old.replace(digits[0], str(lots.choice((0, 1, 3, 7, 12, 400))), 1)
            return lots.choice([*alike, old.upper(), old + old])
        if isinstance(old, list):
            return list(reversed(old))
        if isinstance(old, dict):
            return {name: old[name] for name in reversed(old)}
        return old


def text_of(cell: dict[str, Any], number: int) -> bytes:
    """The mutant as a file; each tenth has a mistake of the letters, too."""
    data = "".join(f"{_flow(name)}: {_flow(inner)}\n" for name, inner in cell.items()).encode()
    lots = random.Random(~number)
    if number % 10 == 9 and data:
        start = lots.randrange(len(data))
        piece = lots.choice((b"", b"\t", b": ", b"\xff", b"*a", b"- ", b"&a ", b"\n"))
        data = data[:start] + piece + data[start + 1 :]
    return data


def _flow(value: Any) -> str:
    """As YAML's flow style."""
    match value:
        case dict():
            return "{" + ", ".join(f"{_flow(k)}: {_flow(v)}" for k, v in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_flow, value)) + "]"
        case float() if value != value or value in {float("inf"), float("-inf")}:
            return ".nan" if value != value else ".inf" if value > 0 else "-.inf"
        case _:
            return json.dumps(value, ensure_ascii=False)


def main() -> None:
    """Print the mutants of the numbers that are given."""
    for number in map(int, sys.argv[1:]):
        mutant, done = Mutants().draw(number)
        sys.stdout.write(
            f"# {number}: {'; '.join(done)}\n{text_of(mutant, number).decode('utf-8', 'replace')}"
        )


if __name__ == "__main__":
    main()
