"""The demo as a newcomer runs it: real processes, a job order over OPC UA, a judged result."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parents[2] / "examples" / "blade_marking" / "demo.py"


def run_demo(folder: Path, *arguments: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, DEMO, "--folder", folder, "--speed", "10", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout.strip().splitlines()


@pytest.mark.timeout(330)
def test_the_demo_rejects_the_two_faulty_marks_and_records_every_part(tmp_path):
    code, lines = run_demo(tmp_path / "demo", "--parts", "5")
    expected = "demo: 5 parts, 3 good, 2 rejected, 5 recorded, 0 lost, 0 duplicate serials"
    assert lines[-1] == expected, "\n".join(lines)
    assert code == 0


@pytest.mark.timeout(330)
def test_other_faults_are_rejected_too_and_a_lost_acknowledgement_is_not(tmp_path):
    faults = ["wrong_content@1", "stuck_clamp@2", "lost_ack@3", "dead_coupler@4:1s"]
    code, lines = run_demo(
        tmp_path / "demo", "--parts", "4", *(word for f in faults for word in ("--fault", f))
    )
    expected = "demo: 4 parts, 2 good, 2 rejected, 4 recorded, 0 lost, 0 duplicate serials"
    assert lines[-1] == expected, "\n".join(lines)
    assert code == 0


@pytest.mark.timeout(330)
def test_a_single_good_blade(tmp_path):
    code, lines = run_demo(tmp_path / "demo", "--parts", "1", "--fault", "none")
    assert lines[-1] == "demo: 1 parts, 1 good, 0 rejected, 1 recorded, 0 lost, 0 duplicate serials"
    assert code == 0
