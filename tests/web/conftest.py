"""A server of notes on a real socket, one for each module of tests."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from support.notes import Serving, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("web")) as running:
        yield running


@pytest.fixture
def ada(server: Serving) -> Iterator[httpx.Client]:
    """A client of ada, who may everything with notes."""
    with httpx.Client(base_url=server.url, headers={"Authorization": "Bearer ada"}) as client:
        yield client


@pytest.fixture
def nobody(server: Serving) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url) as client:
        yield client
