"""The C hot paths and their typed Python face. No policy: sizes, addresses and rules come in.

`lib` is the compiled module; `Library` says what each function takes and returns, their meaning
stands in ``src/*.h``. Callers pass sizes beside pointers; a wrong one is refused, never followed.
The ratios that the headers give as the reason for C are printed by
``pytest -o addopts=--import-mode=importlib --benchmark-only -s tests/benchmarks``.
"""

# C functions take what they take.
# ruff: noqa: PLR0917

from __future__ import annotations

from typing import Any, Final, Protocol, TypeAlias

import cellwright.native._native as _native  # noqa: PLR0402 - not a name of this package

Pointer: TypeAlias = Any
"""A cffi pointer, or bytes where only reading is meant."""


class Library(Protocol):
    """The C functions; see the header that the comment names."""

    CW_BUCKETS: int
    CW_OVERRUNS: int
    CW_SKIPS: int
    CW_WATCHDOG_HITS: int
    CW_LATE_RUNS: int
    CW_OMITTED: int
    CW_JOB_TIMEOUTS: int
    CW_LATE_ANSWERS: int
    CW_MOST_COMMANDS: int
    CW_REPLY_TEXT: int

    # image/word.h
    def cw_load(self, area: Pointer, area_size: int, offset: int, /) -> int: ...
    def cw_store(self, area: Pointer, area_size: int, offset: int, value: int, /) -> int: ...
    def cw_add(self, area: Pointer, area_size: int, offset: int, value: int, /) -> int: ...

    # image/bits.h
    def cw_unpack_bits(
        self, packed: Pointer, packed_size: int, first: int, bytes: Pointer, count: int, /
    ) -> int: ...
    def cw_pack_bits(
        self, packed: Pointer, packed_size: int, first: int, bytes: Pointer, count: int, /
    ) -> int: ...

    # platform/crc32c.h
    def cw_crc32c(self, crc: int, data: Pointer, size: int, /) -> int: ...
    def cw_crc32c_portable(self, crc: int, data: Pointer, size: int, /) -> int: ...

    # image/snapshot.h
    def cw_snapshot_size(self, block_size: int, /) -> int: ...
    def cw_snapshot_sequence(self, area: Pointer, area_size: int, /) -> int: ...
    def cw_snapshot_write(
        self, area: Pointer, area_size: int, block: Pointer, block_size: int, /
    ) -> int: ...
    def cw_snapshot_begin(self, area: Pointer, area_size: int, block_size: int, /) -> Pointer: ...
    def cw_snapshot_end(self, area: Pointer, area_size: int, block_size: int, /) -> int: ...
    def cw_snapshot_newest(self, area: Pointer, area_size: int, block_size: int, /) -> Pointer: ...
    def cw_snapshot_read(
        self,
        area: Pointer,
        area_size: int,
        block: Pointer,
        block_size: int,
        known: int,
        attempts: int,
        /,
    ) -> int: ...

    # rings/ring.h
    def cw_ring_producer_size(self, capacity: int, /) -> int: ...
    def cw_ring_consumer_size(self) -> int: ...
    def cw_ring_longest(self, capacity: int, /) -> int: ...
    def cw_ring_put(
        self,
        producer: Pointer,
        producer_size: int,
        consumer: Pointer,
        consumer_size: int,
        data: Pointer,
        length: int,
        /,
    ) -> int: ...
    def cw_ring_peek(
        self,
        producer: Pointer,
        producer_size: int,
        consumer: Pointer,
        consumer_size: int,
        records: Pointer,
        max: int,
        /,
    ) -> int: ...
    def cw_ring_acknowledge(
        self,
        producer: Pointer,
        producer_size: int,
        consumer: Pointer,
        consumer_size: int,
        sequence: int,
        /,
    ) -> int: ...
    def cw_ring_abandon(
        self, producer: Pointer, producer_size: int, consumer: Pointer, consumer_size: int, /
    ) -> int: ...
    def cw_ring_written(self, producer: Pointer, producer_size: int, /) -> int: ...
    def cw_ring_acknowledged(self, consumer: Pointer, consumer_size: int, /) -> int: ...
    def cw_ring_wait(
        self,
        producer: Pointer,
        producer_size: int,
        consumer: Pointer,
        consumer_size: int,
        known: int,
        timeout_ns: int,
        /,
    ) -> int: ...

    # rings/commands.h
    def cw_commands_size(self, slots: int, slot_size: int, /) -> int: ...
    def cw_commands_send(
        self,
        area: Pointer,
        area_size: int,
        slots: int,
        slot_size: int,
        process: int,
        data: Pointer,
        length: int,
        /,
    ) -> int: ...
    def cw_commands_receive(
        self,
        area: Pointer,
        area_size: int,
        slots: int,
        slot_size: int,
        buffer: Pointer,
        buffer_size: int,
        commands: Pointer,
        max: int,
        /,
    ) -> int: ...
    def cw_commands_recover(
        self, area: Pointer, area_size: int, slots: int, slot_size: int, /
    ) -> int: ...
    def cw_replies_size(self, count: int, /) -> int: ...
    def cw_reply_write(
        self, area: Pointer, area_size: int, ticket: int, code: int, text: Pointer, length: int, /
    ) -> int: ...
    def cw_reply_read(
        self, area: Pointer, area_size: int, ticket: int, reply: Pointer, /
    ) -> int: ...
    def cw_reply_wait(
        self, area: Pointer, area_size: int, ticket: int, reply: Pointer, timeout_ns: int, /
    ) -> int: ...

    # image/statistics.h
    def cw_statistics_size(self) -> int: ...
    def cw_bucket(self, value: int, /) -> int: ...
    def cw_bucket_low(self, bucket: int, /) -> int: ...
    def cw_statistics_record(
        self,
        area: Pointer,
        area_size: int,
        jitter_ns: int,
        execution_ns: int,
        counters: int,
        /,
    ) -> int: ...
    def cw_statistics_count(
        self, area: Pointer, area_size: int, counter: int, times: int, /
    ) -> int: ...
    def cw_statistics_reset(self, area: Pointer, area_size: int, /) -> int: ...
    def cw_statistics_repair(self, area: Pointer, area_size: int, /) -> int: ...
    def cw_statistics_read(
        self, area: Pointer, area_size: int, copy: Pointer, attempts: int, /
    ) -> int: ...

    # platform/wait.h
    def cw_now(self) -> int: ...
    def cw_wait_until(self, deadline_ns: int, spin_ns: int, /) -> int: ...
    def cw_wait_probe(
        self, first_ns: int, interval_ns: int, late_ns: Pointer, count: int, /
    ) -> None: ...
    def cw_word_bump(self, area: Pointer, area_size: int, offset: int, /) -> int: ...
    def cw_word_load(self, area: Pointer, area_size: int, offset: int, /) -> int: ...
    def cw_word_wait(
        self, area: Pointer, area_size: int, offset: int, expected: int, timeout_ns: int, /
    ) -> int: ...

    # platform/realtime.h
    def cw_schedule_fifo(self, priority: int, /) -> int: ...
    def cw_lock_memory(self) -> int: ...
    def cw_pin(self, core: int, /) -> int: ...
    def cw_clock_synchronised(self) -> int: ...

    # image/changes.h
    def cw_changes(
        self,
        runs: Pointer,
        run_count: int,
        places: Pointer,
        place_count: int,
        old_values: Pointer,
        new_values: Pointer,
        value_size: int,
        old_quality: Pointer,
        new_quality: Pointer,
        tag_count: int,
        bitmap: Pointer,
        bitmap_words: int,
        /,
    ) -> int: ...
    def cw_take_bits(
        self, bitmap: Pointer, bitmap_words: int, tags: Pointer, max: int, /
    ) -> int: ...

    # image/operation.h, latch.h, overlay.h, commit.h, publish.h
    CW_ABCD: int
    CW_CDAB: int
    CW_BADC: int
    CW_DCBA: int
    CW_HOLD: int
    CW_SUBSTITUTE: int
    CW_FAULT: int
    CW_SCALED: int
    CW_RANGED: int
    CW_FORM_BITS: int
    CW_FORM_WORD_BIT: int
    CW_FORM_COPY: int
    CW_FORM_NUMBER: int
    CW_FORM_TEXT: int
    CW_FITS: int
    CW_OUTSIDE: int
    CW_NOT_A_NUMBER: int

    def cw_operation_fits(
        self, operation: Pointer, payload_size: int, value_size: int, tag_count: int, /
    ) -> int: ...
    def cw_table_check(self, table: Pointer, /) -> int: ...
    def cw_decode(
        self,
        operation: Pointer,
        payload: Pointer,
        payload_size: int,
        values: Pointer,
        value_size: int,
        /,
    ) -> int: ...
    def cw_encode(
        self,
        operation: Pointer,
        payload: Pointer,
        payload_size: int,
        values: Pointer,
        value_size: int,
        /,
    ) -> int: ...
    def cw_latch(self, table: Pointer, now_ns: int, utc_ns: int, latched: Pointer, /) -> None: ...
    def cw_overlay(
        self, table: Pointer, forces: Pointer, places: Pointer, count: int, /
    ) -> int: ...
    def cw_commit(
        self, table: Pointer, cycle: int, enabled: bool, committed: Pointer, /
    ) -> None: ...
    def cw_publish(
        self, table: Pointer, publication: Pointer, cycle: int, mono_ns: int, utc_ns: int, /
    ) -> int: ...

    # recorder/recorder.h
    def cw_record_region(self, table: Pointer, /) -> int: ...
    def cw_delta_longest(self, size: int, /) -> int: ...
    def cw_delta_take(
        self, old: Pointer, now: Pointer, size: int, delta: Pointer, delta_size: int, /
    ) -> int: ...
    def cw_delta_apply(
        self, region: Pointer, size: int, delta: Pointer, delta_size: int, /
    ) -> int: ...
    def cw_record_latched(self, recorder: Pointer, latched: Pointer, /) -> int: ...
    def cw_record_settled(
        self,
        recorder: Pointer,
        cycle: int,
        tick: int,
        now_ns: int,
        utc_ns: int,
        said: int,
        readings: int,
        notes: Pointer,
        notes_size: int,
        /,
    ) -> int: ...

    # blocks/blocks.h, blocks_logic.h, blocks_timers.h
    CW_TIME_BACKWARDS: int
    CW_BAD_PARAMETER: int
    CW_HELD: int
    CW_QU: int
    CW_QD: int

    def cw_sr_step(self, block: Pointer, s1: bool, r: bool, /) -> int: ...
    def cw_rs_step(self, block: Pointer, s: bool, r1: bool, /) -> int: ...
    def cw_r_trig_step(self, block: Pointer, clk: bool, /) -> int: ...
    def cw_f_trig_step(self, block: Pointer, clk: bool, /) -> int: ...
    def cw_ctu_step(
        self, block: Pointer, cu: bool, r: bool, pv: int, low: int, high: int, /
    ) -> int: ...
    def cw_ctd_step(
        self, block: Pointer, cd: bool, ld: bool, pv: int, low: int, high: int, /
    ) -> int: ...
    def cw_ctud_step(
        self,
        block: Pointer,
        cu: bool,
        cd: bool,
        r: bool,
        ld: bool,
        pv: int,
        low: int,
        high: int,
        /,
    ) -> int: ...
    def cw_ton_step(self, block: Pointer, now_ns: int, in_: bool, pt_ns: int, /) -> int: ...
    def cw_tof_step(self, block: Pointer, now_ns: int, in_: bool, pt_ns: int, /) -> int: ...
    def cw_tp_step(self, block: Pointer, now_ns: int, in_: bool, pt_ns: int, /) -> int: ...

    # blocks/analog.h, blocks_pid.h, blocks_sequencer.h
    CW_ALWAYS: int

    def cw_ramp_step(
        self, block: Pointer, now_ns: int, in_: float, rise: float, fall: float, track: bool, /
    ) -> int: ...
    def cw_limiter_step(self, block: Pointer, low: float, in_: float, high: float, /) -> int: ...
    def cw_hysteresis_step(self, block: Pointer, in_: float, low: float, high: float, /) -> int: ...
    def cw_average_step(
        self, block: Pointer, window: Pointer, size: int, in_: float, reset: bool, /
    ) -> int: ...
    def cw_pid_step(
        self,
        loop: Pointer,
        tuning: Pointer,
        now_ns: int,
        sp: float,
        pv: float,
        ff: float,
        manual: bool,
        hand: float,
        /,
    ) -> int: ...
    def cw_pid_bank_step(
        self,
        loops: Pointer,
        tunings: Pointer,
        count: int,
        now_ns: int,
        sp: Pointer,
        pv: Pointer,
        ff: Pointer,
        manual: Pointer,
        hand: Pointer,
        out: Pointer,
        /,
    ) -> int: ...
    def cw_sequencer_step(
        self,
        block: Pointer,
        rows: Pointer,
        row_count: int,
        conditions: Pointer,
        condition_count: int,
        initial: int,
        reset: bool,
        now_ns: int,
        /,
    ) -> int: ...


ffi: Final[Any] = _native.ffi
lib: Final[Library] = _native.lib
