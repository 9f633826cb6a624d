"""Runs a page of the documentation: its commands, its files and its changes to files, in order.

What a page may hold (other fenced blocks are only shown):

- ``console``: lines ``$ command`` and what it prints. ``...`` stands for anything, alone on a line
  for any number of lines. A command must succeed unless ``$ echo $?`` follows it.
- ``console terminal=N``: the last command goes on running in terminal N and must print what is
  shown. A block that begins with ``^C`` presses Ctrl-C there and waits for the end.
- ``console figures-vary``: numbers are compared as numbers, not by their value.
- ``diff`` with ``--- file``: the lines are replaced in that file.
- ``python``, ``lua``, ``yaml`` whose first line is a comment with a file name: the file is written.

A word of the info string that the reader does not see changes nothing on the page.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from typer.testing import CliRunner

from cellwright.runtime.cli.main import app

PATIENCE_S = 60.0
"""Longest wait for one command, and for what a running one is to print."""
PAUSE_S = (0.2, 2.0)
"""Between two tries of a command, growing: to start one takes a core from the cell it asks for."""
READING = (
    "cellwright tags list",
    "cellwright tags get",
    "cellwright status",
    "cellwright watch",
    "cellwright alarms",
)
REPEATED = (
    *READING,
    "cellwright events",
    "cellwright mes",
    "uaread",
    "uals",
    "python",
    "cellwright start",
    "cellwright reset",
)
"""Commands that are tried again until they print what the page says: a cell needs its moment."""

TALKING = (
    *("tags", "status", "start", "stop", "pause", "resume", "reset", "force", "unforce"),
    *("alarms", "ack", "shelve", "unshelve"),
)
"""Commands that only talk to a running cell: they are typed in this process, the same code without
the start of another Python. All others, and whatever needs a shell, are processes of their own."""

_SHELL = frozenset("|&;<>$`*?~()\\")
_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^(?:#|--) (?P<name>[\w./-]+\.(?:py|lua|yaml))$")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_TIME = re.compile(r"\b\d\d:\d\d:\d\d\b")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    line: int
    language: str
    words: frozenset[str]
    body: str

    @property
    def terminal(self) -> str:
        """Number of the terminal in which the last command stays; empty for none."""
        return next((w.partition("=")[2] for w in self.words if w.startswith("terminal=")), "")


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    for match in _FENCE.finditer(page):
        language, *words = match["info"].split() or [""]
        line = page.count("\n", 0, match.start()) + 1
        yield Block(line, language, frozenset(words), match["body"])


def commands(body: str) -> list[tuple[str, list[str]]]:
    """Each command of a console block with the lines that it prints."""
    found: list[tuple[str, list[str]]] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.startswith("> ") and found and found[-1][0].endswith("\\"):
            found[-1] = (found[-1][0][:-1] + line[2:], [])
        elif line == "^C":
            found.append(("^C", []))
        elif found:
            found[-1][1].append(line)
        else:
            raise AssertionError(f"a console block begins with a command, not with {line!r}")
    return found


def matches(expected: list[str], printed: list[str], *, figures_vary: bool = False) -> bool:
    """True when the lines are those that the page shows; white space is one blank."""
    wanted = [_pattern(line, figures_vary) for line in expected if line.strip()]
    got = [" ".join(_TIME.sub("00:00:00", line).split()) for line in printed if line.strip()]
    return _match(wanted, got)


def _pattern(line: str, figures_vary: bool) -> re.Pattern[str] | None:
    text = " ".join(_TIME.sub("00:00:00", line).split())
    if text == "...":
        return None
    parts = []
    for piece in text.split("..."):
        if figures_vary:
            parts.append(_NUMBER.pattern.join(re.escape(p) for p in _NUMBER.split(piece)))
        else:
            parts.append(re.escape(piece))
    return re.compile(".*".join(parts))


def _match(wanted: list[re.Pattern[str] | None], got: list[str]) -> bool:
    if not wanted:
        return not got
    first, rest = wanted[0], wanted[1:]
    if first is None:
        return any(_match(rest, got[skip:]) for skip in range(len(got) + 1))
    return bool(got) and first.fullmatch(got[0]) is not None and _match(rest, got[1:])


@dataclass
class _Terminal:
    process: subprocess.Popen[bytes]
    output: Path
    shown: int = 0
    """Lines that earlier blocks have accounted for."""

    def lines(self) -> list[str]:
        return self.output.read_text(encoding="utf-8").splitlines()[self.shown :]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@dataclass
class Walkthrough:
    """A folder in which pages are followed; a context manager that ends what it started.

    ``swaps`` replaces words of the page (a port, a folder) by those of the test, everywhere.
    """

    folder: Path
    swaps: Mapping[str, str] = field(default_factory=dict)

    def __enter__(self) -> Self:
        memory = Path("/dev/shm")
        self._run = tempfile.mkdtemp(prefix="cw-", dir=memory if memory.is_dir() else None)
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "CELLWRIGHT_RUN": self._run,
            "COLUMNS": "100",
            "NO_COLOR": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.place = self.folder
        self._code = 0
        self._terminals: dict[str, _Terminal] = {}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for terminal in reversed(self._terminals.values()):
            terminal.end()
        shutil.rmtree(self._run, ignore_errors=True)

    def follow(self, page: Path) -> int:
        """Do all that the page says; gives the number of its commands. Raises AssertionError."""
        count = 0
        for block in blocks(page.read_text(encoding="utf-8")):
            where = f"{page.name}:{block.line}"
            body = self._swapped(block.body)
            if block.language == "console":
                count += self._console(where, block, body)
            elif block.language == "diff":
                self._change(where, body)
            elif block.language in ("python", "lua", "yaml"):
                self._write(body)
        return count

    def _swapped(self, text: str) -> str:
        for word, ours in self.swaps.items():
            text = text.replace(word, ours)
        return text

    # --- files ------------------------------------------------------------------------------------

    def _write(self, body: str) -> None:
        match = _FILE.match(body.split("\n", 1)[0])
        if match is not None:
            (self.place / match["name"]).write_text(body, encoding="utf-8")

    def _change(self, where: str, body: str) -> None:
        header, *lines = body.splitlines()
        assert header.startswith("--- "), f"{where}: a diff begins with `--- file`"
        path = self.place / header[4:]
        old = "".join(line[1:] + "\n" for line in lines if line[:1] != "+")
        new = "".join(line[1:] + "\n" for line in lines if line[:1] != "-")
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{where}: {path.name} has {text.count(old)} times:\n{old}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def _swap_in_cells(self) -> None:
        """A file that `init` wrote has the port of the page, whichever was free."""
        for path in self.folder.rglob("cell.yaml"):
            text = path.read_text(encoding="utf-8")
            as_on_page = re.sub(r"127\.0\.0\.1:48[4-9]\d", "127.0.0.1:4840", text)
            if self._swapped(as_on_page) != text:
                path.write_text(self._swapped(as_on_page), encoding="utf-8")

    # --- commands ---------------------------------------------------------------------------------

    def _console(self, where: str, block: Block, body: str) -> int:
        todo = commands(body)
        vary = "figures-vary" in block.words
        for number, (command, expected) in enumerate(todo, 1):
            may_fail = number < len(todo) and todo[number][0] == "echo $?"
            if command == "^C":
                self._interrupt(where, block.terminal, expected)
            elif block.terminal and number == len(todo):
                self._launch(where, block.terminal, command, expected)
            elif command.startswith("cd "):
                self.place = Path(os.path.normpath(self.place / command[3:]))
            elif command.startswith("export "):
                name, _, value = command[7:].partition("=")
                self.environment[name] = self._expanded(value)
            else:
                self._do(where, command, expected, vary, may_fail)
        return len(todo)

    def _do(
        self, where: str, command: str, expected: list[str], vary: bool, may_fail: bool
    ) -> None:
        deadline = time.monotonic() + (PATIENCE_S if command.startswith(REPEATED) else 0)
        pause_s, longest_s = PAUSE_S
        while True:
            for terminal in self._terminals.values():
                terminal.process.poll()  # a killed one must not stay as a zombie
            code, printed = self._shell(command)
            right = matches(expected, printed.splitlines(), figures_vary=vary)
            if right and (may_fail or code == 0):
                break
            assert time.monotonic() < deadline, (
                f"{where}: `{command}` ended with {code} and printed\n{printed}\n"
                "the page says\n" + "\n".join(expected) + self._state()
            )
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, longest_s)
        self._code = code
        self._swap_in_cells()

    def _state(self) -> str:
        """How the cell is, for whoever must find out why a page is not right."""
        if not self._terminals:
            return ""
        _, status = self._shell("cellwright status")
        return "\n".join(
            [
                "\nthe cell is",
                status,
                "its terminal shows",
                *(line for terminal in self._terminals.values() for line in terminal.lines()),
            ]
        )

    def _shell(self, command: str) -> tuple[int, str]:
        if not _SHELL & set(command):
            name, *words = shlex.split(command)
            if name == "cellwright" and words[:1] and words[0] in TALKING:
                return self._type(words)
        done = subprocess.run(
            ["bash", "-c", f"(exit {self._code}); {command}"],
            cwd=self.place,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return done.returncode, done.stdout

    def _type(self, words: list[str]) -> tuple[int, str]:
        with contextlib.chdir(self.place):
            result = CliRunner().invoke(app, words, env=self.environment)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output

    def _expanded(self, value: str) -> str:
        """What the shell makes of the right side of an export."""
        code, text = self._shell(f"printf %s {value}")
        assert code == 0, f"export of {value}: {text}"
        return text

    def _launch(self, where: str, name: str, command: str, expected: list[str]) -> None:
        assert name not in self._terminals, f"{where}: something runs in terminal {name} already"
        output = Path(self._run) / f"terminal-{name}.txt"
        with output.open("wb") as stream:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.place,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        self._terminals[name] = terminal = _Terminal(process, output)
        self._await(where, terminal, expected)

    def _await(self, where: str, terminal: _Terminal, expected: list[str]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not matches(expected, terminal.lines()):
            code = terminal.process.poll()
            told = "\n".join([*terminal.lines(), "the page says", *expected])
            assert code is None, f"{where}: ended with {code} and printed\n{told}"
            assert time.monotonic() < deadline, f"{where}: runs and printed\n{told}"
            time.sleep(0.05)
        terminal.shown += len(terminal.lines())

    def _interrupt(self, where: str, name: str, expected: list[str]) -> None:
        assert name in self._terminals, f"{where}: nothing runs in terminal {name!r}"
        terminal = self._terminals[name]
        terminal.process.send_signal(signal.SIGINT)
        code = terminal.process.wait(PATIENCE_S)
        del self._terminals[name]
        printed = terminal.lines()
        assert code == 0, f"{where}: ended with {code} after Ctrl-C and printed {printed}"
        assert matches(expected, printed), f"{where}: printed {printed}"
