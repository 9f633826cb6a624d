"""The keyswitch in the cell's file, and the mark that commands from the network carry."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cellwright.io.image.command_client import CommandClient
from cellwright.io.messages import ReplyCode, SetMode
from cellwright.opcua_model.services.command_sender import CommandSender
from cellwright.runtime.config import compile_file
from cellwright.runtime.config.compiler import check_file
from support.plans import make_tag
from support.scan_bench import Bench, program

PROGRAM = """
from cellwright.tasks.api import Program, ScanContext

class Nothing(Program):
    def scan(self, ctx: ScanContext) -> None: ...
"""
CELL = """
cell: {{name: A, {cell}}}
scan: {{base: 10ms}}
tags:
  key: {{type: USINT, memory: true}}
  word: {{type: "STRING(8)", memory: true}}
tasks:
  t: {{program: "nothing:Nothing", interval: 10ms}}
"""


def written(folder: Path, cell: str) -> Path:
    (folder / "nothing.py").write_text(PROGRAM)
    (folder / "cell.yaml").write_text(CELL.format(cell=cell))
    return folder / "cell.yaml"


@pytest.mark.parametrize(
    ("cell", "mode", "keyswitch"),
    [
        ("site: here", "remote", ""),
        ("mode: run", "run", ""),
        ("mode: stop", "stop", ""),
        ("keyswitch: key", "remote", "key"),
    ],
)
def test_the_plan_says_where_the_key_stands(
    tmp_path: Path, cell: str, mode: str, keyswitch: str
) -> None:
    plan = compile_file(written(tmp_path, cell))
    assert (plan.mode, plan.keyswitch) == (mode, keyswitch)


@pytest.mark.parametrize(
    ("cell", "complaint"),
    [
        ("mode: local", "mode is 'local'"),
        ("keyswitch: kye", "there is no tag 'kye'"),
        ("keyswitch: word", "the tag 'word' is a STRING(8)"),
        ("mode: run, keyswitch: key", "the mode is given twice"),
    ],
)
def test_a_keyswitch_that_cannot_be_is_refused_at_its_place(
    tmp_path: Path, cell: str, complaint: str
) -> None:
    (problem,) = check_file(written(tmp_path, cell)).problems
    assert complaint in problem.what
    assert problem.line == 2


@pytest.mark.behaviour(18)
async def test_what_comes_through_the_gateway_is_a_remote_command(tmp_path: Path) -> None:
    bench = Bench(
        tmp_path, [make_tag("x", "INT")], {"t": program(lambda self, ctx: None)}, mode="run"
    )

    async def beat() -> None:
        while True:
            bench.cycle()
            await asyncio.sleep(0.001)

    beating = asyncio.create_task(beat())
    client = CommandClient(bench.image)
    try:
        command = SetMode(request="start", actor="ana")
        code, text = await CommandSender(client).send(command)
        assert (code, "turn it to REMOTE" in text) == (ReplyCode.INVALID_STATE, True)
        await client.send_async(command)
        assert bench.scan.state.name == "RUN", "the same from the machine itself is obeyed"
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
