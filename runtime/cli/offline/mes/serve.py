"""``cellwright mes serve``: the MES over HTTP without a cell, for the server of a plant.

Starts the web processes, starts one again that ended, and ends them all; what they do is theirs.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from cellwright.runtime.cli.common import counted, fail, warn

MODULE: Final = "cellwright.runtime.processes.web"
LOOK_S: Final = 0.1
PAUSE_S: Final = 1.0
"""Before a worker that ended is started again."""
STOP_S: Final = 10.0


@dataclass
class _Worker:
    number: int
    popen: subprocess.Popen[bytes] | None = None
    due_s: float = 0.0


def serve(  # noqa: PLR0917 - as many as the command has options
    database: Annotated[
        str,
        typer.Option(
            envvar="CELLWRIGHT_DATABASE",
            help="SQLAlchemy URL. In the environment nobody reads the password in a list of "
            "processes.",
        ),
    ],
    secrets: Annotated[Path, typer.Option(help="Folder with the keys of the MES.")],
    listen: Annotated[
        str, typer.Option(help="Address and port. Plain HTTP only on this machine.")
    ] = "127.0.0.1:8080",
    workers: Annotated[int, typer.Option(min=1, max=32, help="Processes that answer.")] = 1,
    certificate: Annotated[
        Path | None, typer.Option(help="PEM file with the server's certificate, for TLS.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file with its private key.")] = None,
    client_ca: Annotated[
        Path | None, typer.Option(help="PEM file with who signs client certificates.")
    ] = None,
) -> None:  # fmt: skip
    """Serve the MES over HTTP without a cell, until interrupted."""
    from cellwright.io.plan import WebSettings  # noqa: PLC0415
    from cellwright.runtime.cell.standalone_web import StandaloneWeb  # noqa: PLC0415
    from cellwright.runtime.config.sections import addresses  # noqa: PLC0415

    match = addresses.LISTEN.fullmatch(listen)
    if match is None or not 0 < int(match[2]) <= 65535:
        fail(f"--listen: '{listen}' is no address and port; write one like 127.0.0.1:8080", 2)
    host, port = addresses.host_and_port(listen)
    if (certificate is None) != (key is None):
        fail("--certificate and --key belong together; give both or none", 2)
    if certificate is None and not addresses.on_this_machine(host):
        fail(
            f"--listen: {listen} without TLS lets the network read passwords; give --certificate "
            "and --key, or listen on 127.0.0.1",
            2,
        )
    for option, file in (("certificate", certificate), ("key", key), ("client-ca", client_ca)):
        if file is not None and not file.is_file():
            fail(f"--{option}: there is no file '{file}'; create it or correct the name", 2)
    folder = Path(tempfile.mkdtemp(prefix="cellwright-web-"))
    spec = StandaloneWeb(
        web=WebSettings(
            host=host,
            port=port,
            certificate=_absolute(certificate),
            key=_absolute(key),
            client_ca=_absolute(client_ca),
            workers=workers,
        ),
        database=database,
        secrets=_absolute(secrets),
        folder=str(folder),
    )
    typer.echo(
        f"serving the MES at {'https' if certificate else 'http'}://{listen} with "
        f"{counted(workers, 'worker')}; Ctrl-C ends it"
    )
    try:
        _keep(msgspec.json.encode(spec), workers)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _absolute(file: Path | None) -> str:
    return "" if file is None else os.path.abspath(file)


def _keep(spec: bytes, count: int) -> None:
    """Keep the workers alive until SIGINT or SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    workers = [_Worker(number) for number in range(1, count + 1)]
    try:
        while not stop.is_set():
            for worker in workers:
                _look_after(worker, spec)
            stop.wait(LOOK_S)
    finally:
        _end(workers)


def _look_after(worker: _Worker, spec: bytes) -> None:
    now_s = time.monotonic()
    if worker.popen is not None and worker.popen.poll() is not None:
        code = worker.popen.returncode
        warn(f"worker {worker.number} ended (exit code {code}) and is started again")
        worker.popen, worker.due_s = None, now_s + PAUSE_S
    if worker.popen is None and now_s >= worker.due_s:
        words = [sys.executable, "-m", MODULE, "--worker", str(worker.number)]
        worker.popen = subprocess.Popen(words, stdin=subprocess.PIPE)
        assert worker.popen.stdin is not None
        try:
            with worker.popen.stdin as pipe:
                pipe.write(spec)
        except BrokenPipeError:
            return  # it has ended already, which the next look finds


def _end(workers: list[_Worker]) -> None:
    running = [worker.popen for worker in workers if worker.popen is not None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + STOP_S
    for process in running:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
