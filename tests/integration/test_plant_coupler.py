"""The plant's Modbus coupler over a real socket: points, units, time stamps, clients that die."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from plant import PlantError, PlantProcess
from plant.hand import Hand, Modbus
from plant.points import COILS
from plant.watchdog import SAFE_COILS, START, STATUS, STOP, STOP_WORD, TIME, WatchdogState


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlantProcess]:
    folder = tmp_path_factory.mktemp("plant")
    with PlantProcess(speed=20, size=(320, 240), folder=folder) as plant:
        yield plant


@pytest.fixture
def io(plant: PlantProcess) -> Iterator[Modbus]:
    client = Modbus(plant.modbus_port)
    client.set_all(0)
    yield client
    client.close()


def test_every_unit_that_the_coupler_answers_shows_the_same_points(plant: PlantProcess) -> None:
    one, all_ones = Modbus(plant.modbus_port, 1), Modbus(plant.modbus_port, 0xFF)
    try:
        one.set(lamp_green=True)
        all_ones.set(lamp_red=True)
        one.set_register(0, 1234)
        assert one.coils() == all_ones.coils()
        assert one.coils()["lamp_green"]
        assert one.coils()["lamp_red"]
        assert all_ones.holding_registers()[0] == 1234
        assert one.inputs().keys() == all_ones.inputs().keys()
    finally:
        one.set_all(0)
        one.close()
        all_ones.close()


def test_an_unknown_unit_gets_an_exception_and_no_point(plant: PlantProcess) -> None:
    client = Modbus(plant.modbus_port, 7)
    with pytest.raises(PlantError, match="exception"):
        client.inputs()
    client.close()


@pytest.mark.parametrize(
    "pdu",
    [
        struct.pack(">BHH", 1, 16, 1),
        struct.pack(">BHH", 2, 100, 7),
        struct.pack(">BHH", 3, 2, 1),
        struct.pack(">BHH", 4, 0, 6),
        struct.pack(">BHH", 6, 2, 1),
    ],
)
def test_addresses_without_points_are_refused(io: Modbus, pdu: bytes) -> None:
    with pytest.raises(PlantError, match="exception 2"):
        io.request(pdu)


def test_registers_hold_a_counter_a_signed_temperature_and_pressures(io: Modbus) -> None:
    counter, clamp, temperature, air = io.input_registers()
    assert 0 <= counter < 100
    assert clamp == 0
    assert 150 < temperature < 300
    assert 5.0 < air / 65535 * 10 < 7.0


def test_a_write_is_stamped_between_sending_and_answer(plant: PlantProcess, io: Modbus) -> None:
    spans = []
    for value in (True, False) * 10:
        before = time.monotonic_ns()
        io.set(lamp_red=value)
        spans.append((before, time.monotonic_ns(), value))
    entries = plant.events("output", name="lamp_red")[-20:]
    for (before, after, value), entry in zip(spans, entries, strict=True):
        assert before <= entry["mono_ns"] <= after
        assert entry["value"] is value


def test_writing_all_coils_logs_only_those_that_change(plant: PlantProcess, io: Modbus) -> None:
    io.set_all(0b0110000)
    seen = len(plant.events("output"))
    io.set_all(0b1100000)
    changes = [(entry["name"], entry["value"]) for entry in plant.events("output")[seen:]]
    assert changes == [("lamp_green", False), ("marker_enable", True)]


def test_the_outputs_at_any_time_can_be_told_from_the_log(plant: PlantProcess, io: Modbus) -> None:
    io.set(lamp_green=True)
    between = time.monotonic_ns()
    io.set(lamp_green=False)
    assert plant.outputs_at(between)["lamp_green"] is True
    assert plant.outputs_at(time.monotonic_ns())["lamp_green"] is False


def test_a_client_that_dies_in_the_middle_of_a_request_disturbs_nobody(
    plant: PlantProcess, io: Modbus
) -> None:
    whole = struct.pack(">HHHBBHH", 1, 0, 6, 1, 5, 5, 0xFF00)
    for cut in range(len(whole)):
        victim = socket.create_connection(("127.0.0.1", plant.modbus_port))
        # Linger 0 resets the connection, as the kernel does for a killed process.
        victim.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        victim.sendall(whole[:cut])
        victim.close()
        io.set(lamp_red=bool(cut % 2))
        assert io.coils()["lamp_red"] == bool(cut % 2)
    gone = len(plant.events("coupler_disconnected"))
    assert gone >= len(whole)


def test_rubbish_on_the_line_does_not_stop_the_coupler(plant: PlantProcess, io: Modbus) -> None:
    for rubbish in (b"\0" * 300, b"\xff" * 600, bytes(range(256)), b"GET / HTTP/1.1\r\n\r\n"):
        noise = socket.create_connection(("127.0.0.1", plant.modbus_port))
        noise.sendall(rubbish)
        assert io.inputs()["estop_ok"]
        noise.close()


def test_connections_are_logged_with_their_peer(plant: PlantProcess) -> None:
    client = Modbus(plant.modbus_port)
    client.inputs()
    host, port = client.socket.getsockname()
    client.close()
    assert plant.wait_for("coupler_connected", peer=f"{host}:{port}")
    assert plant.wait_for("coupler_disconnected", peer=f"{host}:{port}")


def test_a_dead_coupler_drops_and_refuses_everyone_and_comes_back_on_its_port() -> None:
    with PlantProcess(speed=20, size=(320, 240)) as plant:
        client = Modbus(plant.modbus_port)
        client.set(lamp_green=True)
        plant.inject("dead_coupler:300ms")
        plant.wait_for("fault", kind="dead_coupler")
        with pytest.raises(ConnectionError):
            client.inputs()
        client.close()
        with pytest.raises(ConnectionRefusedError):
            Modbus(plant.modbus_port)
        plant.wait_for("fault_over", kind="dead_coupler")
        again = Modbus(plant.modbus_port)
        assert again.coils()["lamp_green"]
        again.close()


def test_the_heartbeat_is_counted_and_a_long_gap_is_logged(tmp_path: Path) -> None:
    extra = ("--heartbeat-ms", "50")
    with PlantProcess(size=(320, 240), folder=tmp_path, extra=extra) as plant:
        client = Modbus(plant.modbus_port)
        for word in (65533, 65534, 65534, 65535, 0, 3):
            client.set_register(1, word)
        time.sleep(0.4)
        client.set_register(1, 4)
        figures = plant.status()["heartbeat"]
        client.close()
        assert figures["changes"] == 5
        assert figures["advance"] == 7
        assert figures["largest_step"] == 3
        assert figures["largest_gap_ns"] >= 400_000_000
        gap = plant.wait_for("heartbeat_gap")
        assert gap["gap_ns"] == figures["largest_gap_ns"]
        assert plant.stop() == 0
        assert plant.events("stopped")[0]["heartbeat"]["changes"] == 5


def test_the_nominal_beat_is_learnt_when_it_is_not_given(plant: PlantProcess) -> None:
    client = Modbus(plant.modbus_port)
    for word in range(1, 70):
        client.set_register(1, word)
        time.sleep(0.002)
    client.close()
    assert 2_000_000 <= plant.status()["heartbeat"]["nominal_ns"] < 50_000_000


def test_outputs_keep_their_last_state_when_the_controller_is_gone(plant: PlantProcess) -> None:
    client = Modbus(plant.modbus_port)
    client.set(lamp_green=True)
    client.close()
    with Hand(plant) as hand:
        assert hand.io.coils()["lamp_green"]


def word(io: Modbus, register: int) -> int:
    return int.from_bytes(io.request(struct.pack(">BHH", 3, register, 1))[2:4], "big")


def test_the_couplers_watchdog_gives_the_safe_values_and_refuses_until_it_is_started_again(
    plant: PlantProcess, io: Modbus
) -> None:
    io.request(struct.pack(">BHHBB", 15, SAFE_COILS, len(COILS), 1, 0b0100000))
    io.set_register(TIME, 60_000)
    io.set_register(START, 1)
    assert word(io, STATUS) == WatchdogState.RUNS
    with pytest.raises(PlantError, match="exception 3"):
        io.set_register(TIME, 20)
    io.set(clamp_close=True)
    io.set_register(STOP, STOP_WORD)
    io.set_register(TIME, 20)
    io.set_register(START, 1)
    begin_ns = time.monotonic_ns()
    plant.wait_for("coupler_watchdog")
    fallen = plant.wait_for("output", name="clamp_close", value=False)
    assert fallen["mono_ns"] - begin_ns >= 10_000_000, "not before its time"
    assert word(io, STATUS) == WatchdogState.RAN_OUT
    assert [name for name, value in io.coils().items() if value] == ["lamp_red"]
    with pytest.raises(PlantError, match="exception 4"):
        io.set(clamp_close=True)
    io.set_register(STOP, STOP_WORD)
    io.set(clamp_close=True)
    assert io.coils()["clamp_close"]
