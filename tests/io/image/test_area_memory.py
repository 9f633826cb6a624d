"""Images that become garbage: the memory goes, the process stays."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from cellwright.io.image import Image
from support.campaign import times
from support.forked import process
from support.plans import small_plan

BOOT = "0123abcd"


@pytest.mark.campaign
def test_an_image_in_a_reference_cycle_is_collected_without_a_crash(tmp_path: Path) -> None:
    """Python 3.11 crashes when a view that has buffers of its own is collected (gh-77894)."""
    plan = small_plan()

    def make_and_forget() -> None:
        for _ in range(times(3)):
            image = Image.create(tmp_path / "image", plan, BOOT)
            ring, port = image.events["scan"], image.device(0)
            cycle: list[object] = [image, ring, port, image.snapshot_reader(), image.scan]
            cycle.append(cycle)
            del image, ring, port, cycle
            gc.collect()

    with process(make_and_forget) as child:
        _, status = os.waitpid(child, 0)
    assert status == 0


def test_a_closed_image_lets_go_of_its_memory(tmp_path: Path) -> None:
    path = tmp_path / "image"
    image = Image.create(path, small_plan(), BOOT)
    assert str(path) in Path("/proc/self/maps").read_text()
    image.close()
    del image
    gc.collect()
    assert str(path) not in Path("/proc/self/maps").read_text()
