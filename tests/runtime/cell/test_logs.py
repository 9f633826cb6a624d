"""Logs: one JSON object a line, bounded files, and never a reason to stop."""

from __future__ import annotations

import json
import logging
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog

from cellwright.runtime.cell import logs
from support.forked import process


def in_a_process(work: Callable[[], object]) -> int:
    """Exit status of a process that does ``work``; logging is global, so each test has its own."""
    with process(work) as child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def entries(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_each_line_is_an_object_with_time_level_and_process(tmp_path: Path) -> None:
    def work() -> None:
        logs.configure("device:remote_io", tmp_path / "log")
        structlog.get_logger("a").info("driver starts", lacking=["memory not locked"], size=7)
        structlog.get_logger("a").warning("two\nlines")
        logging.getLogger("somebody.else").warning("also %s", "here", extra={"peer": "1.2.3.4"})

    assert in_a_process(work) == 0
    first, second, third = entries(tmp_path / "log" / "device-remote_io.jsonl")
    assert first["event"] == "driver starts"
    assert (first["level"], first["process"]) == ("info", "device:remote_io")
    assert (first["lacking"], first["size"]) == (["memory not locked"], 7)
    assert first["timestamp"].endswith("Z")
    assert second["event"] == "two\nlines"
    assert (third["event"], third["peer"], third["level"]) == ("also here", "1.2.3.4", "warning")


def test_an_exception_is_told_with_its_trace(tmp_path: Path) -> None:
    def work() -> None:
        logs.configure("worker:mark", tmp_path)
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError:
            structlog.get_logger().exception("job failed", job=3)

    assert in_a_process(work) == 0
    (entry,) = entries(tmp_path / "worker-mark.jsonl")
    assert (entry["event"], entry["level"], entry["job"]) == ("job failed", "error", 3)
    assert "ZeroDivisionError: division by zero" in entry["exception"]


def test_what_is_below_the_level_and_the_chatter_of_libraries_is_left_out(tmp_path: Path) -> None:
    def work() -> None:
        logs.configure("gateway", tmp_path)
        structlog.get_logger().debug("too fine")
        for name in ("asyncua.server", "pymodbus.transport"):
            logging.getLogger(name).info("each request")
            logging.getLogger(name).warning("a trouble")

    assert in_a_process(work) == 0
    assert [entry["event"] for entry in entries(tmp_path / "gateway.jsonl")] == ["a trouble"] * 2


def test_files_are_bounded(tmp_path: Path) -> None:
    def work() -> None:
        logs.MAX_BYTES = 10_000
        logs.configure("scan", tmp_path)
        for number in range(2000):
            structlog.get_logger().info("line", number=number)

    assert in_a_process(work) == 0
    files = sorted(tmp_path.iterdir())
    assert len(files) == 1 + logs.KEPT_FILES
    assert all(file.stat().st_size <= 10_000 for file in files)
    assert entries(tmp_path / "scan.jsonl")[-1]["number"] == 1999


def test_a_full_disk_costs_lines_and_nothing_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        logs.configure("scan", tmp_path)
        structlog.get_logger().info("before")
        wide = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = (tmp_path / "scan.jsonl").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, wide[1]))
        for _ in range(10):
            structlog.get_logger().info("during")
        resource.setrlimit(resource.RLIMIT_FSIZE, wide)
        structlog.get_logger().info("after")

    assert in_a_process(work) == 0
    assert "Traceback" not in capfd.readouterr().err
    events = [entry["event"] for entry in entries(tmp_path / "scan.jsonl")]
    assert (events[0], events[-1]) == ("before", "after")


def test_a_folder_that_cannot_be_made_sends_the_log_to_stderr_and_says_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()

    def work() -> None:
        logs.configure("scan", tmp_path / "file" / "log")
        structlog.get_logger().info("scan starts")

    assert in_a_process(work) == 0
    warning, line = [json.loads(text) for text in capfd.readouterr().err.splitlines()]
    assert warning["event"] == "log file cannot be written"
    assert str(tmp_path / "file") in warning["error"]
    assert line["event"] == "scan starts"


def test_without_a_folder_the_log_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        logs.configure("supervisor", None)
        structlog.get_logger().info("process started", pid=7)

    assert in_a_process(work) == 0
    entry = json.loads(capfd.readouterr().err)
    assert (entry["process"], entry["pid"]) == ("supervisor", 7)


def test_a_log_that_somebody_deletes_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "log"

    def work() -> None:
        logs.configure("scan", folder)
        log = structlog.get_logger()
        log.info("first")
        (folder / "scan.jsonl").unlink()
        log.info("the file was deleted")
        assert [one["event"] for one in entries(folder / "scan.jsonl")] == ["the file was deleted"]
        shutil.rmtree(folder)
        log.info("the folder was deleted")
        (folder / "scan.jsonl").rename(folder / "scan.jsonl.old")
        log.info("the file was moved away, as logrotate does")
        away = tmp_path / "away"
        folder.parent.rename(away)
        log.info("the data folder was moved away")
        assert not folder.parent.exists(), "it may be a disk that will be mounted again"
        away.rename(folder.parent)
        log.info("it is back")

    assert in_a_process(work) == 0
    assert [one["event"] for one in entries(folder / "scan.jsonl.old")] == [
        "the folder was deleted"
    ]
    assert [one["event"] for one in entries(folder / "scan.jsonl")] == [
        "the file was moved away, as logrotate does",
        "it is back",
    ]


def test_all_logs_of_a_process_together_stay_within_the_bound_whatever_is_logged(
    tmp_path: Path,
) -> None:
    def work() -> None:
        logs.MAX_BYTES = 10_000
        logs.configure("scan", tmp_path)
        for number in range(300):
            structlog.get_logger().info("x" * (number * 37 % 3000), number=number)

    assert in_a_process(work) == 0
    total = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert total <= 10_000 * (1 + logs.KEPT_FILES)
