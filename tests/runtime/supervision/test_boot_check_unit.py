"""The systemd unit: accepted by systemd, and in step with what the supervisor does."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from cellwright.runtime.supervision import supervisor

ROOT = Path(__file__).parents[3]
UNIT = ROOT / "deploy" / "systemd" / "cellwright@.service"


def settings() -> dict[str, dict[str, str]]:
    """Section to key to value; fails on what is no unit file, and on a key that is set twice."""
    sections: dict[str, dict[str, str]] = {}
    section = ""
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if match := re.fullmatch(r"\[(\w+)\]", line):
            section = match[1]
            sections[section] = {}
            continue
        match = re.fullmatch(r"([A-Z]\w+)=(.+)", line)
        assert match is not None, line
        assert match[1] not in sections[section], line
        sections[section][match[1]] = match[2]
    return sections


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    unit = settings()
    assert set(unit) == {"Unit", "Service", "Install"}
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        return  # what follows needs systemd itself; the lines were read strictly above
    text = UNIT.read_text(encoding="utf-8")
    # The verifier wants to see the program; where it is installed is not its business here.
    program = unit["Service"]["ExecStart"].split()[0]
    installed = tmp_path / "cellwright@press.service"
    installed.write_text(text.replace(program, "/bin/true"), encoding="utf-8")
    done = subprocess.run(
        [analyze, "verify", str(installed)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_grants_what_the_scan_asks_for() -> None:
    service = settings()["Service"]
    assert service["LimitRTPRIO"] == "99"
    assert service["LimitMEMLOCK"] == "infinity"
    assert service["AmbientCapabilities"].split() == ["CAP_SYS_NICE", "CAP_IPC_LOCK"]
    assert not {"RestrictRealtime", "CPUAffinity", "AllowedCPUs"} & set(service)
    # Both close serial ports: ProtectClock= implied a DeviceAllow= before systemd 253.
    assert not {"PrivateDevices", "ProtectClock"} & set(service)


def test_the_unit_leaves_the_supervisor_the_time_that_an_orderly_end_may_take() -> None:
    service = settings()["Service"]
    groups = 6  # scan, gateway, workers, drivers, recorder, journal: one after the other
    assert int(service["TimeoutStopSec"]) > groups * supervisor.STOP_S
    assert service["KillMode"] == "mixed"


def test_the_unit_runs_and_keeps_what_the_page_says() -> None:
    service = settings()["Service"]
    words = service["ExecStart"].split()
    assert words[1:] == ["run", "/etc/cellwright/%i/cell.yaml", "--data", "/var/lib/cellwright/%i"]
    assert service["ReadWritePaths"].split() == ["/var/lib/cellwright/%i", "/dev/shm"]
    assert (service["Restart"], service["RestartPreventExitStatus"]) == ("on-failure", "2")
    page = (ROOT / "docs" / "howto" / "run_as_a_service.md").read_text(encoding="utf-8")
    for word in ("KillMode=mixed", "TimeoutStopSec=40", "Restart=on-failure", "LimitRTPRIO"):
        assert word in page
