"""A cell without devices for tests of the command line: what ``cellwright init`` writes, run.

The cell is a real one, with supervisor, scan and journal; only the OPC UA server is left out
because it takes seconds to start.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from typer.testing import CliRunner

from cellwright.runtime.cli.main import app
from cellwright.runtime.cli.templates.first_cell import write_template


def _make_patient(cell: Any) -> None:
    """Watchdogs that a machine which stands still for a second does not trip."""
    cell["scan"]["watchdog"] = {"time": "10s", "sensitivity": 2}
    for task in cell["tasks"].values():
        task["watchdog"] = {"time": "5s", "sensitivity": 2}


COMMAND = (sys.executable, "-m", "cellwright.runtime.cli")


@dataclass
class SmallCell:
    """The cell's folder and the way to type commands beside it."""

    folder: Path
    run: Path
    environment: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.environment = {**os.environ, "CELLWRIGHT_RUN": str(self.run), "COLUMNS": "200"}
        write_template(self.folder)
        yaml = YAML()
        cell = yaml.load(self.file)
        del cell["opcua"]
        cell["cell"]["name"] = "FirstCell"
        _make_patient(cell)
        yaml.dump(cell, self.file)

    def call_it_a_loop_after(self, deaths: int) -> None:
        """So many deaths of a process within ten minutes are a crash loop."""
        yaml = YAML()
        cell = yaml.load(self.file)
        cell["cell"]["crash_loop"] = {"deaths": deaths, "within": "10min"}
        yaml.dump(cell, self.file)

    @property
    def file(self) -> Path:
        """The cell's file."""
        return self.folder / "cell.yaml"

    def type(
        self, *words: str, cwd: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run ``cellwright`` with these words in this process, which is ten times as quick.

        Not for ``run``, which changes signals and logging of its process.
        """
        variables = {"CELLWRIGHT_RUN": str(self.run), "COLUMNS": "200", **environment}
        with contextlib.chdir(cwd or self.folder):
            result = CliRunner().invoke(app, list(words), env=variables)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return subprocess.CompletedProcess(words, result.exit_code, result.stdout, result.stderr)

    def command(
        self, *words: str, cwd: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """The same as a process of its own, as at a keyboard in the cell's folder."""
        return subprocess.run(
            [*COMMAND, *words],
            cwd=cwd or self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def launch(self, *words: str) -> subprocess.Popen[str]:
        """Begin ``cellwright run``."""
        return subprocess.Popen(
            [*COMMAND, "run", *words],
            cwd=self.folder,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @contextmanager
    def running(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """The cell in RUN; ended in order, and its exit code must be 0."""
        supervisor = self.launch(*words)
        try:
            self.until_said(supervisor, "RUN\n")
            yield supervisor
        finally:
            supervisor.send_signal(signal.SIGINT)
            try:
                rest, _ = supervisor.communicate(timeout=30)
            finally:
                supervisor.kill()
        assert supervisor.returncode == 0, rest

    @staticmethod
    def until_said(supervisor: subprocess.Popen[str], words: str) -> str:
        """Read its output up to a line with these words; what it said until then."""
        assert supervisor.stdout is not None
        said = ""
        deadline = time.monotonic() + 120
        while words not in said:
            line = supervisor.stdout.readline()
            assert line, f"it ended (exit code {supervisor.wait(10)}): {said}"
            assert time.monotonic() < deadline, said
            said += line
        return said
