"""The cell's own driver, marker and camera against the plant: two readings of each protocol."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from cellwright.io.cameras.shared_memory import SharedMemoryCamera, SharedMemoryCameraOptions
from cellwright.io.drivers.base import DriverError
from cellwright.io.drivers.modbus import ModbusOptions, ModbusTcp
from cellwright.io.markers.base import MarkContent, MarkerError, MarkOutcome
from cellwright.io.markers.telesis import Telesis, TelesisOptions
from cellwright.io.plan import PollGroup
from plant import PlantProcess
from plant.hand import Hand

CONTENT = MarkContent("BLADE", "[)>\x1e06\x1dS000001\x1e\x04", ("SN 000001", "P 99887"))


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[PlantProcess]:
    with PlantProcess(speed=20, folder=tmp_path) as plant:
        yield plant


@pytest.fixture
def hand(plant: PlantProcess) -> Iterator[Hand]:
    """A hand with a blade in the clamp."""
    with Hand(plant) as hand:
        hand.clamp_next()
        yield hand


def telesis(plant: PlantProcess, **options: float) -> Telesis:
    values = {"host": "127.0.0.1", "port": plant.marker_port, "poll_s": 0.02, **options}
    return Telesis("peen", TelesisOptions.model_validate(values))


def test_the_cells_marker_peens_a_blade_and_its_camera_sees_it(
    plant: PlantProcess, hand: Hand
) -> None:
    marker = telesis(plant)
    marker.connect()
    marker.prepare(CONTENT)
    result = marker.fire()
    marker.close()
    assert result.outcome is MarkOutcome.ACKNOWLEDGED
    assert plant.wait_for("marked", part=1)["content"] == CONTENT.symbol
    options = SharedMemoryCameraOptions(path=plant.camera, size=(1280, 1024), timeout_s=20)
    camera = SharedMemoryCamera("camera", options)
    frame = camera.capture(20)
    camera.close()
    framed = plant.wait_for("framed", frame=frame.number)
    assert framed["dots"] == plant.wait_for("marked")["dots"]


def test_the_cells_marker_is_refused_without_a_part_and_recovers(plant: PlantProcess) -> None:
    marker = telesis(plant)
    marker.connect()
    marker.prepare(CONTENT)
    result = marker.fire()
    assert result.outcome is MarkOutcome.FAILED
    assert "no part clamped" in result.detail
    with pytest.raises(MarkerError, match="not ready"):
        marker.fire()
    with Hand(plant) as hand:
        hand.clamp_next()
        marker.prepare(CONTENT)
        assert marker.fire().outcome is MarkOutcome.ACKNOWLEDGED
    marker.close()


@pytest.mark.parametrize(
    ("fault", "outcome", "mark_timeout_s"),
    [("lost_ack", MarkOutcome.ACKNOWLEDGED, 30), ("lost_ack:90s", MarkOutcome.UNKNOWN, 2)],
)
def test_a_lost_acknowledgement_never_makes_the_cell_mark_twice(
    plant: PlantProcess, hand: Hand, fault: str, outcome: MarkOutcome, mark_timeout_s: float
) -> None:
    marker = telesis(plant, answer_timeout_s=0.3, mark_timeout_s=mark_timeout_s, tries=5)
    marker.connect()
    marker.prepare(CONTENT)
    plant.inject(fault)
    assert marker.fire().outcome is outcome
    marker.close()
    plant.wait_for("marked", part=1)
    assert not plant.events("double_mark")
    assert len(plant.events("mark_started")) == 1


async def test_the_cells_modbus_driver_reads_and_writes_every_point(
    plant: PlantProcess, hand: Hand
) -> None:
    driver = ModbusTcp("remote_io", ModbusOptions(host="127.0.0.1", port=plant.modbus_port))
    await driver.connect()
    bits, words = {"size": 1}, {"size": 10}
    inputs = PollGroup(
        index=0, area="discrete_inputs", start=0, count=7, output=False, offset=0, **bits
    )
    analog = PollGroup(
        index=1, area="input_registers", start=0, count=5, output=False, offset=1, **words
    )
    coils = PollGroup(index=2, area="coils", start=0, count=7, output=True, offset=0, **bits)
    holding = PollGroup(
        index=3, area="holding_registers", start=0, count=2, output=True, offset=1, size=4
    )
    assert await driver.read(inputs) == bytes([0b1100011])
    counter, clamp, temperature, air = struct.unpack(">IHhH", await driver.read(analog))
    assert counter == 1
    assert 0 < clamp < 65535
    assert 150 < temperature < 300
    assert air > 30000
    await driver.write(coils, bytes([0b0110001]))
    await driver.write(holding, struct.pack(">HH", 1000, 77))
    named = hand.io.coils()
    assert [name for name, value in named.items() if value] == [
        "clamp_close",
        "lamp_green",
        "lamp_red",
    ]
    assert hand.io.holding_registers() == (1000, 77)
    await driver.close()


async def test_the_cells_modbus_driver_notices_a_dead_coupler(plant: PlantProcess) -> None:
    driver = ModbusTcp("remote_io", ModbusOptions(host="127.0.0.1", port=plant.modbus_port))
    await driver.connect()
    group = PollGroup(
        index=0, area="discrete_inputs", start=0, count=7, output=False, offset=0, size=1
    )
    await driver.read(group)
    plant.inject("dead_coupler:200ms")
    plant.wait_for("fault", kind="dead_coupler")
    with pytest.raises(DriverError) as caught:
        await driver.read(group)
    assert caught.value.lost
    plant.wait_for("fault_over")
    await driver.connect()
    assert len(await driver.read(group)) == 1
    await driver.close()
