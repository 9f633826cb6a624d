"""Numbers that pages take from the code are those of the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellwright.io.drivers import poll_loop
from cellwright.io.journal import writer
from cellwright.io.timing.backoff import BackOffLimits
from cellwright.mes.service import background_store
from cellwright.opcua_model.security import certificate, lockout
from cellwright.runtime.cell import logs
from cellwright.runtime.config import compile_file
from cellwright.runtime.scan import cycle
from cellwright.runtime.supervision import supervisor
from cellwright.tasks.marking.lua.engine import LuaLimits
from cellwright.tasks.marking.options import MarkingOptions

ROOT = Path(__file__).parents[2]
BACK_OFF = BackOffLimits()
PLAN = compile_file(ROOT / "examples" / "blade_marking" / "cell.yaml")
LUA_MS = MarkingOptions.model_fields["lua_timeout_ms"].default

SAID = [
    ("explanation/safe_state.md", f"every {poll_loop.REFRESH_NS / 1e6:g} ms"),
    ("explanation/safe_state.md", f"every {poll_loop.GUARD_PERIOD_NS / 1e6:g} ms"),
    ("explanation/safe_state.md", f"gets {poll_loop.PATIENCE_NS / 1e6:g} ms"),
    (
        "explanation/safe_state.md",
        f"trips {(PLAN.scan.base_ns + PLAN.scan.watchdog_ns) / 1e6:g} ms after the last beat",
    ),
    ("../README.md", f"the scan is {PLAN.scan.watchdog_ns / 1e6:g} ms late"),
    ("explanation/time.md", f"at most {cycle.COMMANDS_PER_CYCLE} |"),
    ("explanation/processes.md", f"after {supervisor.BACKOFF_FIRST_S * 1e3:g} ms"),
    ("explanation/processes.md", f"up to {supervisor.BACKOFF_LAST_S:g} s"),
    ("howto/add_a_device.md", f"first after {BACK_OFF.first_ns / 1e6:g} ms"),
    ("howto/add_a_device.md", f"grow to {BACK_OFF.longest_ns / 1e9:g} s"),
    ("howto/logs_and_journal.md", f"files of {logs.MAX_BYTES / 1e6:g} MB"),
    ("howto/opcua_clients.md", f"lock a name for {lockout.LOCK_NS / 1e9:g} s"),
    ("howto/write_a_lua_template.md", f"{LuaLimits().instructions:,} instructions"),
    ("howto/write_a_lua_template.md", f"{LuaLimits().memory_bytes / 2**20:g} MiB"),
    ("howto/write_a_lua_template.md", f"may take {LUA_MS:g} ms"),
]


@pytest.mark.parametrize(("page", "words"), SAID)
def test_a_number_in_a_page_is_the_one_in_the_code(page: str, words: str):
    text = " ".join((ROOT / "docs" / page).read_text(encoding="utf-8").split())
    assert words in text


def test_numbers_that_pages_spell_out_are_those_of_the_code():
    assert logs.KEPT_FILES + 1 == 4  # "four files": the present one and those kept
    assert writer.KEEP_NS == 7 * 86_400 * 10**9  # "seven days"
    assert lockout.LOCK_AFTER == 5  # "Five wrong passwords"
    assert certificate.VALID_DAYS // 365 == 10  # "for ten years"
    assert background_store.RETRY_S == 2  # "every two seconds"
