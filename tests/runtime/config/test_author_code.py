"""A module that never ends, or that plays Ctrl-C, is a complaint with its line."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cellwright.runtime.config import check_file
from cellwright.runtime.config.sections.sizes import parse_size
from cellwright.runtime.config.tasks import author_code
from support.config_corpus import copy_bench


@pytest.fixture(autouse=True)
def free_timer() -> Iterator[None]:
    """The limit of time of the test itself has the timer that is tried here."""
    held = signal.setitimer(signal.ITIMER_REAL, 0.0)
    yield
    signal.setitimer(signal.ITIMER_REAL, *held)


def problems(folder: Path, text: str) -> list[str]:
    file = copy_bench(folder)
    (folder / "bench_programs.py").write_text(text)
    return [str(problem) for problem in check_file(file).problems]


@pytest.mark.parametrize(
    "loop",
    [
        "while True: pass",
        "import time; time.sleep(1e6)",
        "while True:\n    try:\n        x = 1\n    except Exception:\n        pass",
        "import threading; threading.Event().wait()",
    ],
)
def test_a_module_that_never_ends_is_told_by_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    monkeypatch.setattr(author_code.bounded.__wrapped__, "__defaults__", (0.5,))
    before = signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGINT)
    told = [line for line in problems(tmp_path, f"\n{loop}\n") if "to its end" in line]
    assert told
    assert "not done within 0.5 s (bench_programs.py:" in told[0]
    assert (signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGINT)) == before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0.0


def test_a_module_that_raises_an_interrupt_is_told_and_ctrl_c_still_ends_the_command(
    tmp_path: Path,
) -> None:
    told = problems(tmp_path, "\nraise KeyboardInterrupt\n")
    assert any("it raises KeyboardInterrupt (bench_programs.py:2)" in line for line in told)
    # Ignored where the tests run in the background of a script.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            problems(tmp_path, "import time\ntime.sleep(10)\n")
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_size_with_a_decimal_comma_gets_the_decimal_point_as_remedy() -> None:
    with pytest.raises(Exception, match="not a size") as caught:
        parse_size("1,5GiB")
    assert "write a decimal point: 1.5GiB" in str(caught.value.context)
