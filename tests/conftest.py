"""What holds for all tests: properties, peers and the memory of the process that runs them.

Peers are programs that are not ours; one that cannot be had is told loudly at the end.
"""

from __future__ import annotations

import gc
import resource
from collections.abc import Callable, Generator
from pathlib import Path
from typing import NoReturn

import pytest

from support.campaign import load_profile
from support.node_peer import install

load_profile()

_MISSING = pytest.StashKey[dict[str, str]]()

_PAGES = pytest.StashKey[int]()
"""Resident memory up to which no garbage is looked for."""
_MORE_PAGES = 64 * 1024 * 1024 // resource.getpagesize()


def _resident_pages() -> int:
    return int(Path("/proc/self/statm").read_bytes().split()[1])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Properties belong to the campaign."""
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker("campaign")


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
    """Let go of what a test has left once it is much: a bench's image lies in a reference cycle.

    To the collector such an image is a few objects, however many megabytes are mapped behind them.
    """
    result = yield
    if _resident_pages() > item.config.stash[_PAGES]:
        gc.collect()
        item.config.stash[_PAGES] = _resident_pages() + _MORE_PAGES
    return result


@pytest.fixture(scope="session")
def peer_missing(request: pytest.FixtureRequest) -> Callable[[str, str], NoReturn]:
    """Called by a peer's fixture: ``peer_missing(name, why)`` ends the test as not possible."""

    def tell(name: str, why: str) -> NoReturn:
        request.config.stash.setdefault(_MISSING, {})[name] = why
        pytest.skip(f"peer {name} is missing: {why}")

    return tell


@pytest.fixture(scope="session")
def node_modules(peer_missing: Callable[[str, str], NoReturn]) -> Path:
    """Where node-opcua is installed."""
    return install(peer_missing)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Name every missing peer and why."""
    missing = config.stash.get(_MISSING, {})
    if missing:
        terminalreporter.section("peers missing", red=True, bold=True)
        for name, why in missing.items():
            terminalreporter.write_line(f"{name}: NOT TESTED AGAINST. {why}", red=True)
