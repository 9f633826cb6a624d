"""A trouble is logged when it begins and when it is over."""

from __future__ import annotations

import structlog
from structlog.testing import capture_logs

from cellwright.io.log_once import LogOnce


def test_a_trouble_is_logged_once_until_it_is_over() -> None:
    once = LogOnce(structlog.get_logger())
    with capture_logs() as lines:
        assert once.trouble("device", "it does not answer", level="warning", error="time-out")
        assert not once.trouble("device", "it does not answer", level="warning", error="refused")
        assert "device" in once
        assert once.well("device", "it answers again", after=2)
        assert not once.well("device", "it answers again", after=3)
        assert "device" not in once
        assert once.trouble("device", "it does not answer")
    assert lines == [
        {"event": "it does not answer", "log_level": "warning", "error": "time-out"},
        {"event": "it answers again", "log_level": "info", "after": 2},
        {"event": "it does not answer", "log_level": "error"},
    ]


def test_another_cause_and_another_key_are_logged_too() -> None:
    once = LogOnce(structlog.get_logger())
    with capture_logs() as lines:
        for cause in ("full", "full", "read-only", "full"):
            once.trouble("disk", "not written", cause=cause)
        once.trouble("net", "not sent")
        once.well("disk")
    assert [line["event"] for line in lines] == ["not written"] * 3 + ["not sent"]
