"""The C steps of the function blocks under the sanitizers, and the promises of their structs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cellwright.native import ffi, lib
from support.campaign import SCALE

HERE = Path(__file__).parent
SOURCES = HERE.parents[1] / "native" / "src"
STRUCTS = [
    "bistable",
    "edge",
    "counter",
    "timer",
    "ramp",
    "limiter",
    "hysteresis",
    "average",
    "pid",
    "sequencer",
]


ADDRESS_AND_UNDEFINED = (
    "-fsanitize=address,undefined,float-cast-overflow",
    "-fno-sanitize-recover=all",
)
UNDEFINED_TRAPS = (
    "-fsanitize=undefined,float-cast-overflow",
    "-fsanitize-undefined-trap-on-error",
)


def compile_fuzzer(
    program: Path, source: str, under_test: str, *sanitizers: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *os.environ.get("CC", "cc").split(),
            *("-std=c11", "-D_GNU_SOURCE", "-g", "-O1", "-Wall", "-Wextra", "-Werror"),
            *sanitizers,
            f"-I{SOURCES}",
            str(HERE / source),
            *(str(path) for path in sorted(SOURCES.glob(under_test))),
            *("-lm", "-o", str(program)),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def run_fuzzer(program: Path, source: str, under_test: str, *words: str) -> tuple[int, str, str]:
    """Compile and run it; its exit code and what it printed."""
    built = compile_fuzzer(program, source, under_test, *ADDRESS_AND_UNDEFINED)
    if built.returncode and "san" in built.stderr:
        # Not every compiler brings the sanitizers' libraries; undefined behaviour can trap alone.
        built = compile_fuzzer(program, source, under_test, *UNDEFINED_TRAPS)
    assert built.returncode == 0, built.stderr
    # The leak check traces its own process, which containers may forbid.
    quiet = os.environ | {"ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run(
        [str(program), *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=quiet,
    )
    return done.returncode, done.stdout, done.stderr


def test_no_state_and_no_input_leads_to_undefined_behaviour(tmp_path: Path):
    found = run_fuzzer(tmp_path / "fuzz", "blocks_fuzz.c", "blocks/*.c", "200000")
    assert found == (0, "200000\n", "")


def test_no_history_of_monitored_items_leads_beyond_their_memory(tmp_path: Path):
    steps = str(20_000 * SCALE)
    found = run_fuzzer(tmp_path / "fuzz", "items_fuzz.c", "opcua/*.c", "1", steps)
    assert found == (0, "", "")


@pytest.mark.parametrize("name", STRUCTS)
def test_a_block_has_no_hidden_bytes_and_fills_whole_words(name: str):
    kind = ffi.typeof(f"struct cw_{name}")
    assert sum(ffi.sizeof(field.type) for _, field in kind.fields) == ffi.sizeof(kind)
    assert ffi.sizeof(kind) % 8 == 0


def test_a_window_that_does_not_belong_to_the_average_is_refused_not_followed():
    average, window = ffi.new("struct cw_average *"), ffi.new("double[4]")
    for _ in range(4):
        assert lib.cw_average_step(average, window, 4, 1.0, False) == 0
    assert lib.cw_average_step(average, window, 3, 1.0, False) == lib.CW_BAD_PARAMETER
    assert lib.cw_average_step(average, window, 0, 1.0, False) == lib.CW_BAD_PARAMETER
    assert lib.cw_average_step(average, ffi.NULL, 4, 1.0, False) == lib.CW_BAD_PARAMETER


def test_a_row_that_names_a_condition_beyond_the_array_is_refused_not_followed():
    sequencer, rows = ffi.new("struct cw_sequencer *"), ffi.new("struct cw_transition[1]")
    rows[0].condition = 1
    conditions = ffi.new("uint8_t[1]")
    assert (
        lib.cw_sequencer_step(sequencer, rows, 1, conditions, 1, 0, False, 0)
        == lib.CW_BAD_PARAMETER
    )
    assert sequencer.started == 0


def test_a_bank_without_its_arrays_is_refused_not_followed():
    loops, tunings = ffi.new("struct cw_pid[2]"), ffi.new("struct cw_pid_tuning[2]")
    values = ffi.new("double[2]")
    manual = ffi.new("uint8_t[2]")
    whole = [loops, tunings, 2, 0, values, values, ffi.NULL, ffi.NULL, ffi.NULL, values]
    assert lib.cw_pid_bank_step(*whole) == 0
    for place in (0, 1, 4, 5, 9):
        broken = list(whole)
        broken[place] = ffi.NULL
        assert lib.cw_pid_bank_step(*broken) == lib.CW_BAD_PARAMETER
    broken = list(whole)
    broken[7] = manual
    assert lib.cw_pid_bank_step(*broken) == lib.CW_BAD_PARAMETER
