"""Devices that answer some requests and not others: what answers goes on, the rest waits."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import structlog

from cellwright.io.drivers.trouble import Trouble
from cellwright.io.plan import Device, PollGroup, quality
from cellwright.io.timing.backoff import BackOffLimits
from support.modbus_coupler import coupler
from support.polling_rig import Rig, device, eventually, is_good, polling

MS = 1_000_000
SILENT = quality.BAD_NO_COMMUNICATION


def status(rig: Rig, group: int) -> int:
    return rig.cell.statuses[group] if rig.cell.statuses else -1


async def test_a_device_that_answers_writes_and_no_read_is_not_connected_without_end(
    tmp_path: Path,
) -> None:
    with structlog.testing.capture_logs() as logs:
        async with coupler() as peer:
            peer.mute = {2, 4}
            async with polling(peer, tmp_path, timeout_s=0.05) as rig:
                await eventually(lambda: peer.connections >= 8, "pauses at their longest")
                before, begin = peer.connections, time.monotonic()
                rig.cell.commit(0b0101)
                await eventually(lambda: peer.coils == 0b0101, "outputs are driven all the same")
                await eventually(lambda: peer.connections >= before + 6, "further attempts")
                # Two groups take turns, each after 267 to 400 ms (the rig's longest pause).
                assert time.monotonic() - begin > 4 * 0.26
                assert rig.cell.statuses == (quality.GOOD, SILENT, SILENT)
                assert rig.cell.port.back_off_ns > 0
                assert rig.cell.port.reconnects == 0
                peer.mute.clear()
                await eventually(lambda: is_good(rig), "good once it answers")
                assert rig.cell.port.back_off_ns == 0
    events = [entry["event"] for entry in logs if entry["log_level"] != "debug"]
    assert events.count("device does not answer") == 1
    assert events.count("device answers again") == 1
    assert len(events) < 6, events


async def test_one_silent_group_leaves_the_others_good(tmp_path: Path) -> None:
    async with coupler() as peer, polling(peer, tmp_path, timeout_s=0.05) as rig:
        peer.mute = {4}
        await eventually(lambda: status(rig, 2) == SILENT, "the silent one is bad")
        await eventually(
            lambda: rig.cell.statuses == (quality.GOOD, quality.GOOD, SILENT), "the others good"
        )
        before = peer.connections
        seen = set()

        def tried_again() -> bool:
            seen.add(rig.cell.statuses)
            return peer.connections >= before + 4

        await eventually(tried_again, "several attempts")
        assert seen == {(quality.GOOD, quality.GOOD, SILENT)}
        peer.discrete = 0x5A
        await eventually(lambda: rig.cell.inputs().payload[0] == 0x5A, "and read")
        peer.mute.clear()
        await eventually(lambda: is_good(rig), "all good")


async def test_a_device_that_answers_every_now_and_then_is_told_of_a_few_times(
    tmp_path: Path,
) -> None:
    with structlog.testing.capture_logs() as logs:
        async with coupler() as peer, polling(peer, tmp_path, timeout_s=0.05) as rig:
            for _ in range(12):
                peer.mute = {4}
                await eventually(lambda: status(rig, 2) == SILENT, "silent")
                peer.mute = set()
                await eventually(lambda: is_good(rig), "answers")
    events = [entry["event"] for entry in logs]
    assert events.count("device does not answer") <= 3
    assert events.count("device answers again") <= 3


async def test_an_output_group_that_is_never_answered_does_not_keep_the_others_from_their_values(
    tmp_path: Path,
) -> None:
    plan = device(hold=0)
    setpoint = PollGroup(
        index=3, area="holding_registers", start=2, count=1, output=True, offset=1, size=2
    )
    plan = msgspec.structs.replace(
        plan,
        groups=(*plan.groups, setpoint),
        output_size=3,
        safe_outputs=plan.safe_outputs + b"\x00\x07",
        hold_mask=bytes(3),
    )
    async with coupler() as peer:
        peer.mute = {15}
        async with polling(peer, tmp_path, plan=plan, timeout_s=0.05) as rig:
            rig.cell.image.device(0).publish_outputs(b"\x05\x05\xdc", 1, True)
            await eventually(lambda: peer.holding[2] == 1500, "the other one is driven")
            rig.cell.image.device(0).publish_outputs(b"\x05\x05\xdc", 2, False)
            await eventually(lambda: peer.holding[2] == 7, "and safe")


def scattered(*places: tuple[int, int]) -> Device:
    """Input registers from 0 to 10 in one request, tags at these spans."""
    plan = device(inputs=False)
    group = PollGroup(
        index=1, area="input_registers", start=0, count=11, output=False, offset=0, size=22
    )
    return msgspec.structs.replace(
        plan, groups=(*plan.groups, group), input_size=24, parts=((), places)
    )


async def test_an_address_between_two_tags_that_does_not_exist_is_read_around(
    tmp_path: Path,
) -> None:
    with structlog.testing.capture_logs() as logs:
        async with coupler() as peer:
            peer.absent[4] = {5}
            peer.inputs[0], peer.inputs[10] = 1111, 2222
            plan = scattered((0, 1), (10, 11))
            async with polling(peer, tmp_path, plan=plan) as rig:
                await eventually(lambda: status(rig, 1) == quality.GOOD, "good")
                payload = rig.cell.inputs().payload
                assert payload[:2] == (1111).to_bytes(2, "big")
                assert payload[20:22] == (2222).to_bytes(2, "big")
                assert rig.cell.inputs().absent == (0, 0)
                polls = rig.poller.statistics.polls
                await eventually(lambda: rig.poller.statistics.polls > polls + 5, "more polls")
                assert next(one.count for one in peer.log if one.function == 4) == 11
                assert {one.count for one in peer.log[-8:] if one.function == 4} == {1}
                assert rig.cell.port.failures == 0
    assert not [entry for entry in logs if entry["log_level"] == "warning"]


async def test_a_tag_whose_address_does_not_exist_is_absent_alone(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        async with coupler() as peer:
            peer.absent[4] = {5}
            peer.inputs[4], peer.inputs[10] = 1111, 2222
            plan = scattered((0, 4), (4, 5), (5, 6), (6, 7), (10, 11))
            async with polling(peer, tmp_path, plan=plan) as rig:
                await eventually(lambda: status(rig, 1) == quality.GOOD, "good")
                assert rig.cell.inputs().absent == (0, 0b00100)
                payload = rig.cell.inputs().payload
                assert payload[8:10] == (1111).to_bytes(2, "big")
                assert payload[20:22] == (2222).to_bytes(2, "big")
                peer.log.clear()
                polls = rig.poller.statistics.polls
                await eventually(lambda: rig.poller.statistics.polls > polls + 5, "more polls")
                assert not [one for one in peer.log if one.function == 4 and one.start == 5]
                peer.absent.clear()
                await peer.stop()
                await peer.start()
                await eventually(
                    lambda: status(rig, 1) == quality.GOOD and rig.cell.inputs().absent[1] == 0,
                    "asked for again on a new connection",
                )
    told = [entry for entry in logs if entry["event"] == "device does not have these addresses"]
    assert [entry["lacking"] for entry in told] == [["input_registers[5..5]"]]


async def test_a_group_of_which_nothing_exists_is_asked_for_once_a_poll(tmp_path: Path) -> None:
    async with coupler() as peer:
        peer.absent[4] = set(range(64))
        async with polling(peer, tmp_path, plan=scattered((0, 1), (5, 6), (10, 11))) as rig:
            await eventually(lambda: status(rig, 1) == quality.BAD_DEVICE_FAILURE, "bad as a whole")
            peer.log.clear()
            polls = rig.poller.statistics.polls
            await eventually(lambda: rig.poller.statistics.polls > polls + 5, "more polls")
            assert {one.count for one in peer.log if one.function == 4} == {11}
            peer.absent.clear()
            await eventually(lambda: status(rig, 1) == quality.GOOD, "good when it exists")


async def test_bits_around_one_that_does_not_exist_are_read(tmp_path: Path) -> None:
    plan = device(inputs=False)
    group = PollGroup(
        index=1, area="discrete_inputs", start=3, count=12, output=False, offset=0, size=2
    )
    parts = ((), ((3, 4), (5, 6), (6, 15)))
    plan = msgspec.structs.replace(plan, groups=(*plan.groups, group), input_size=8, parts=parts)
    async with coupler() as peer:
        peer.absent[2] = {4, 5}
        peer.discrete = 0b0101_0101_0100_1000
        async with polling(peer, tmp_path, plan=plan) as rig:
            await eventually(lambda: status(rig, 1) == quality.GOOD, "good")
            assert rig.cell.inputs().absent == (0, 0b010)
            assert rig.cell.inputs().payload[:2] == (0b1010_1010_1001).to_bytes(2, "little")


def test_a_success_that_does_not_last_does_not_shorten_the_pauses() -> None:
    trouble = Trouble(BackOffLimits(first_ns=50 * MS, longest_ns=5_000 * MS), seed=1)
    now, pauses = 10_000 * MS, []
    for _ in range(10):
        pauses.append(trouble.fails(now))
        now += pauses[-1]
        assert trouble.is_due(now)
        assert trouble.works(now)
        now += 10 * MS
    assert pauses[-1] >= 3_333 * MS
    assert not trouble.is_over(now)
    now += 5_000 * MS
    assert trouble.is_over(now)
    assert trouble.fails(now) <= 50 * MS
