"""Server.LocalTime: the offset to UTC now, and whether daylight saving time is in it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from cellwright.opcua_model.nodes.standard import time_zone

JANUARY, JULY = 1_767_225_600, 1_782_864_000


@pytest.fixture(autouse=True)
def zone() -> Iterator[None]:
    """The rules of Central Europe, written out: no database of time zones is needed."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "CET-1CEST,M3.5.0,M10.5.0/3"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.parametrize(("at_s", "minutes", "summer"), [(JANUARY, 60, False), (JULY, 120, True)])
def test_the_offset_holds_daylight_saving_time_and_says_so(
    at_s: int, minutes: int, summer: bool
) -> None:
    found = time_zone(time.localtime(at_s))
    assert (found.Offset, found.DaylightSavingInOffset) == (minutes, summer)
