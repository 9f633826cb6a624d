"""The function blocks that authors of programs import: IEC 61131-3's, and those for analog values.

A block is declared at class level of a program and called with its inputs in `scan`; blocks that
measure time are given the scan context first. See ``docs/reference/function_blocks.md``.
"""

from cellwright.tasks.control.analog import HYSTERESIS, LIMITER, MOVING_AVERAGE, RAMP
from cellwright.tasks.control.block import (
    Block,
    BlockError,
    Carried,
    ParameterError,
    ScanTime,
    StateError,
    T_ms,
    T_s,
    Time,
    TimeBackwardsError,
    blocks_of,
    restore_blocks,
    save_blocks,
)
from cellwright.tasks.control.logic import CTD, CTU, CTUD, F_TRIG, R_TRIG, RS, SR
from cellwright.tasks.control.pid import PID, PID_BANK, PidTuning
from cellwright.tasks.control.sequencer import SEQUENCER, SfcTransition
from cellwright.tasks.control.timers import TOF, TON, TP

__all__ = [
    "CTD",
    "CTU",
    "CTUD",
    "F_TRIG",
    "HYSTERESIS",
    "LIMITER",
    "MOVING_AVERAGE",
    "PID",
    "PID_BANK",
    "RAMP",
    "RS",
    "R_TRIG",
    "SEQUENCER",
    "SR",
    "TOF",
    "TON",
    "TP",
    "Block",
    "BlockError",
    "Carried",
    "ParameterError",
    "PidTuning",
    "ScanTime",
    "SfcTransition",
    "StateError",
    "T_ms",
    "T_s",
    "Time",
    "TimeBackwardsError",
    "blocks_of",
    "restore_blocks",
    "save_blocks",
]
