"""Looks at the machine with a scan's eyes: what it grants a real-time loop, and the remedies.

The scan process looks once at its start (the short list becomes ``sys.degraded``), ``status`` and
``doctor`` look whenever they are asked. It reads ``/proc`` and ``/sys`` and must never change them;
asking for things is `cellwright.runtime.realtime.grants`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from cellwright.io.plan import ScanSettings
from cellwright.runtime.cell.run_folder import find, known_cells
from cellwright.runtime.realtime.grants import acquire

PAGE: Final = "docs/howto/prepare_a_pc.md"
"""Where each item is explained, by its name."""
POLICIES: Final = {
    0: "SCHED_OTHER",
    1: "SCHED_FIFO",
    2: "SCHED_RR",
    3: "SCHED_BATCH",
    6: "DEADLINE",
}
SLOW_CLOCKS: Final = ("hpet", "acpi_pm", "pit", "jiffies", "refined-jiffies", "xen")
"""Clock sources that cost a system call or a slow bus access each time."""
IDLE_EXIT_LIMIT_US: Final = 20
"""A deeper idle state shows in the start of a cycle (LinuxCNC calls latency below 20 us good)."""
RT_SHARE_LIMIT: Final = 0.90
"""Below this share of its core a loaded scan may be halted."""
SHARED_MEMORY_FREE: Final = 64 << 20
"""Bytes; an image takes a few megabytes, frames of a camera more."""
TRIAL_TIMEOUT_S: Final = 60.0


class BootCheckError(Exception):
    """The look at the machine could not be taken."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing looked at. ``remedy`` is empty when it is as it should be."""

    name: str
    finding: str
    short: str = ""
    """What is wrong in a few words; empty when ``ok``."""
    remedy: str = ""

    @property
    def ok(self) -> bool:
        """True: as a real-time loop wants it."""
        return not self.short

    def report(self) -> dict[str, str]:
        """As ``status --json`` and ``doctor --json`` show it."""
        return {
            "item": self.name,
            "state": "ok" if self.ok else "degraded",
            "short": self.short,
            "finding": self.finding,
            "remedy": self.remedy,
        }


def check(scan: ScanSettings, pid: int, root: Path = Path("/")) -> list[Item]:
    """Look at the process ``pid`` (a scan) and at the machine; /proc and /sys lie below ``root``.

    What only matters to a core of one's own is left out when the scan is pinned to none.
    """
    machine = _Machine(root)
    items = [
        machine.scheduler(scan.priority, pid),
        machine.memory(pid),
        machine.core(scan.core, pid),
    ]
    if scan.core >= 0:
        items += [
            machine.isolation(scan.core),
            machine.tick(scan.core),
            machine.interrupts(scan.core),
        ]
    items += [
        machine.kernel(),
        machine.clock_source(),
        machine.governor(scan.core),
        machine.idle_states(scan.core),
        machine.throttling(),
        machine.hypervisor(scan.core),
        machine.shared_memory(),
    ]
    return items


def short_list(lacking: Sequence[str], scan: ScanSettings, root: Path = Path("/")) -> str:
    """The text of ``sys.degraded``: what the scan was refused, then what the machine lacks.

    A cell that asks for no real-time class is told only that: the rest matters less than the class.
    """
    words = list(lacking)
    if scan.priority > 0:
        asked = {"scheduler", "memory", "core"}
        words += [item.short for item in check(scan, os.getpid(), root) if item.name not in asked]
    return "; ".join(word for word in words if word)


def trial(scan: ScanSettings) -> list[Item]:
    """What a scan with these settings would find here: a child process asks, and looks at itself.

    Raises BootCheckError when the child does not answer.
    """
    command = [sys.executable, "-m", __name__, str(scan.priority), str(scan.core)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TRIAL_TIMEOUT_S, check=True
        )
        return [Item(**fields) for fields in json.loads(done.stdout)]
    except (OSError, subprocess.SubprocessError, ValueError, TypeError) as error:
        why = getattr(error, "stderr", None) or error
        raise BootCheckError(
            f"a trial process ({' '.join(command)}) did not report what it was granted: {why}"
        ) from error


def examine(cell: str | None, cwd: Path, priority: int, core: int) -> tuple[str, list[Item]]:
    """Who was looked at, and what was found: the scan of a running cell, else a trial process.

    Raises RunError or ImageError for a cell that was named and does not run, BootCheckError.
    """
    if cell is None and not known_cells():
        return f"a trial process with priority {priority} and core {core}", trial(
            settings(priority, core)
        )
    plan, image = find(cell, cwd).attach()
    try:
        return f"the scan of cell '{plan.cell}'", check(plan.scan, image.scan.pid)
    finally:
        image.close()


def settings(priority: int, core: int) -> ScanSettings:
    """What a trial asks for."""
    return ScanSettings(
        base_ns=0, watchdog_ns=0, watchdog_sensitivity=1, priority=priority, core=core
    )


def cores(text: str) -> set[int]:
    """The kernel's list of cores, ``0-2,5``; raises ValueError. Empty and ``(null)`` are none."""
    found: set[int] = set()
    for part in text.strip().replace("(null)", "").split(","):
        if part:
            first, _, last = part.partition("-")
            found.update(range(int(first), int(last or first) + 1))
    return found


class _Machine:
    """The questions, one method each. Files that a kernel does not have count as empty."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def _text(self, path: str) -> str:
        try:
            return (self._root / path).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return ""

    def _cores(self, path: str) -> set[int]:
        try:
            return cores(self._text(path))
        except ValueError:
            return set()

    # --- the scan process -------------------------------------------------------------------------

    def scheduler(self, priority: int, pid: int) -> Item:
        stat = self._text(f"proc/{pid}/stat").rpartition(")")[2].split()
        if len(stat) < 39:
            return Item(
                "scheduler",
                f"process {pid} is not there",
                "scan process not seen",
                "start the cell, or look at its log",
            )
        got, policy = int(stat[37]), int(stat[38])
        name = POLICIES.get(policy, f"policy {policy}")
        if priority == 0:
            return Item(
                "scheduler",
                f"{name}: the cell asks for no real-time class",
                "no real-time priority configured",
                "write scan: {realtime: {priority: 80}} in the cell's file",
            )
        if policy != 1 or got != priority:
            return Item(
                "scheduler",
                f"{name} {got} instead of SCHED_FIFO {priority}",
                f"no SCHED_FIFO {priority}",
                "give the cell's user LimitRTPRIO=99 (systemd) or 'rtprio 99' in limits.conf",
            )
        return Item("scheduler", f"{name} {got}")

    def memory(self, pid: int) -> Item:
        locked, resident = self._status_kb(pid, "VmLck"), self._status_kb(pid, "VmRSS")
        if 2 * locked < resident or not locked:
            return Item(
                "memory",
                f"{locked} kB of {resident} kB are locked: a page that was swapped out or dropped "
                f"costs milliseconds",
                "memory not locked",
                "give the cell's user LimitMEMLOCK=infinity (systemd) or 'memlock unlimited' in "
                "limits.conf",
            )
        return Item("memory", f"{locked} kB locked")

    def _status(self, pid: int, key: str) -> str:
        for line in self._text(f"proc/{pid}/status").splitlines():
            name, _, value = line.partition(":")
            if name == key:
                return value.strip()
        return ""

    def _status_kb(self, pid: int, key: str) -> int:
        word = self._status(pid, key).partition(" ")[0]
        return int(word) if word.isdecimal() else 0

    def core(self, core: int, pid: int) -> Item:
        try:
            allowed = cores(self._status(pid, "Cpus_allowed_list"))
        except ValueError:
            allowed = set()
        online = self._cores("sys/devices/system/cpu/online")
        where = ", ".join(str(number) for number in sorted(allowed)) or "unknown cores"
        if core < 0:
            return Item(
                "core",
                f"the scan may run on {where}: every move costs it its caches",
                "not pinned to a core",
                "write scan: {realtime: {core: N}} in the cell's file",
            )
        if allowed != {core}:
            return Item(
                "core",
                f"the scan may run on {where}, not on core {core} alone",
                f"not pinned to core {core}",
                f"name a core that is online ({min(online, default=0)} to "
                f"{max(online, default=0)}) and in the cell's cpuset (AllowedCPUs of its unit)",
            )
        return Item("core", f"pinned to core {core}")

    # --- the scan's core --------------------------------------------------------------------------

    def isolation(self, core: int) -> Item:
        isolated = self._cores("sys/devices/system/cpu/isolated")
        isolated |= self._cores("sys/fs/cgroup/cpuset.cpus.isolated")
        if core in isolated:
            return Item("isolation", f"core {core} is isolated")
        return Item(
            "isolation",
            f"core {core} is not isolated: the kernel puts other processes on it",
            f"core {core} not isolated",
            f"boot with isolcpus={core}",
        )

    def tick(self, core: int) -> Item:
        if core in self._cores("sys/devices/system/cpu/nohz_full"):
            return Item("tick", f"core {core} runs without the scheduler's tick (nohz_full)")
        return Item(
            "tick",
            f"the scheduler's tick interrupts core {core} up to 1000 times a second",
            f"scheduler tick on core {core}",
            f"boot with nohz_full={core} rcu_nocbs={core}",
        )

    def interrupts(self, core: int) -> Item:
        folder = self._root / "proc/irq"
        here = []
        for entry in sorted(folder.iterdir() if folder.is_dir() else ()):
            if not entry.name.isdecimal():
                continue
            path = f"proc/irq/{entry.name}/"
            handled = any(one.is_dir() for one in entry.iterdir())
            where = self._text(path + "effective_affinity_list")
            where = where or self._text(path + "smp_affinity_list")
            try:
                if handled and core in cores(where):
                    here.append(entry.name)
            except ValueError:
                continue
        if not here:
            return Item("interrupts", f"no device interrupts core {core}")
        return Item(
            "interrupts",
            f"{len(here)} device interrupt(s) are served on core {core} (IRQ {', '.join(here)})",
            f"device interrupts on core {core}",
            "boot with irqaffinity= the other cores, stop irqbalance or ban the core in it",
        )

    # --- the machine ------------------------------------------------------------------------------

    def kernel(self) -> Item:
        version = self._text("proc/version")
        words = version.split()
        kind = next((word for word in words if word.startswith("PREEMPT")), "no PREEMPT")
        release = words[2] if len(words) > 2 else "of unknown release"
        if self._text("sys/kernel/realtime") == "1" or kind == "PREEMPT_RT":
            return Item("kernel", f"{release}, PREEMPT_RT")
        return Item(
            "kernel",
            f"{release}, {kind}: parts of the kernel delay the scan by up to milliseconds under "
            f"load; enough for 10 ms, not to be counted on at 1 ms",
            "kernel without PREEMPT_RT",
            "install a PREEMPT_RT kernel (Debian: apt install linux-image-rt-amd64)",
        )

    def clock_source(self) -> Item:
        name = self._text("sys/devices/system/clocksource/clocksource0/current_clocksource")
        if name and name not in SLOW_CLOCKS:
            return Item("clock source", name)
        return Item(
            "clock source",
            f"{name or 'unknown'}: each look at the clock costs a microsecond and more",
            f"clock source {name or 'unknown'}",
            "see the kernel log why the TSC was given up; boot with tsc=reliable if the PC's "
            "maker says that it is",
        )

    def _cpus(self, core: int) -> list[int]:
        return [core] if core >= 0 else sorted(self._cores("sys/devices/system/cpu/online"))

    def governor(self, core: int) -> Item:
        found = {
            self._text(f"sys/devices/system/cpu/cpu{number}/cpufreq/scaling_governor")
            for number in self._cpus(core)
        } - {""}
        if not found:
            return Item("governor", "the kernel sets no clock frequency here")
        names = ", ".join(sorted(found))
        if found == {"performance"}:
            return Item("governor", names)
        return Item(
            "governor",
            f"{names}: the core is slow when the scan wakes up",
            f"CPU governor {names}",
            "cpupower frequency-set -g performance",
        )

    def idle_states(self, core: int) -> Item:
        deepest, exit_us = "", 0
        for number in self._cpus(core):
            folder = self._root / f"sys/devices/system/cpu/cpu{number}/cpuidle"
            for state in folder.glob("state*"):
                path = str(state.relative_to(self._root))
                latency = self._text(f"{path}/latency")
                if self._text(f"{path}/disable") == "1" or not latency.isdecimal():
                    continue
                if int(latency) > exit_us:
                    deepest, exit_us = self._text(f"{path}/name") or state.name, int(latency)
        if exit_us <= IDLE_EXIT_LIMIT_US:
            return Item("idle states", f"the deepest takes {exit_us} us to leave")
        return Item(
            "idle states",
            f"{deepest} takes {exit_us} us to leave; the scan waits for it",
            f"idle state {deepest} ({exit_us} us)",
            f"cpupower idle-set -D {IDLE_EXIT_LIMIT_US}, or switch deep C-states off in the "
            f"firmware",
        )

    def throttling(self) -> Item:
        runtime = self._text("proc/sys/kernel/sched_rt_runtime_us")
        period = self._text("proc/sys/kernel/sched_rt_period_us")
        if runtime == "-1":
            return Item(
                "throttling", "off: a program that loops takes its core until the watchdog acts"
            )
        if not (runtime.isdecimal() and period.isdecimal() and int(period)):
            return Item("throttling", "the kernel has no limit for real-time processes")
        share = int(runtime) / int(period)
        sentence = f"real-time processes may take {share:.0%} of a core"
        if share >= RT_SHARE_LIMIT:
            return Item("throttling", f"{sentence}; the rest lets you in when a program loops")
        return Item(
            "throttling",
            f"{sentence}; a scan that needs more is halted for the rest of the period",
            f"real-time share {share:.0%}",
            "sysctl kernel.sched_rt_runtime_us=950000",
        )

    def hypervisor(self, core: int) -> Item:
        flags = any(
            line.startswith("flags") and "hypervisor" in line.split()
            for line in self._text("proc/cpuinfo").splitlines()
        )
        kind = self._text("sys/hypervisor/type")
        stolen = self._stolen_share(core)
        if not (flags or kind or stolen):
            return Item("hypervisor", "none; no time was stolen")
        return Item(
            "hypervisor",
            f"this is a guest{f' of {kind}' if kind else ''}: its host may take the core away at "
            f"any time ({stolen:.3%} of the time since boot was stolen)",
            "virtual machine",
            "run the cell on a PC of its own, or have the host pin this guest's cores",
        )

    def _stolen_share(self, core: int) -> float:
        label = f"cpu{core}" if core >= 0 else "cpu"
        for line in self._text("proc/stat").splitlines():
            words = line.split()
            if words and words[0] == label and len(words) > 8:
                times = [int(word) for word in words[1:9] if word.isdecimal()]
                total = sum(times)
                return times[7] / total if len(times) == 8 and total else 0.0
        return 0.0

    def shared_memory(self) -> Item:
        mounts = [line.split() for line in self._text("proc/mounts").splitlines()]
        kinds = [words[2] for words in mounts if len(words) > 2 and words[1] == "/dev/shm"]
        folder = self._root / "dev/shm"
        remedy = "mount a tmpfs on /dev/shm (in a container: --shm-size=256m)"
        if not folder.is_dir() or not kinds or kinds[-1] != "tmpfs":
            return Item(
                "shared memory",
                "/dev/shm is not a memory file system: the image lies on a disk, whose writes "
                "delay the scan",
                "no /dev/shm",
                remedy,
            )
        place = os.statvfs(folder)
        free = place.f_bavail * place.f_frsize
        if free < SHARED_MEMORY_FREE:
            return Item(
                "shared memory",
                f"{free >> 20} MB free in /dev/shm; image and frames need up to "
                f"{SHARED_MEMORY_FREE >> 20} MB",
                "little room in /dev/shm",
                remedy,
            )
        return Item("shared memory", f"{free >> 20} MB free in /dev/shm")


def main(arguments: list[str] | None = None) -> int:
    """Ask for what a scan asks for, look at oneself, print the items as JSON: the trial's child."""
    words: Any = sys.argv[1:] if arguments is None else arguments
    priority, core = (int(word) for word in words)
    acquire(priority, core)
    found = check(settings(priority, core), os.getpid())
    json.dump([asdict(item) for item in found], sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
