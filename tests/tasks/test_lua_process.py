"""The Lua engine's process and its watchdog: what no instruction count can stop."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import psutil
import pytest

from cellwright.tasks.marking.lua.engine import Template, TemplateError
from cellwright.tasks.marking.lua.process import LuaProcess, WatchdogError

GOOD = Template(
    "good.lua",
    "MarkingController = {}\n"
    "function MarkingController:execute_marking(d) return true, { symbol = d.serial } end\n"
    "function MarkingController:get_status() return 'ready' end",
)

#: Work in C functions that no hook interrupts.
UNSTOPPABLE = {
    "pattern matching": "('a'):rep(2e6):find('.-.-.-.-b')",
    "pattern matching behind pcall": "pcall(string.find, ('a'):rep(2e6), '.-.-.-.-b')",
    "pattern matching in a coroutine": """
        coroutine.wrap(function() ('a'):rep(2e6):find('.-.-.-.-b') end)()""",
    "moving nothing far": "table.move({}, 1, 1e9, 2)",
    "matching by gsub": "('a'):rep(2e6):gsub('.-.-.-.-b', '')",
}


def script(body: str) -> Template:
    return Template(
        "hostile.lua",
        f"MarkingController = {{}}\nfunction MarkingController:execute_marking(d)\n{body}\nend",
    )


def until_gone(pid: int) -> None:
    """A process that was killed is gone a little later, when its parent has been told."""
    deadline = time.monotonic() + 30
    while psutil.pid_exists(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def engine() -> Iterator[LuaProcess]:
    # Wall time: the machine may be busy, and an innocent template must not be ended.
    with LuaProcess(timeout_s=20.0) as process:
        yield process


def test_a_template_runs_in_another_process(engine: LuaProcess) -> None:
    assert engine.execute_marking(GOOD, {"serial": "S1"}).symbol == "S1"
    assert engine.validate_product_data(GOOD, {}) == []
    assert engine.get_status(GOOD) == {"state": "ready"}
    assert engine.pid not in {0, os.getpid()}


@pytest.mark.parametrize("name", sorted(UNSTOPPABLE))
def test_what_no_hook_stops_is_ended_and_the_next_operation_is_served(
    engine: LuaProcess, name: str
) -> None:
    engine.start()
    before, kills = engine.pid, engine.kills
    engine.timeout_s = 0.051
    with pytest.raises(WatchdogError, match="51 ms"):
        engine.execute_marking(script(UNSTOPPABLE[name]), {})
    engine.timeout_s = 20.0
    assert engine.execute_marking(GOOD, {"serial": "S2"}).symbol == "S2"
    assert engine.pid != before
    assert engine.kills == kills + 1
    until_gone(before)


def test_a_script_stopped_by_its_budget_costs_no_process(engine: LuaProcess) -> None:
    engine.start()
    before = engine.pid
    with pytest.raises(TemplateError, match="budget"):
        engine.execute_marking(script("while true do end"), {})
    assert engine.pid == before


def test_an_engine_killed_from_outside_is_replaced(engine: LuaProcess) -> None:
    engine.start()
    os.kill(engine.pid, signal.SIGKILL)
    with pytest.raises(TemplateError, match="try again"):
        engine.execute_marking(GOOD, {"serial": "S1"})
    assert engine.execute_marking(GOOD, {"serial": "S3"}).symbol == "S3"


def test_a_fork_server_killed_from_outside_is_replaced_and_leaves_no_engine() -> None:
    with LuaProcess(timeout_s=20.0) as engine:
        engine.start()
        server = psutil.Process(engine.pid).parent()
        assert server is not None
        old = engine.pid
        server.kill()
        until_gone(old)
        assert engine.execute_marking(GOOD, {"serial": "S4"}).symbol == "S4"


def test_closing_leaves_no_process_behind() -> None:
    engine = LuaProcess(timeout_s=20.0)
    engine.start()
    server = psutil.Process(engine.pid).parent()
    assert server is not None
    pids = {engine.pid, server.pid}
    engine.close()
    for pid in pids:
        until_gone(pid)


def test_data_that_does_not_fit_a_message_is_refused(engine: LuaProcess) -> None:
    with pytest.raises(TemplateError, match="at most"):
        engine.execute_marking(GOOD, {"serial": "x" * 300_000})
    assert engine.execute_marking(GOOD, {"serial": "S5"}).symbol == "S5"


@pytest.mark.parametrize("lines", [50, 90])
def test_a_result_that_does_not_fit_a_message_is_a_sentence_and_costs_no_engine(
    engine: LuaProcess, lines: int
) -> None:
    large = script(f"""
        local texts = {{}}
        for line = 1, {lines} do texts[line] = ('x'):rep(4000) end
        return true, {{ symbol = 'S6', texts = texts }}""")
    engine.start()
    pid = engine.pid
    with pytest.raises(TemplateError, match=r"hostile.lua: its result takes \d+ bytes, at most"):
        engine.execute_marking(large, {})
    assert engine.execute_marking(GOOD, {"serial": "S7"}).symbol == "S7"
    assert engine.pid == pid


def test_an_unknown_result_is_a_sentence_of_the_template(engine: LuaProcess) -> None:
    with pytest.raises(TemplateError, match=r"hostile.lua.*symbol must be text"):
        engine.execute_marking(script("return true, { symbol = {} }"), {})
