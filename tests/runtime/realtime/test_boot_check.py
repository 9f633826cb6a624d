"""The boot self-check on machines made of files, and on this one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cellwright.runtime.realtime import machine_check
from cellwright.runtime.realtime.machine_check import (
    BootCheckError,
    Item,
    check,
    cores,
    examine,
    settings,
    short_list,
    trial,
)

ROOT = Path(__file__).parents[3]
PID = 4711
CORE = 3


class Machine:
    """A PC with four cores that is as it should be; ``put`` spoils it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        cpu = "sys/devices/system/cpu/"
        for path, text in {
            cpu + "online": "0-3",
            cpu + "isolated": "2-3",
            cpu + "nohz_full": "3",
            cpu + "cpu3/cpufreq/scaling_governor": "performance",
            cpu + "cpu3/cpuidle/state0/name": "POLL",
            cpu + "cpu3/cpuidle/state0/latency": "0",
            cpu + "cpu3/cpuidle/state1/name": "C1",
            cpu + "cpu3/cpuidle/state1/latency": "2",
            cpu + "cpu3/cpuidle/state2/name": "C6",
            cpu + "cpu3/cpuidle/state2/latency": "133",
            cpu + "cpu3/cpuidle/state2/disable": "1",
            "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc",
            "sys/kernel/realtime": "1",
            "proc/version": "Linux version 6.12.9-rt5 (builder) #1 SMP PREEMPT_RT Debian",
            "proc/sys/kernel/sched_rt_runtime_us": "950000",
            "proc/sys/kernel/sched_rt_period_us": "1000000",
            "proc/cpuinfo": "processor : 0\nflags : fpu tsc constant_tsc",
            "proc/stat": "cpu  9 0 9 900 0 0 0 0 0 0\ncpu3 1 0 1 300 0 0 0 0 0 0",
            "proc/mounts": "tmpfs /dev/shm tmpfs rw,nosuid 0 0",
            "proc/irq/24/effective_affinity_list": "0",
            "proc/irq/24/eth0/note": "",
            "proc/irq/25/effective_affinity_list": "3",
        }.items():
            self.put(path, text)
        (root / "dev/shm").mkdir(parents=True)
        self.scan()

    def put(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")

    def scan(
        self, *, policy: int = 1, priority: int = 80, locked: int = 50_000, allowed: str = "3"
    ) -> None:
        fields = ["S", *["0"] * 36, str(priority), str(policy), *["0"] * 10]
        self.put(f"proc/{PID}/stat", f"{PID} (odd ) name) {' '.join(fields)}")
        self.put(
            f"proc/{PID}/status",
            f"Name:\tpython\nVmLck:\t   {locked} kB\nVmRSS:\t   48000 kB\n"
            f"Cpus_allowed_list:\t{allowed}",
        )

    def items(self, priority: int = 80, core: int = CORE) -> dict[str, Item]:
        return {item.name: item for item in check(settings(priority, core), PID, self.root)}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_well_prepared_pc_has_nothing_degraded(machine: Machine) -> None:
    items = machine.items()
    assert [item.name for item in items.values() if not item.ok] == []
    assert all(item.finding and not item.remedy for item in items.values())
    assert items["scheduler"].finding == "SCHED_FIFO 80"
    assert items["kernel"].finding == "6.12.9-rt5, PREEMPT_RT"


SPOILED = [
    ("sys/devices/system/cpu/isolated", "", "isolation", "core 3 not isolated", "isolcpus=3"),
    ("sys/devices/system/cpu/nohz_full", "(null)", "tick", "tick on core 3", "nohz_full=3"),
    (
        "sys/devices/system/cpu/cpu3/cpufreq/scaling_governor",
        "powersave",
        "governor",
        "CPU governor powersave",
        "performance",
    ),
    (
        "sys/devices/system/cpu/cpu3/cpuidle/state2/disable",
        "0",
        "idle states",
        r"C6 \(133 us\)",
        "idle-set -D 20",
    ),
    (
        "sys/devices/system/clocksource/clocksource0/current_clocksource",
        "hpet",
        "clock source",
        "clock source hpet",
        "TSC",
    ),
    ("proc/sys/kernel/sched_rt_runtime_us", "500000", "throttling", "share 50%", "=950000"),
    ("proc/cpuinfo", "flags : fpu hypervisor", "hypervisor", "virtual machine", "host"),
    ("sys/hypervisor/type", "xen", "hypervisor", "virtual machine", "host"),
    ("proc/stat", "cpu3 90 0 0 0 0 0 0 10", "hypervisor", "virtual machine", "host"),
    ("proc/mounts", "/dev/sda1 / ext4 rw 0 0", "shared memory", "no /dev/shm", "tmpfs"),
    ("proc/irq/25/ahci/note", "", "interrupts", "interrupts on core 3", "irqaffinity"),
]


@pytest.mark.parametrize(("path", "text", "item", "short", "remedy"), SPOILED)
@pytest.mark.behaviour(21)
def test_each_thing_that_is_missing_is_one_degraded_item_with_its_remedy(  # noqa: PLR0917
    machine: Machine, path: str, text: str, item: str, short: str, remedy: str
) -> None:
    machine.put(path, text)
    degraded = {one.name: one for one in machine.items().values() if not one.ok}
    assert list(degraded) == [item]
    assert re.search(short, degraded[item].short)
    assert remedy in degraded[item].remedy
    assert degraded[item].report()["state"] == "degraded"


def test_a_kernel_without_preempt_rt_is_degraded_and_named(machine: Machine) -> None:
    machine.put("sys/kernel/realtime", "0")
    machine.put("proc/version", "Linux version 6.1.0-28-amd64 (x) #1 SMP PREEMPT_DYNAMIC Debian")
    kernel = machine.items()["kernel"]
    assert kernel.short == "kernel without PREEMPT_RT"
    assert kernel.finding.startswith("6.1.0-28-amd64, PREEMPT_DYNAMIC: ")


def test_stolen_time_is_told_as_its_share_of_the_scans_core(machine: Machine) -> None:
    machine.put("proc/stat", "cpu  0 0 0 9 0 0 0 0\ncpu3 0 0 0 990 0 0 0 10 0 0")
    assert "(1.000% of the time since boot was stolen)" in machine.items()["hypervisor"].finding


def test_throttling_switched_off_is_not_degraded(machine: Machine) -> None:
    machine.put("proc/sys/kernel/sched_rt_runtime_us", "-1")
    assert machine.items()["throttling"].ok


@pytest.mark.parametrize(
    ("changed", "item", "finding"),
    [
        ({"policy": 0, "priority": 0}, "scheduler", "SCHED_OTHER 0 instead of SCHED_FIFO 80"),
        ({"priority": 10}, "scheduler", "SCHED_FIFO 10 instead of SCHED_FIFO 80"),
        ({"locked": 0}, "memory", "0 kB of 48000 kB are locked"),
        ({"locked": 64}, "memory", "64 kB of 48000 kB are locked"),
        ({"allowed": "0-3"}, "core", "the scan may run on 0, 1, 2, 3, not on core 3 alone"),
        ({"allowed": "2"}, "core", "the scan may run on 2, not on core 3 alone"),
    ],
)
def test_what_the_scan_process_did_not_get_is_seen_from_outside(
    machine: Machine, changed: dict[str, int | str], item: str, finding: str
) -> None:
    machine.scan(**changed)  # type: ignore[arg-type]
    degraded = [one for one in machine.items().values() if not one.ok]
    assert [one.name for one in degraded] == [item]
    assert degraded[0].finding.startswith(finding)


def test_a_scan_that_is_gone_is_degraded_and_not_an_error(tmp_path: Path) -> None:
    items = {item.name: item for item in check(settings(80, CORE), PID, tmp_path)}
    assert items["scheduler"].short == "scan process not seen"
    assert not items["memory"].ok


def test_items_of_a_core_are_left_out_when_the_scan_has_none(machine: Machine) -> None:
    machine.scan(allowed="0-3")
    items = machine.items(core=-1)
    assert not {"isolation", "tick", "interrupts"} & set(items)
    assert items["core"].short == "not pinned to a core"


def test_governor_and_idle_states_of_all_cores_count_for_a_scan_that_may_run_on_all(
    machine: Machine,
) -> None:
    machine.put("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "schedutil")
    machine.put("sys/devices/system/cpu/cpu0/cpuidle/state3/latency", "200")
    items = machine.items(core=-1)
    assert items["governor"].short == "CPU governor performance, schedutil"
    assert items["idle states"].short == "idle state state3 (200 us)"
    assert machine.items()["governor"].ok


# --- the short list -------------------------------------------------------------------------------


def test_the_short_list_has_the_refusals_first_and_then_what_the_machine_lacks(
    machine: Machine,
) -> None:
    machine.put("sys/devices/system/cpu/isolated", "")
    machine.put("sys/hypervisor/type", "xen")
    text = short_list(["memory not locked (EPERM)"], settings(80, CORE), machine.root)
    assert text == "memory not locked (EPERM); core 3 not isolated; virtual machine"


def test_a_cell_that_asks_for_no_real_time_is_told_only_that(machine: Machine) -> None:
    machine.put("sys/hypervisor/type", "xen")
    lacking = ["no real-time priority configured"]
    assert short_list(lacking, settings(0, -1), machine.root) == lacking[0]


def test_a_machine_that_grants_everything_has_an_empty_list(machine: Machine) -> None:
    assert short_list([], settings(80, CORE), machine.root) == ""


# --- odd machines ---------------------------------------------------------------------------------


@given(st.sets(st.integers(0, 1023)))
def test_a_list_of_cores_is_read_as_the_kernel_writes_it(wanted: set[int]) -> None:
    ranges: list[list[int]] = []
    for core in sorted(wanted):
        if ranges and ranges[-1][1] == core - 1:
            ranges[-1][1] = core
        else:
            ranges.append([core, core])
    text = ",".join(f"{a}-{b}" if a != b else str(a) for a, b in ranges)
    assert cores(text + "\n") == wanted


@given(
    path=st.sampled_from(
        sorted({path for path, *_ in SPOILED} | {f"proc/{PID}/status", "proc/version"})
    ),
    text=st.text(max_size=60),
    core=st.integers(-1, 4),
)
@example(path="proc/sys/kernel/sched_rt_runtime_us", text="²", core=3)
@example(path="proc/stat", text="cpu3 ² 0 0 0 0 0 0 1", core=3)
def test_no_content_of_a_file_stops_the_check(
    tmp_path_factory: pytest.TempPathFactory, path: str, text: str, core: int
) -> None:
    machine = Machine(tmp_path_factory.mktemp("machine"))
    file = machine.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    for item in machine.items(core=core).values():
        assert item.finding
        assert item.ok == (item.remedy == "")


# --- this machine ---------------------------------------------------------------------------------


def test_the_look_at_this_process_agrees_with_the_kernels_own_calls() -> None:
    core = max(os.sched_getaffinity(0))
    items = {item.name: item for item in check(settings(80, core), os.getpid())}
    fifo = os.sched_getscheduler(0) == os.SCHED_FIFO
    assert items["scheduler"].ok == (fifo and os.sched_getparam(0).sched_priority == 80)
    assert items["core"].ok == (os.sched_getaffinity(0) == {core})


def test_a_trial_process_pins_itself_and_is_seen_pinned() -> None:
    core = max(os.sched_getaffinity(0))
    items = {item.name: item for item in trial(settings(0, core))}
    assert items["core"] == Item("core", f"pinned to core {core}")
    assert items["scheduler"].short == "no real-time priority configured"
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_trial_that_does_not_answer_is_an_error_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine_check.sys, "executable", "/bin/false")
    with pytest.raises(BootCheckError, match="did not report what it was granted"):
        trial(settings(0, -1))


def test_without_a_running_cell_a_trial_process_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELLWRIGHT_RUN", str(tmp_path))
    subject, items = examine(None, tmp_path, 0, -1)
    assert subject == "a trial process with priority 0 and core -1"
    assert "kernel" in [item.name for item in items]


def test_doctor_names_a_cell_that_does_not_run(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cellwright.runtime.cli", "doctor", "--cell", "nobody"],
        env={**os.environ, "CELLWRIGHT_RUN": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "no running cell matches 'nobody'" in done.stderr


def test_the_page_on_preparing_a_pc_has_a_row_for_each_item(machine: Machine) -> None:
    page = (ROOT / machine_check.PAGE).read_text(encoding="utf-8")
    assert re.findall(r"^\| `([a-z ]+)` \|", page, re.MULTILINE) == list(machine.items())
