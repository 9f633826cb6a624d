"""A scan that asks for it keeps the cores awake, or says that it may not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cellwright.runtime.realtime import grants


def test_the_request_is_held_as_long_as_the_file_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "cpu_dma_latency"
    device.touch()
    monkeypatch.setattr(grants, "DMA_LATENCY", str(device))
    handle, refused = grants.stay_awake()
    try:
        assert refused == []
        assert os.fstat(handle).st_ino == device.stat().st_ino
        assert device.read_bytes() == bytes(4), "a latency of 0 us, as a 32-bit number"
    finally:
        os.close(handle)


def test_a_machine_that_refuses_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grants, "DMA_LATENCY", str(tmp_path / "nothing"))
    assert grants.stay_awake() == (
        -1,
        ["cores may sleep between cycles (No such file or directory)"],
    )
