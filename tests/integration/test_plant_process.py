"""The plant as a process: command line, ready file, control port, signals, parents that die."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cellwright.io.cameras.frames import FrameError, FrameRing, ring_path
from plant import PlantError, PlantProcess, launch
from plant.hand import Modbus
from plant.process import _environment

SMALL = (320, 240)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "plant", *arguments]
    return subprocess.run(
        command, env=_environment(), capture_output=True, text=True, timeout=30, check=False
    )


def test_help_names_every_kind_of_fault() -> None:
    result = run("--help")
    assert result.returncode == 0
    for kind in ("missing_pin", "wrong_dot", "wrong_content", "stuck_clamp", "dead_coupler"):
        assert kind in result.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--fault", "nonsense@3"), "'nonsense' is not a kind of fault"),
        (("--modbus-port", "70000"), "'70000' is not a port"),
        (("--speed", "0"), "'0' is not a number above 0"),
        (("--size", "big"), "'big' is not a size"),
        (("--parts", "-1"), "'-1' is not a whole number"),
    ],
)
def test_a_wrong_argument_is_refused_with_exit_code_2(
    arguments: tuple[str, ...], complaint: str
) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert complaint in result.stderr


def test_a_taken_port_is_named_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        camera = str(tmp_path / "ring")
        result = run("--modbus-port", port, "--marker-port", "0", "--camera", camera)
    assert result.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in result.stderr
    assert not Path(camera).exists()


def test_a_second_plant_that_finds_a_port_taken_leaves_the_camera_of_the_first_alone(
    tmp_path: Path,
) -> None:
    camera = str(tmp_path / "ring")
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        FrameRing.create(camera, 64, 64) as first,
    ):
        port = str(taken.getsockname()[1])
        result = run("--modbus-port", "0", "--marker-port", port, "--camera", camera)
        assert result.returncode == 1, result
        with FrameRing.attach(camera) as client:
            client.request()
            assert first.requested == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    plant = PlantProcess(size=SMALL, folder=tmp_path).start()
    os.kill(plant.pid, number)
    deadline = time.monotonic() + 20
    while plant.running:
        assert time.monotonic() < deadline, f"{number.name} did not end the plant"
        time.sleep(0.02)
    assert plant.stop() == 0
    assert plant.events("stopped")[0]["reason"] == number.name
    with pytest.raises(FrameError, match="there is no frame ring"):
        FrameRing.attach(plant.camera)
    assert (tmp_path / "plant.stderr").read_text() == ""


def test_it_ends_cleanly_while_clients_are_connected(tmp_path: Path) -> None:
    with PlantProcess(size=SMALL, folder=tmp_path) as plant:
        client = Modbus(plant.modbus_port)
        client.inputs()
        with socket.create_connection(("127.0.0.1", plant.marker_port)) as host:
            host.sendall(b"\x01G")
            assert plant.stop() == 0
        client.close()
    assert (tmp_path / "plant.stderr").read_text() == ""


def test_the_stop_command_ends_it(tmp_path: Path) -> None:
    plant = launch(size=SMALL, folder=tmp_path)
    assert plant.command({"stop": True}) == {"ok": True}
    assert plant.stop() == 0
    assert not plant.running


def test_it_ends_when_its_parent_dies(tmp_path: Path) -> None:
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from plant import PlantProcess\n"
        f"plant = PlantProcess(size={SMALL}, folder=Path(sys.argv[1])).start()\n"
        "print(plant.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        env=_environment(),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "the plant outlived its parent"
        time.sleep(0.05)
    log = (tmp_path / "plant.jsonl").read_text().splitlines()
    assert json.loads(log[-1])["reason"] == "parent gone"


def test_a_killed_plant_comes_back_on_its_ports(tmp_path: Path) -> None:
    with PlantProcess(size=SMALL, folder=tmp_path) as plant:
        ports = (plant.modbus_port, plant.marker_port, plant.control_port)
        ring = FrameRing.attach(plant.camera)
        plant.kill()
        plant.start()
        assert (plant.modbus_port, plant.marker_port, plant.control_port) == ports
        assert ring.stale
        ring.close()
        assert len(plant.events("started")) == 2
        plant.kill()
        assert ring_path(plant.camera).exists()
    assert not ring_path(plant.camera).exists()


def test_the_status_tells_positions_outputs_and_figures() -> None:
    with PlantProcess(parts=5, size=SMALL, faults=("wrong_dot@4",)) as plant:
        client = Modbus(plant.modbus_port)
        client.set(lamp_green=True)
        client.close()
        status = plant.status()
        assert status["outputs"]["lamp_green"] is True
        assert status["arrived"] == 0
        assert status["marker"] == "08;000"
        assert status["planned_faults"] == ["wrong_dot@4"]
        assert status["events"]["output"] == 1


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"no json\n", "not a JSON object"),
        (b"[1]\n", "one object with one key"),
        (b'{"status": true, "stop": true}\n', "one object with one key"),
        (b'{"dance": 1}\n', "'dance' is no command"),
        (b'{"fault": 5}\n', "write the fault as text"),
        (b'{"fault": "nonsense"}\n', "not a kind of fault"),
    ],
)
def test_a_wrong_command_is_refused_with_a_sentence(
    shared: PlantProcess, line: bytes, complaint: str
) -> None:
    with (
        socket.create_connection(("127.0.0.1", shared.control_port), 5) as connection,
        connection.makefile("rb") as stream,
    ):
        connection.sendall(line)
        answer = json.loads(stream.readline())
        assert answer["ok"] is False
        assert complaint in answer["error"]
        connection.sendall(b'{"status": true}\n')
        assert json.loads(stream.readline())["ok"] is True


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> object:
    with PlantProcess(size=SMALL, folder=tmp_path_factory.mktemp("shared")) as plant:
        yield plant


def test_a_line_without_end_is_cut_off_and_the_port_goes_on(shared: PlantProcess) -> None:
    with socket.create_connection(("127.0.0.1", shared.control_port), 5) as connection:
        connection.sendall(b"x" * 10_000)
        connection.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
    assert shared.status()["arrived"] == 0


def test_waiting_for_something_that_never_happens_tells_the_last_entries(
    shared: PlantProcess,
) -> None:
    with pytest.raises(PlantError, match=r"0 of 1 'ejected'.*started"):
        shared.wait_for("ejected", timeout_s=0.05)


def test_a_plant_that_cannot_start_says_why(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        plant = PlantProcess(size=SMALL, folder=tmp_path, marker_port=port)
        with pytest.raises(PlantError, match="ended at its start: plant: "):
            plant.start()
