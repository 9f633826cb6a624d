"""Producers and consumers killed at random instants: nothing torn, nothing acknowledged is lost."""

from __future__ import annotations

import itertools
import os
import random
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.image import CommandRing, Image, RingError, RingFull
from cellwright.io.plan import Plan
from support.campaign import examples, times
from support.plans import make_plan, make_tag, small_plan
from support.victims import Victim, let_live

BOOT = "0123abcd"
KILLS = times(36)
PER_SEED = examples(2)


def record(number: int) -> bytes:
    """A record that shows by itself whether it is whole; lengths vary with the number."""
    return struct.pack("<Q", number) + bytes([number & 0xFF]) * (number * 7919 % 3000)


def produce(path: Path, plan: Plan) -> None:
    ring = Image.attach(path, plan).events["scan"]
    while True:
        try:
            ring.put(record(ring.written + 1))
        except RingFull:
            os.sched_yield()


def consume(path: Path, plan: Plan, log: int) -> None:
    """Makes each record durable (one write of its number) before it acknowledges the batch."""
    ring = Image.attach(path, plan).events["scan"]
    while True:
        batch = ring.peek(7)
        for sequence, data in batch:
            whole = data == record(sequence)
            os.write(log, struct.pack("<Q?", sequence, whole))
        if batch:
            ring.acknowledge(batch[-1][0])


@pytest.mark.campaign
@PER_SEED
@given(st.integers(0, 2**32))
def test_killing_the_producer_tears_and_loses_no_record(tmp_path: Path, seed: int) -> None:
    plan = small_plan()
    path = tmp_path / "image"
    ring = Image.create(path, plan, BOOT).events["scan"]
    chance = random.Random(seed)
    taken = 0
    for _ in range(KILLS // 3):
        before = ring.written
        victim = Victim(lambda: produce(path, plan))
        while ring.written == before:
            pass
        let_live(chance, 0.002)
        for sequence, data in ring.peek():
            taken += 1
            assert (sequence, data) == (taken, record(taken))
        ring.acknowledge(taken)
        victim.kill()
        written = ring.written
        assert written > before
        while taken < written:
            for sequence, data in ring.peek():
                taken += 1
                assert (sequence, data) == (taken, record(taken))
            ring.acknowledge(taken)
        assert ring.written == written


@pytest.mark.campaign
@PER_SEED
@given(st.integers(0, 2**32))
def test_killing_the_consumer_loses_nothing_that_it_acknowledged(tmp_path: Path, seed: int) -> None:
    plan = small_plan()
    path = tmp_path / "image"
    ring = Image.create(path, plan, BOOT).events["scan"]
    chance = random.Random(seed)
    log = os.open(tmp_path / f"log{seed}", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o600)
    try:
        for _ in range(KILLS // 3):
            before = ring.acknowledged
            victim = Victim(lambda: consume(path, plan, log))
            while ring.acknowledged == before:
                try:
                    ring.put(record(ring.written + 1))
                except RingFull:
                    os.sched_yield()
            let_live(chance, 0.002)
            victim.kill()
            done = os.pread(log, 1 << 24, 0)
            entries = list(struct.iter_unpack("<Q?", done[: len(done) // 9 * 9]))
            assert all(whole for _, whole in entries)
            durable = {sequence for sequence, _ in entries}
            assert durable >= set(range(1, ring.acknowledged + 1))
            # What was made durable and not acknowledged comes again: at least once, in order.
            oldest = ring.peek(1)
            assert not oldest or oldest[0] == (
                ring.acknowledged + 1,
                record(ring.acknowledged + 1),
            )
    finally:
        os.close(log)


def command(sender: int, number: int) -> bytes:
    return struct.pack("<IQ", sender, number) + bytes([number & 0xFF]) * (number * 7919 % 20000)


def send_for_ever(path: Path, plan: Plan, sender: int, report: int) -> None:
    """Reports each ticket only after `send` has returned it."""
    ring = Image.attach(path, plan).commands
    for number in itertools.count():
        while True:
            try:
                ticket = ring.send(command(sender, number))
                break
            except RingFull:
                os.sched_yield()
        os.write(report, struct.pack("<Q", ticket))


@pytest.mark.campaign
@PER_SEED
@given(st.integers(0, 2**32))
def test_killing_senders_tears_no_command_and_loses_none_that_was_sent(
    tmp_path: Path, seed: int
) -> None:
    plan = make_plan([make_tag("wide", "ARRAY[0..2999] OF LREAL")])
    path = tmp_path / "image"
    ring = Image.create(path, plan, BOOT).commands
    assert ring.longest > 20012
    chance = random.Random(seed)
    log = os.open(tmp_path / f"log{seed}", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o600)
    received: set[int] = set()
    next_number: dict[int, int] = {}

    def take() -> bool:
        batch = ring.receive(64)
        for ticket, data in batch:
            sender, number = struct.unpack_from("<IQ", data)
            assert data == command(sender, number)
            assert number == next_number.get(sender, 0)
            next_number[sender] = number + 1
            assert ticket not in received
            received.add(ticket)
        return bool(batch)

    try:
        senders = itertools.count()
        alive: list[Victim] = []
        for _ in range(KILLS // 3):
            while len(alive) < 3:
                name = next(senders)
                alive.append(Victim(lambda name=name: send_for_ever(path, plan, name, log)))  # type: ignore[misc]
            deadline = chance.randrange(1, 20)
            for _ in range(deadline):
                take()
            let_live(chance, 0.002)
            alive.pop(chance.randrange(3)).kill()
        for victim in alive:
            victim.kill()
        while take():
            pass
        reported = {ticket for (ticket,) in struct.iter_unpack("<Q", os.pread(log, 1 << 24, 0))}
        assert reported
        assert reported <= received
        # Every slot is usable again, the dead ones' too.
        ring.recover()
        for _ in range(CommandRing.SLOTS):
            ring.send(b"stop")
        assert len(ring.receive(64)) == 64
    finally:
        os.close(log)


@pytest.mark.campaign
def test_a_scan_killed_while_it_takes_commands_takes_none_twice(tmp_path: Path) -> None:
    plan = small_plan()
    path = tmp_path / "image"
    ring = Image.create(path, plan, BOOT).commands
    log = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    chance = random.Random(7)

    def scan() -> None:
        mine = Image.attach(path, plan).commands
        while True:
            for ticket, _ in mine.receive(4):
                os.write(log, struct.pack("<Q", ticket))
                mine.reply(ticket, 0, "done")

    try:
        sent: list[int] = []
        for _ in range(KILLS // 3):
            victim = Victim(scan)
            goal = len(sent) + 40
            while len(sent) < goal:
                try:
                    sent.append(ring.send(b"start"))
                except RingError:
                    os.sched_yield()
            let_live(chance, 0.002)
            victim.kill()
        taken = [ticket for (ticket,) in struct.iter_unpack("<Q", os.pread(log, 1 << 24, 0))]
        assert len(taken) == len(set(taken))
        left = [ticket for _ in range(8) for ticket, _ in ring.receive(64)]
        assert not set(left) & set(taken)
        # A command is lost only when the scan died with it in hand: at most one batch a kill.
        lost = set(sent) - set(taken) - set(left)
        assert len(lost) <= 4 * (KILLS // 3)
    finally:
        os.close(log)
