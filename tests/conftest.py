"""What holds for all tests: order, properties, peers and the memory of the processes that run them.

Two processes share the tests: one takes all that start a cell, one after the other, so that a scan
never competes with another one; the other takes what is left, and gives way. Peers are programs
that are not ours; one that cannot be had is told loudly at the end.
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
import resource
from collections.abc import Callable, Generator
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

from support.campaign import load_profile
from support.node_peer import install

load_profile()

_MISSING = re.compile(r"peer (\S+) is missing: (.*)", re.DOTALL)
_CELL = "cell"
"""Group of the tests that start cells."""
_CELL_FOLDERS = ("integration", "chaos")
_CELL_MODULES = frozenset({"support.cells", "support.small_cell", "support.walkthrough"})
"""What starts cells: a test module that has anything of these starts some."""
_GIVE_WAY = 10
"""Nice value of the process whose tests start no cell."""
_MOST_RERUNS = 5
"""Beyond, it is not the machine that was busy."""

_TESTS = Path(__file__).parent
_STARTS_CELL = pytest.StashKey[bool]()
_PAGES = pytest.StashKey[int]()
"""Resident memory up to which no garbage is looked for."""
_MORE_PAGES = 64 * 1024 * 1024 // resource.getpagesize()


def _resident_pages() -> int:
    return int(Path("/proc/self/statm").read_bytes().split()[1])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Properties belong to the campaign; tests that start cells stay together, modules whole.

    A test of a cell that fails is run once more, and told: a busy machine may take the processor
    from a real process for longer than any plant would.
    """
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker("campaign")
        if _starts_a_cell(item):
            item.stash[_STARTS_CELL] = True
            item.add_marker(pytest.mark.xdist_group(_CELL))
            item.add_marker(pytest.mark.flaky(reruns=1))
        else:
            item.stash[_STARTS_CELL] = False
            item.add_marker(pytest.mark.xdist_group(str(item.path.relative_to(_TESTS))))


def _starts_a_cell(item: pytest.Item) -> bool:
    inside = item.path.relative_to(_TESTS).parts
    if inside[0] in _CELL_FOLDERS or item.get_closest_marker("realtime") is not None:
        return True
    module = item.getparent(pytest.Module)
    assert module is not None
    return any(
        (held.__name__ if isinstance(held, ModuleType) else getattr(held, "__module__", None))
        in _CELL_MODULES
        for held in vars(module.obj).values()
    )


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was imported is no garbage; without it a full collection takes milliseconds."""
    gc.collect()
    gc.freeze()
    session.config.stash[_PAGES] = _resident_pages() + _MORE_PAGES


def pytest_unconfigure() -> None:
    """At the end of the process modules are garbage after all."""
    gc.unfreeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Give way to cells, and let go of what a test has left once it is much.

    A bench's image lies in a reference cycle; to the collector such an image is a few objects,
    however many megabytes are mapped behind them.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, 0 if item.stash[_STARTS_CELL] else _GIVE_WAY)
    result = yield
    if _resident_pages() > item.config.stash[_PAGES]:
        gc.collect()
        item.config.stash[_PAGES] = _resident_pages() + _MORE_PAGES
    return result


@pytest.fixture(scope="session")
def peer_missing(request: pytest.FixtureRequest) -> Callable[[str, str], NoReturn]:
    """Called by a peer's fixture: ``peer_missing(name, why)`` ends the test as not possible."""

    def tell(name: str, why: str) -> NoReturn:
        pytest.skip(f"peer {name} is missing: {why}")

    return tell


@pytest.fixture(scope="session")
def node_modules(peer_missing: Callable[[str, str], NoReturn]) -> Path:
    """Where node-opcua is installed."""
    return install(peer_missing)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name every missing peer and why."""
    skipped = (str(report.longrepr) for report in terminalreporter.stats.get("skipped", ()))
    missing = dict(found.groups() for found in map(_MISSING.search, skipped) if found)
    if missing:
        terminalreporter.section("peers missing", red=True, bold=True)
        for name, why in missing.items():
            terminalreporter.write_line(f"{name}: NOT TESTED AGAINST. {why}", red=True)
    again = {report.nodeid for report in terminalreporter.stats.get("rerun", ())}
    if again:
        terminalreporter.section("run twice", yellow=True, bold=True)
        for name in sorted(again):
            terminalreporter.write_line(f"{name}: failed, and was run once more", yellow=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Many tests that had to be run twice are a failure, whatever the second run said."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    again = {report.nodeid for report in reporter.stats.get("rerun", ())} if reporter else set()
    if len(again) > _MOST_RERUNS and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
