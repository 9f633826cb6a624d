"""Devices that know only functions 5 and 6 for writing: `single: true`."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellwright.io.drivers.base import DriverError
from cellwright.io.drivers.modbus import ModbusOptions, ModbusTcp
from cellwright.io.plan import PollGroup, quality
from support.modbus_coupler import Coupler, coupler
from support.polling_rig import eventually, is_good, polling

COILS = PollGroup(index=0, area="coils", start=3, count=10, output=True, offset=0, size=2)
WORDS = PollGroup(
    index=1, area="holding_registers", start=7, count=3, output=True, offset=2, size=6
)


def old_device(peer: Coupler) -> None:
    """The device knows neither function 15 nor 16."""
    peer.refuse |= {15: 1, 16: 1}


def single(peer: Coupler) -> ModbusTcp:
    options = ModbusOptions(host="127.0.0.1", port=peer.port, timeout_s=20, single=True)
    return ModbusTcp("remote_io", options)


async def test_coils_and_registers_are_written_one_by_one() -> None:
    async with coupler() as peer:
        old_device(peer)
        driver = single(peer)
        await driver.connect()
        await driver.write(COILS, b"\x05\x02")
        await driver.write(WORDS, bytes.fromhex("0102 0304 ffff"))
        await driver.close()
        assert peer.coils == 0b10_0000_0101 << 3
        assert peer.holding[7:10] == [0x0102, 0x0304, 0xFFFF]


async def test_only_what_changed_is_written_and_all_of_it_when_nothing_did() -> None:
    async with coupler() as peer:
        driver = single(peer)
        await driver.connect()
        await driver.write(WORDS, bytes(6))
        peer.log.clear()
        await driver.write(WORDS, bytes.fromhex("0000 0009 0000"))
        assert [(one.function, one.start, one.count) for one in peer.log] == [(6, 8, 9)]
        peer.log.clear()
        await driver.write(WORDS, bytes.fromhex("0000 0009 0000"))
        assert [one.start for one in peer.log] == [7, 8, 9]
        peer.log.clear()
        await driver.connect()
        await driver.write(WORDS, bytes.fromhex("0000 0009 0000"))
        assert [one.start for one in peer.log] == [7, 8, 9], "a new connection knows nothing"
        await driver.close()


async def test_one_that_is_refused_is_named_and_written_again() -> None:
    async with coupler() as peer:
        peer.absent[6] = {8}
        driver = single(peer)
        await driver.connect()
        with pytest.raises(DriverError, match=r"write holding_registers\[8\].*exception 2"):
            await driver.write(WORDS, bytes.fromhex("0001 0002 0003"))
        peer.absent.clear()
        await driver.write(WORDS, bytes.fromhex("0001 0002 0003"))
        await driver.close()
        assert peer.holding[7:10] == [1, 2, 3]


async def test_without_the_option_the_message_names_it() -> None:
    async with coupler() as peer:
        old_device(peer)
        driver = ModbusTcp("io", ModbusOptions(host="127.0.0.1", port=peer.port, timeout_s=20))
        await driver.connect()
        for group, payload in ((COILS, bytes(2)), (WORDS, bytes(6))):
            with pytest.raises(DriverError, match="set `single: true`"):
                await driver.write(group, payload)
        await driver.close()


async def test_the_poll_loop_drives_and_makes_safe_a_device_that_knows_only_those(
    tmp_path: Path,
) -> None:
    async with coupler() as peer:
        old_device(peer)
        async with polling(peer, tmp_path, driver=single(peer)) as rig:
            rig.cell.commit(0b0101)
            await eventually(lambda: peer.coils == 0b0101, "driven")
            await eventually(lambda: is_good(rig), "all good")
            rig.cell.kill_scan()
            rig.cell.commit(0b0101, enabled=False)
            await eventually(lambda: peer.coils == 0b0010, "safe")
            assert rig.cell.statuses[0] == quality.GOOD
        assert not peer.writes(15)
