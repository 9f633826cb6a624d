"""A device that refuses one output group: the others are driven and made safe all the same."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from cellwright.io.drivers.modbus import ModbusOptions, ModbusTcp
from cellwright.io.plan import Device, PollGroup, quality
from support.modbus_coupler import Coupler, coupler
from support.polling_rig import Cell, device, eventually, polling

SETPOINT = 1500
SAFE_SETPOINT = 7


def with_setpoint() -> Device:
    """Coils, and behind them a holding register whose safe value is 7."""
    plan = device(hold=0)
    setpoint = PollGroup(
        index=3, area="holding_registers", start=2, count=1, output=True, offset=1, size=2
    )
    return msgspec.structs.replace(
        plan,
        groups=(*plan.groups, setpoint),
        output_size=3,
        safe_outputs=plan.safe_outputs + SAFE_SETPOINT.to_bytes(2, "big"),
        hold_mask=bytes(3),
    )


def commit(cell: Cell, setpoint: int, *, enabled: bool = True) -> None:
    cell.image.device(0).publish_outputs(b"\x05" + setpoint.to_bytes(2, "big"), 1, enabled)


async def runs(peer: Coupler, cell: Cell) -> None:
    commit(cell, SETPOINT)
    await eventually(lambda: (peer.coils, peer.holding[2]) == (0b0101, SETPOINT), "running")


async def test_outputs_beside_a_refused_group_fall_to_their_safe_values(tmp_path: Path) -> None:
    async with coupler() as peer, polling(peer, tmp_path, plan=with_setpoint()) as rig:
        await runs(peer, rig.cell)
        peer.refuse[15] = 2
        commit(rig.cell, SETPOINT, enabled=False)
        await eventually(lambda: peer.holding[2] == SAFE_SETPOINT, "the setpoint is safe")
        assert peer.coils == 0b0101
        await eventually(
            lambda: rig.cell.statuses[0] == quality.BAD_DEVICE_FAILURE, "the refusal shows"
        )
        assert rig.cell.statuses[3] == quality.GOOD
        peer.refuse.clear()
        await eventually(lambda: peer.coils == 0b0010, "and the coils once they are taken")


async def test_outputs_beside_a_refused_group_follow_the_scan(tmp_path: Path) -> None:
    async with coupler() as peer, polling(peer, tmp_path, plan=with_setpoint()) as rig:
        peer.refuse[15] = 2
        commit(rig.cell, SETPOINT)
        await eventually(lambda: peer.holding[2] == SETPOINT, "the setpoint is driven")
        commit(rig.cell, SETPOINT + 1)
        await eventually(lambda: peer.holding[2] == SETPOINT + 1, "and follows")


class DefectiveModbus(ModbusTcp):
    """Its reads fail in a way that no driver should."""

    broken = False

    async def read(self, group: PollGroup) -> bytes:
        if self.broken:
            raise ZeroDivisionError("a defect")
        return await super().read(group)


async def test_a_loop_that_ends_by_a_defect_leaves_no_group_out_because_another_is_refused(
    tmp_path: Path,
) -> None:
    async with coupler() as peer:
        driver = DefectiveModbus("remote_io", ModbusOptions(host="127.0.0.1", port=peer.port))
        async with polling(peer, tmp_path, plan=with_setpoint(), driver=driver) as rig:
            await runs(peer, rig.cell)
            peer.refuse[15] = 2
            driver.broken = True
            with pytest.raises(ZeroDivisionError):
                await rig.run
            assert peer.holding[2] == SAFE_SETPOINT
