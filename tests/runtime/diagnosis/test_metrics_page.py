"""The page for Prometheus: each line by the format's rules, each figure that of the image."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.messages import ForceTag
from cellwright.io.plan import CellState
from cellwright.runtime.diagnosis.metrics import EDGES, FAMILIES, Exporter, escaped, reference_rows
from cellwright.tasks.api import BOOL, Input, ScanContext
from support.exposition import LABEL, parse, unescape
from support.scan_bench import MS, Bench, coupler, input_bit, program

PAGE = Path(__file__).parents[3] / "docs" / "howto" / "monitor_with_prometheus.md"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    def scan(self: Any, ctx: ScanContext) -> None:
        """Reads its input."""
        assert self.part in (True, False)

    control = program(scan, part=Input(BOOL))
    bench = Bench(
        tmp_path,
        [input_bit("part", 0)],
        {"control": control},
        devices=[coupler()],
        site='Plant "1"\\\n',
    )
    bench.run()
    return bench


@pytest.fixture
def exporter(bench: Bench) -> Iterator[Exporter]:
    yield Exporter(bench.plan, bench.image, bench.clock.now_ns)
    bench.image.close()


def test_every_line_of_the_page_is_allowed_by_the_format(exporter: Exporter) -> None:
    families = parse(exporter.page())
    info = families["cellwright_info"]
    ((name, labels),) = info.samples
    assert name == "cellwright_info"
    assert dict(labels)["cell"] == "test"
    assert dict(labels)["site"] == 'Plant "1"\\\n'


def test_every_family_of_the_table_is_served_with_its_type_help_and_labels(
    bench: Bench, exporter: Exporter
) -> None:
    bench.image.processes["scan"].pid = 4711
    families = parse(exporter.page())
    assert list(families) == [family.name for family in FAMILIES]
    for family in FAMILIES:
        found = families[family.name]
        assert (found.kind, found.help) == (family.kind, family.help)
        for _, labels in found.samples:
            assert tuple(name for name, _ in labels if name != "le") == family.labels


def test_the_documentation_lists_exactly_what_is_served() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `cellwright_")]
    assert rows == reference_rows()
    assert f"Histograms have {len(EDGES)} buckets" in text
    mentioned = set(re.findall(r"cellwright_[a-z_]+", text))
    served = {family.name for family in FAMILIES}
    suffixed = {name + s for name in served for s in ("_bucket", "_sum", "_count")}
    assert mentioned <= served | suffixed


def test_state_ticks_forces_and_faults_are_those_of_the_cell(
    bench: Bench, exporter: Exporter
) -> None:
    bench.skip(3)
    bench.send(ForceTag(tag="part", value=True, actor="anna"))
    bench.image.scan.run_ticks = bench.scan.cycle_number
    bench.image.scan.beat_ns = bench.clock.now_ns() - 7 * MS
    bench.image.scan.degraded = "memory not locked"
    families = parse(exporter.page())

    def one(name: str, **labels: str) -> Decimal:
        return families[f"cellwright_{name}"].value(f"cellwright_{name}", **labels)

    assert {s.name: int(one("state", state=s.name)) for s in CellState} == {
        "INIT": 0,
        "STOP": 0,
        "RUN": 1,
        "PAUSE": 0,
        "FAULT": 0,
    }
    assert one("scan_ticks_total", result="run") == bench.scan.cycle_number
    assert one("scan_ticks_total", result="skipped") == 3
    assert one("forces_active") == 1
    assert one("degraded") == 1
    assert one("fault") == 0
    assert one("scan_beat_age_seconds") == Decimal("0.007")
    assert one("base_interval_seconds") == Decimal("0.01")
    bench.scan.fault("task_exception", "a fault")
    bench.cycle()
    families = parse(exporter.page())
    assert one("fault") == 1
    assert one("state", state="FAULT") == 1


def test_figures_of_tasks_are_those_of_their_statistics(bench: Bench, exporter: Exporter) -> None:
    bench.image.statistics.reset(0)
    for took_ns in (1_000, 1_023, 1_024, 2_000_000, 3_000_000_000):
        bench.image.statistics.record(0, 50_000, took_ns)
    bench.image.statistics.skipped(0, 4)
    bench.image.statistics.overran(0, 2)
    bench.image.statistics.watchdog_hit(0)
    bench.image.statistics.ran_late(0)
    bench.image.statistics.omitted(0, 6)
    bench.image.statistics.timed_out(0, 7)
    bench.image.statistics.answered_late(0, 8)
    families = parse(exporter.page())
    counts = {"runs": 5, "skips": 4, "overruns": 2, "watchdog_hits": 1, "late_runs": 1}
    counts |= {"omitted": 6, "job_timeouts": 7, "late_answers": 8}
    counts["resets"] = 1
    for name, value in counts.items():
        full = f"cellwright_task_{name}_total"
        assert families[full].value(full, task="control") == value
    name = "cellwright_task_execution_seconds"
    times = families[name]

    def upto(bound: str) -> Decimal:
        return times.value(f"{name}_bucket", task="control", le=bound)

    assert upto("0.000001023") == 2
    assert upto("0.000001535") == 3
    assert upto("0.003145727") == 4
    assert upto("1.073741823") == 4
    assert upto("+Inf") == 5
    assert times.value(f"{name}_sum", task="control") == Decimal("3.002003047")


@given(values=st.lists(st.integers(0, 1 << 40), max_size=40))
def test_each_exported_bucket_counts_exactly_the_values_up_to_its_bound(
    tmp_path_factory: pytest.TempPathFactory, values: list[int]
) -> None:
    bench = Bench(tmp_path_factory.mktemp("b"), [], {"idle": program(lambda self, ctx: None)})
    for value in values:
        bench.image.statistics.record(0, value, value)
    families = parse(Exporter(bench.plan, bench.image, bench.clock.now_ns).page())
    name = "cellwright_task_start_delay_seconds"
    for (sample, labels), count in families[name].samples.items():
        bound = dict(labels).get("le", "")
        if sample.endswith("_bucket") and bound != "+Inf":
            assert count == sum(value <= int(Decimal(bound).scaleb(9)) for value in values)
    bench.image.close()


def test_figures_of_devices_and_processes_are_those_of_the_image(
    bench: Bench, exporter: Exporter
) -> None:
    port = bench.ports[0]
    port.connected = True
    port.requests, port.failures, port.reconnects = 100, 3, 2
    port.last_ns, port.max_ns, port.back_off_ns = 1_500_000, 9_000_000, 50_000_000
    slot = bench.image.processes["device:coupler"]
    slot.pid, slot.restarts, slot.beat_ns = 0, 2, bench.clock.now_ns() - 30 * MS
    families = parse(exporter.page())

    def one(name: str, **labels: str) -> Decimal:
        return families[f"cellwright_{name}"].value(f"cellwright_{name}", **labels)

    assert one("device_connected", device="coupler", driver="modbus-tcp") == 1
    assert one("device_requests_total", device="coupler") == 100
    assert one("device_failures_total", device="coupler") == 3
    assert one("device_reconnects_total", device="coupler") == 2
    assert one("device_last_request_seconds", device="coupler") == Decimal("0.0015")
    assert one("device_longest_request_seconds", device="coupler") == Decimal("0.009")
    assert one("device_back_off_seconds", device="coupler") == Decimal("0.05")
    assert one("process_up", process="device:coupler") == 0
    assert one("process_restarts_total", process="device:coupler") == 2
    assert one("process_beat_age_seconds", process="device:coupler") == Decimal("0.03")


def test_events_that_are_not_durable_yet_are_told(bench: Bench, exporter: Exporter) -> None:
    bench.acknowledge()
    bench.image.journal.committed = 12
    before = parse(exporter.page())["cellwright_journal_waiting"]
    assert before.value("cellwright_journal_waiting") == 0
    bench.request("stop")
    families = parse(exporter.page())
    assert families["cellwright_journal_waiting"].value("cellwright_journal_waiting") == 1
    committed = families["cellwright_journal_committed_total"]
    assert committed.value("cellwright_journal_committed_total") == 12


@given(text=st.text())
def test_any_label_survives_escaping(text: str) -> None:
    inner = escaped(text)
    assert re.fullmatch(LABEL, f'x="{inner}"')
    assert unescape(inner) == text
