"""Starts the plant as a process of its own, for tests and the demo, and reads its log.

It talks to the plant through the control port and the log file only; what it starts it ends.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cellwright.io.cameras.frames import ring_path

_EXAMPLE = Path(__file__).resolve().parent.parent
_PAUSE_S = 0.01


class PlantError(Exception):
    """The plant did not start, answer or do what was waited for."""


class PlantProcess:
    """One plant; a context manager that starts it and stops it.

    ``faults`` are written as on the command line. Ports 0 are chosen by the system; the actual
    ones stand in the attributes after `start`. ``folder`` keeps the log and the ready file; without
    it they go into a temporary folder that disappears with the plant.
    """

    def __init__(
        self,
        *,
        parts: int = 0,
        seed: int = 1,
        speed: float = 1.0,
        faults: tuple[str, ...] = (),
        camera: str | None = None,
        size: tuple[int, int] = (1280, 1024),
        modbus_port: int = 0,
        marker_port: int = 0,
        control_port: int = 0,
        folder: Path | None = None,
        extra: tuple[str, ...] = (),
    ) -> None:
        self.modbus_port = modbus_port
        self.marker_port = marker_port
        self.control_port = control_port
        self._own_camera = camera is None
        self.camera = camera or f"plant-{uuid.uuid4().hex[:12]}"
        self._own_folder = folder is None
        self.folder = (
            Path(tempfile.mkdtemp(prefix="plant-")) if folder is None else folder.resolve()
        )
        self.log_path = self.folder / "plant.jsonl"
        self._ready_file = self.folder / f"plant-{uuid.uuid4().hex[:8]}.ready"
        self._arguments = [
            *("--parts", str(parts), "--seed", str(seed), "--speed", str(speed)),
            *("--camera", self.camera, "--size", f"{size[0]}x{size[1]}"),
            *("--log", str(self.log_path), "--ready-file", str(self._ready_file)),
            *(word for fault in faults for word in ("--fault", fault)),
            *extra,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    # --- Life -------------------------------------------------------------------------------------

    def start(self, timeout_s: float = 20.0) -> Self:
        """Start the process and wait until everything listens; raises PlantError.

        After `kill` it may be called again; the plant then comes back on the same ports.
        """
        ports = {
            "--modbus-port": self.modbus_port,
            "--marker-port": self.marker_port,
            "--control-port": self.control_port,
        }
        command = [sys.executable, "-m", "plant", *self._arguments]
        for name, port in ports.items():
            command += [name, str(port)]
        self._ready_file.unlink(missing_ok=True)
        with (self.folder / "plant.stderr").open("wb") as stderr:
            self._process = subprocess.Popen(
                command,
                env=_environment(),
                cwd=_EXAMPLE,
                stdin=subprocess.DEVNULL,
                stderr=stderr,
            )
        deadline = time.monotonic() + timeout_s
        while not self._ready_file.exists():
            if self._process.poll() is not None:
                raise PlantError(f"the plant ended at its start: {self._stderr()}")
            if time.monotonic() > deadline:
                self.kill()
                raise PlantError(f"the plant was not ready within {timeout_s:g} s")
            time.sleep(_PAUSE_S)
        ready = json.loads(self._ready_file.read_text(encoding="utf-8"))
        self.modbus_port = ready["modbus_port"]
        self.marker_port = ready["marker_port"]
        self.control_port = ready["control_port"]
        return self

    def stop(self, timeout_s: float = 10.0) -> int:
        """End it with SIGTERM and return its exit code; kills it when it does not end in time."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.terminate()
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise PlantError(f"the plant did not end within {timeout_s:g} s") from error
        self._process = None
        return code

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def pid(self) -> int:
        """The plant's process."""
        if self._process is None:
            raise PlantError("the plant does not run")
        return self._process.pid

    @property
    def running(self) -> bool:
        """True until the process has ended."""
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        finally:
            if self._own_camera:
                # A plant that was killed leaves its ring in memory; nobody else knows its name.
                ring_path(self.camera).unlink(missing_ok=True)
            if self._own_folder:
                shutil.rmtree(self.folder, ignore_errors=True)

    # --- Control port -----------------------------------------------------------------------------

    def command(self, request: dict[str, Any], timeout_s: float = 5.0) -> dict[str, Any]:
        """Send one line to the control port; raises PlantError when the plant refuses it."""
        address = ("127.0.0.1", self.control_port)
        try:
            with (
                socket.create_connection(address, timeout_s) as connection,
                connection.makefile("rw", encoding="utf-8") as stream,
            ):
                stream.write(json.dumps(request) + "\n")
                stream.flush()
                line = stream.readline()
        except OSError as error:
            raise PlantError(f"the plant does not answer {request}: {error}") from error
        if not line:
            raise PlantError(f"the plant hung up on {request}; see its log")
        answer: dict[str, Any] = json.loads(line)
        if not answer["ok"]:
            raise PlantError(f"the plant refused {request}: {answer['error']}")
        return answer

    def inject(self, fault: str) -> None:
        """Plan a fault, written ``kind[@part][:duration]``."""
        self.command({"fault": fault})

    def status(self) -> dict[str, Any]:
        """Where everything is, the outputs, the heartbeat's figures and counts of events."""
        status: dict[str, Any] = self.command({"status": True})["status"]
        return status

    # --- Log --------------------------------------------------------------------------------------

    def events(self, event: str | None = None, **fields: Any) -> list[dict[str, Any]]:
        """Entries of the log so far, all or those with that ``event`` and those ``fields``."""
        if not self.log_path.exists():
            return []
        found = []
        for line in self.log_path.read_text(encoding="utf-8").splitlines(keepends=True):
            if not line.endswith("\n"):
                break  # the plant is in the middle of writing it
            entry: dict[str, Any] = json.loads(line)
            wanted = {} if event is None else {"event": event}
            if (wanted | fields).items() <= entry.items():
                found.append(entry)
        return found

    def wait_for(
        self, event: str, *, timeout_s: float = 20.0, count: int = 1, **fields: Any
    ) -> dict[str, Any]:
        """Wait until the log holds ``count`` such events and return the last of them."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = self.events(event, **fields)
            if len(found) >= count:
                return found[count - 1]
            if time.monotonic() > deadline:
                raise PlantError(
                    f"{len(found)} of {count} '{event}' {fields} within {timeout_s:g} s; "
                    f"the last entries: {self.events()[-5:]}"
                )
            time.sleep(_PAUSE_S)

    def outputs_at(self, mono_ns: int) -> dict[str, bool | int]:
        """Every output that ever changed, with its value at that time of CLOCK_MONOTONIC."""
        state: dict[str, bool | int] = {}
        for entry in self.events("output"):
            state.setdefault(entry["name"], False)
            if entry["mono_ns"] <= mono_ns:
                state[entry["name"]] = entry["value"]
        return state

    def _stderr(self) -> str:
        text = (self.folder / "plant.stderr").read_text(encoding="utf-8", errors="replace")
        return text.strip()[-2000:] or "it said nothing"


def launch(**options: Any) -> PlantProcess:
    """Start a plant with the options of `PlantProcess` and return it running."""
    return PlantProcess(**options).start()


def _environment() -> dict[str, str]:
    """The environment of the child: it must find this package and ``cellwright`` as we do."""
    paths = [str(_EXAMPLE), *(path for path in sys.path if path)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}
