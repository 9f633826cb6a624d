"""Peers are programs that are not ours; one that cannot be had is told loudly at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from support.campaign import load_profile
from support.node_peer import install

load_profile()

_MISSING = pytest.StashKey[dict[str, str]]()


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
