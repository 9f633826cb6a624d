"""Rings and the command ring beside what Python offers for the same: pipes and queues."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellwright.io.image import Image
from cellwright.native import ffi, lib
from support.peers import compare, percentiles_us
from support.plans import small_plan
from support.victims import Victim

BATCH = 64


@pytest.mark.parametrize("size", [64, 1024])
@pytest.mark.benchmark(group="64 records through a ring")
def test_a_batch_of_records_beside_a_pipe_and_memcpy(
    benchmark: Any, tmp_path: Path, size: int
) -> None:
    ring = Image.create(tmp_path / "image", small_plan(), "0123abcd").events["scan"]
    data = bytes(size)
    here, there = multiprocessing.Pipe()
    source, target = np.zeros(size * BATCH, np.uint8), np.zeros(size * BATCH, np.uint8)

    def ours() -> None:
        for _ in range(BATCH):
            ring.put(data)
        records = ring.peek(BATCH)
        ring.acknowledge(records[-1][0])

    def pipe() -> None:
        for _ in range(BATCH):
            here.send_bytes(data)
        for _ in range(BATCH):
            there.recv_bytes()

    peers = {"pipe": pipe, "memcpy": lambda: np.copyto(target, source)}
    compare(benchmark, ours, peers, times=20)
    here.close()
    there.close()


@pytest.mark.benchmark(group="one command and its answer")
def test_a_command_and_its_answer_beside_two_pipes(benchmark: Any, tmp_path: Path) -> None:
    ring = Image.create(tmp_path / "image", small_plan(), "0123abcd").commands
    data = bytes(100)
    one, two = multiprocessing.SimpleQueue(), multiprocessing.SimpleQueue()

    def ours() -> None:
        ticket = ring.send(data)
        for number, _ in ring.receive():
            ring.reply(number, 0, "")
        ring.result(ticket)

    def queues() -> None:
        one.put(data)
        one.get()
        two.put(b"")
        two.get()

    compare(benchmark, ours, {"two_queues": queues}, times=100)
    one.close()
    two.close()


@pytest.mark.benchmark(group="one command and its answer")
def test_looking_for_commands_when_there_are_none(benchmark: Any, tmp_path: Path) -> None:
    ring = Image.create(tmp_path / "image", small_plan(), "0123abcd").commands
    empty: multiprocessing.queues.SimpleQueue[bytes] = multiprocessing.SimpleQueue()
    compare(benchmark, ring.receive, {"queue_empty": empty.empty}, times=500)
    empty.close()


@pytest.mark.benchmark(group="there and back between two processes")
def test_a_job_there_and_back_beside_a_pipe(benchmark: Any, tmp_path: Path) -> None:
    plan, path = small_plan(), tmp_path / "image"
    image = Image.create(path, plan, "0123abcd")
    jobs, results = image.job_ring(1), image.result_ring(1)
    here, there = multiprocessing.Pipe()

    def worker() -> None:
        mine = Image.attach(path, plan)
        source, sink = mine.job_ring(1), mine.result_ring(1)
        while True:
            source.wait(1.0)
            for sequence, data in source.peek():
                sink.put(data)
                source.acknowledge(sequence)

    def echo(end: Connection) -> None:
        while True:
            end.send_bytes(end.recv_bytes())

    helpers = [Victim(worker), Victim(lambda: echo(there))]
    times: dict[str, list[int]] = {"ring": [], "pipe": []}

    def ours() -> None:
        begin = lib.cw_now()
        jobs.put(b"job")
        while not results.wait(1.0):
            pass
        results.acknowledge(results.written)
        times["ring"].append(lib.cw_now() - begin)

    def pipe() -> None:
        begin = lib.cw_now()
        here.send_bytes(b"job")
        here.recv_bytes()
        times["pipe"].append(lib.cw_now() - begin)

    try:
        compare(benchmark, ours, {"pipe": pipe}, times=50, blocks=11)
    finally:
        for helper in helpers:
            helper.kill()
        here.close()
        there.close()
    for name, taken in times.items():
        benchmark.extra_info[name] = percentiles_us(taken)
        print(f"  {name}: {percentiles_us(taken)} us")


@pytest.mark.parametrize("size", [64, 4096])
@pytest.mark.benchmark(group="CRC-32C")
def test_the_checksum_by_instruction_beside_the_table(benchmark: Any, size: int) -> None:
    data = os.urandom(size)
    assert lib.cw_crc32c(0, data, size) == lib.cw_crc32c_portable(0, data, size)
    pointer = ffi.from_buffer(data)
    compare(
        benchmark,
        lambda: lib.cw_crc32c(0, pointer, size),
        {"table": lambda: lib.cw_crc32c_portable(0, pointer, size)},
        times=200,
    )
