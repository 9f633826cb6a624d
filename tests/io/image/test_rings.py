"""Rings between two processes and the command ring: order, acknowledgement, refusals, damage."""

from __future__ import annotations

import os
import random
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cellwright.io.image import (
    Area,
    CommandRing,
    Image,
    RingDamaged,
    RingError,
    RingFull,
    SpscRing,
    ring_sizes,
)
from cellwright.native import ffi, lib
from support.plans import small_plan

CAPACITY = 512
SLOT = 128


def new_ring(capacity: int = CAPACITY) -> tuple[SpscRing, bytearray, bytearray]:
    memory = [bytearray(size) for size in ring_sizes(capacity)]
    areas = [Area(memoryview(part)) for part in memory]
    return SpscRing("test", *areas), memory[0], memory[1]


def new_commands(slot: int = SLOT) -> tuple[CommandRing, bytearray, bytearray]:
    memory = [bytearray(size) for size in CommandRing.sizes(slot)]
    return CommandRing(*(Area(memoryview(part)) for part in memory), slot), *memory


class RingAgainstAList(RuleBasedStateMachine):
    """The ring does what a list of unacknowledged records does, whatever the order of calls."""

    def __init__(self) -> None:
        super().__init__()
        self.ring, self.producer, self.consumer = new_ring()
        self.waiting: list[tuple[int, bytes]] = []
        self.written = 0

    @rule(data=st.binary(max_size=300))
    def put(self, data: bytes) -> None:
        if len(data) > self.ring.longest:
            with pytest.raises(RingError, match="does not fit"):
                self.ring.put(data)
            return
        try:
            sequence = self.ring.put(data)
        except RingFull:
            assert self.waiting
            return
        self.written += 1
        assert sequence == self.written
        self.waiting.append((sequence, data))

    @rule(count=st.integers(1, 10))
    def peek(self, count: int) -> None:
        assert self.ring.peek(count) == self.waiting[:count]

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 5))
    def acknowledge(self, which: int) -> None:
        which = min(which, len(self.waiting) - 1)
        self.ring.acknowledge(self.waiting[which][0])
        del self.waiting[: which + 1]

    @rule()
    def acknowledging_again_changes_nothing(self) -> None:
        self.ring.acknowledge(self.ring.acknowledged)

    @rule()
    def acknowledging_what_was_not_written_is_refused(self) -> None:
        with pytest.raises(RingError, match="cannot be acknowledged"):
            self.ring.acknowledge(self.written + 1)

    @rule()
    def either_side_restarts(self) -> None:
        areas = [Area(memoryview(part)) for part in (self.producer, self.consumer)]
        self.ring = SpscRing("again", *areas)

    @invariant()
    def the_counters_agree(self) -> None:
        assert self.ring.written == self.written
        assert self.ring.acknowledged == self.written - len(self.waiting)


test_the_ring_behaves_like_a_list = RingAgainstAList.TestCase


def test_the_longest_record_fits_wherever_the_ring_stands() -> None:
    ring, _, _ = new_ring()
    for step in range(80):
        ring.put(b"x" * (step % 9))
        ring.acknowledge(ring.written)
        ring.put(b"y" * ring.longest)
        assert ring.peek()[0][1] == b"y" * ring.longest
        ring.acknowledge(ring.written)


def test_a_full_ring_says_how_many_records_wait() -> None:
    ring, _, _ = new_ring()
    for _ in range(16):
        ring.put(b"1234567890")
    with pytest.raises(RingFull, match="16 records wait"):
        ring.put(b"")


def test_waiting_ends_when_a_record_comes(tmp_path: Path) -> None:
    plan = small_plan()
    image = Image.create(tmp_path / "image", plan, "0123abcd")
    ring = image.events["scan"]
    assert ring.wait(0.001) is False
    child = os.fork()
    if child == 0:
        try:
            producer = Image.attach(tmp_path / "image", plan).events["scan"]
            lib.cw_wait_until(lib.cw_now() + 50_000_000, 0)
            producer.put(b"woken")
        finally:
            os._exit(0)
    begin = lib.cw_now()
    while not ring.wait(20.0):
        assert lib.cw_now() - begin < 20e9
    os.waitpid(child, 0)
    assert ring.peek() == [(1, b"woken")]
    assert ring.wait(20.0)
    assert ring.wait(0.001, after=1) is False


RECORDS = st.lists(st.binary(max_size=60), min_size=1, max_size=8)
HITS = st.lists(st.tuples(st.integers(0, 1), st.integers(0), st.integers(1, 255)), max_size=6)


@given(records=RECORDS, done=st.integers(0, 8), hits=HITS)
def test_a_damaged_record_is_reported_and_never_delivered(
    records: list[bytes], done: int, hits: list[tuple[int, int, int]]
) -> None:
    ring, memory, _ = new_ring()
    for data in records:
        ring.put(data)
    ring.acknowledge(min(done, len(records)))
    for _, place, change in hits:
        memory[64 + place % CAPACITY] ^= change
    try:
        found = ring.peek()
    except RingDamaged:
        found = []
    first = ring.acknowledged + 1
    expected = [(first + index, data) for index, data in enumerate(records[first - 1 :])]
    assert found == expected[: len(found)]


@given(records=RECORDS, done=st.integers(0, 8), hits=HITS, more=st.binary(max_size=100))
def test_damage_anywhere_never_does_worse_than_an_error_or_an_old_record(
    records: list[bytes], done: int, hits: list[tuple[int, int, int]], more: bytes
) -> None:
    ring, *memory = new_ring()
    for data in records:
        ring.put(data)
    ring.acknowledge(min(done, len(records)))
    for which, place, change in hits:
        memory[which][place % len(memory[which])] ^= change
    for _ in range(2):
        try:
            assert {data for _, data in ring.peek()} <= {*records, more}
            ring.put(more)
            ring.wait(0.0)
            ring.acknowledge(ring.written)
        except RingError:
            ring.abandon()


def test_after_damage_the_ring_can_be_abandoned_and_used_again() -> None:
    ring, memory, _ = new_ring()
    for number in range(3):
        ring.put(b"record %d" % number)
    memory[64 + 16 + 2] ^= 1
    with pytest.raises(RingDamaged, match=r"damaged after record 0 \(3 written\)"):
        ring.peek()
    assert ring.abandon() == 3
    assert ring.peek() == []
    assert ring.put(b"new") == 4
    assert ring.peek() == [(4, b"new")]


def test_records_before_the_damaged_one_are_still_read() -> None:
    ring, memory, _ = new_ring()
    ring.put(b"12345678")
    ring.put(b"abcdefgh")
    memory[64 + 24 + 16] ^= 1
    assert ring.peek() == [(1, b"12345678")]
    ring.acknowledge(1)
    with pytest.raises(RingDamaged):
        ring.peek()


# --- commands -------------------------------------------------------------------------------------


def test_commands_arrive_in_the_order_of_their_tickets() -> None:
    ring, _, _ = new_commands()
    tickets = [ring.send(b"%d" % number) for number in range(40)]
    assert tickets == list(range(1, 41))
    assert [ticket for ticket, _ in ring.receive(10)] == tickets[:10]
    tickets.append(ring.send(b"late"))
    rest = ring.receive(64)
    assert [ticket for ticket, _ in rest] == tickets[10:]
    assert rest[-1] == (41, b"late")
    assert ring.receive() == []


def test_a_command_that_is_too_long_is_refused() -> None:
    ring, _, _ = new_commands()
    assert ring.send(b"x" * ring.longest) == 1
    with pytest.raises(RingError, match=r"113 bytes is too long; the longest is 112"):
        ring.send(b"x" * (ring.longest + 1))


def test_a_scan_that_takes_nothing_makes_the_ring_full() -> None:
    ring, _, _ = new_commands()
    for _ in range(CommandRing.SLOTS):
        ring.send(b"start")
    with pytest.raises(RingFull, match="has not taken the last 256 commands"):
        ring.send(b"start")
    ring.receive(1)
    assert ring.send(b"start") == CommandRing.SLOTS + 1


def test_an_answer_is_found_by_its_ticket() -> None:
    ring, _, _ = new_commands()
    ticket = ring.send(b"start")
    assert ring.result(ticket) is None
    ring.reply(ticket, 7, "no: " + "ü" * 200)
    reply = ring.result(ticket, 1.0)
    assert reply is not None
    assert (reply.ticket, reply.code) == (ticket, 7)
    assert reply.text.startswith("no: üü")
    assert len(reply.text.encode()) <= 210


def test_an_answer_that_was_overwritten_is_reported_as_such() -> None:
    ring, _, _ = new_commands()
    ring.reply(3, 0, "")
    ring.reply(3 + CommandRing.REPLIES, 0, "")
    with pytest.raises(RingError, match="overwritten"):
        ring.result(3)
    assert ring.result(4) is None


def test_waiting_for_an_answer_ends_when_it_comes(tmp_path: Path) -> None:
    plan = small_plan()
    image = Image.create(tmp_path / "image", plan, "0123abcd")
    ticket = image.commands.send(b"start")
    child = os.fork()
    if child == 0:
        try:
            scan = Image.attach(tmp_path / "image", plan).commands
            lib.cw_wait_until(lib.cw_now() + 50_000_000, 0)
            for number, data in scan.receive():
                scan.reply(number, 0, data.decode())
        finally:
            os._exit(0)
    reply = image.commands.result(ticket, 20.0)
    os.waitpid(child, 0)
    assert reply is not None
    assert (reply.code, reply.text) == (0, "start")
    assert image.commands.result(ticket + 1, 0.01) is None


def _states(memory: bytearray) -> memoryview:
    return memoryview(memory)[64 : 64 + 8 * CommandRing.SLOTS].cast("Q")


def test_the_slot_of_a_dead_sender_is_freed_and_that_of_a_living_one_is_not() -> None:
    ring, memory, _ = new_commands()
    dead = os.fork()
    if dead == 0:
        os._exit(0)
    os.waitpid(dead, 0)
    states = _states(memory)
    states[0] = 5 << 34 | dead << 2 | 1
    states[1] = 6 << 34 | os.getpid() << 2 | 1
    assert ring.receive() == []
    assert ring.recover() == 1
    assert states[0] == 6 << 34
    assert states[1] == 6 << 34 | os.getpid() << 2 | 1
    assert ring.recover() == 0


def test_a_full_ring_frees_the_slots_of_the_dead_by_itself() -> None:
    ring, memory, _ = new_commands()
    dead = os.fork()
    if dead == 0:
        os._exit(0)
    os.waitpid(dead, 0)
    states = _states(memory)
    for index in range(CommandRing.SLOTS):
        states[index] = dead << 2 | 1
    assert ring.send(b"stop") == 1
    assert ring.receive() == [(1, b"stop")]


def test_a_claim_that_was_taken_away_cannot_be_committed() -> None:
    # A command so large that its copy takes long enough to interfere.
    size = 1 << 26
    area = bytearray(lib.cw_commands_size(1, size))
    pointer = ffi.from_buffer("uint8_t[]", area)
    data = bytes(size - 16)
    state = memoryview(area)[64:72].cast("Q")

    def interfered() -> bool:
        """Take the claim away in the middle of the copy; False when that came too late."""
        outcome: list[int] = []

        def send() -> None:
            outcome.append(lib.cw_commands_send(pointer, len(area), 1, size, 77, data, len(data)))

        area[:72] = bytes(72)
        sender = threading.Thread(target=send)
        sender.start()
        while not state[0] and sender.is_alive():
            pass
        claimed = state[0] == 77 << 2 | 1
        state[0] = 1 << 34
        sender.join()
        return claimed and outcome == [-125] and state[0] == 1 << 34

    assert any(interfered() for _ in range(50))


@given(
    sent=st.lists(st.binary(max_size=112), min_size=1, max_size=5),
    seed=st.integers(0, 2**32),
    hits=st.integers(1, 40),
    everywhere=st.booleans(),
)
def test_a_damaged_command_is_never_delivered(
    sent: list[bytes], seed: int, hits: int, everywhere: bool
) -> None:
    ring, memory, replies = new_commands()
    tickets = {ring.send(data): data for data in sent}
    chance = random.Random(seed)
    first_slot = 64 + 8 * CommandRing.SLOTS
    for _ in range(hits):
        end = len(memory) if everywhere else first_slot + len(sent) * SLOT
        place = chance.randrange(0 if everywhere else first_slot, end)
        memory[place] ^= chance.randrange(1, 256)
    replies[chance.randrange(len(replies))] ^= 1
    for ticket, data in ring.receive(64):
        assert tickets[ticket] == data
    ring.recover()
    for ticket in tickets:
        with suppress(RingError):
            ring.result(ticket)


def test_a_damaged_command_is_answered() -> None:
    ring, memory, _ = new_commands()
    ticket = ring.send(b"start the laser")
    memory[64 + 8 * CommandRing.SLOTS + SLOT + 16] ^= 1
    memory[64 + 8 * CommandRing.SLOTS + 16] ^= 1
    assert ring.receive() == []
    reply = ring.result(ticket)
    assert reply is not None
    assert reply.code == -74
    assert "damaged" in reply.text
