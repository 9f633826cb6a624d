"""Times of one marking operation's parts; run with ``--benchmark-only``."""

from __future__ import annotations

from typing import Any

from cellwright.tasks.marking.lua.engine import LuaEngine, Template
from cellwright.tasks.marking.lua.process import LuaProcess
from cellwright.tasks.symbology.data_matrix import _encode, modules

TEMPLATE = Template(
    "blade.lua",
    "local B = {}\nfunction B:execute_marking(d) return true, { symbol = d.cage .. '/' .. d.serial,"
    " texts = { d.serial, d.date } } end\nreturn B",
)
DATA = {"cage": "1AB23", "serial": "S000123", "date": "2026-01-01"}


def test_render_in_the_same_process(benchmark: Any) -> None:
    engine = LuaEngine()
    assert benchmark(engine.execute_marking, TEMPLATE, DATA).symbol == "1AB23/S000123"


def test_render_in_the_engine_process(benchmark: Any) -> None:
    with LuaProcess(timeout_s=2.0) as process:
        process.start()
        assert benchmark(process.execute_marking, TEMPLATE, DATA).symbol == "1AB23/S000123"


def test_encode_a_symbol_without_cache(benchmark: Any) -> None:
    def encode() -> Any:
        _encode.cache_clear()
        return modules("1AB23/B-17/S000123")

    assert benchmark(encode).shape == (18, 18)
