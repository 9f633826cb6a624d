"""The page for Prometheus: what it says of an image, who is answered, and who cannot hold it up."""

from __future__ import annotations

import http.client
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from cellwright.io.image import figures
from cellwright.io.messages import ForceTag
from cellwright.io.plan import CellState
from cellwright.runtime.diagnosis import metrics
from cellwright.runtime.diagnosis.metrics import EDGES, CellCollector, MetricsServer, metrics_app
from cellwright.tasks.api import BOOL, Input
from reference.pages import with_metrics
from support.scan_bench import MS, Bench, coupler, input_bit, program

PAGE = Path(__file__).parents[3] / "docs" / "howto" / "monitor_with_prometheus.md"
TIMEOUT_S = 20.0
Value = Callable[..., float]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    control = program(lambda self, ctx: None, part=Input(BOOL))
    bench = Bench(
        tmp_path,
        [input_bit("part", 0)],
        {"control": control},
        devices=[coupler()],
        site='Plant "1"\\\n',
    )
    bench.run()
    yield bench
    bench.image.close()


def value_of(bench: Bench) -> Value:
    """``value(name, label=...)`` of a page made now; None for a sample that is not there."""
    registry = CollectorRegistry()
    registry.register(CellCollector(bench.image, bench.clock.now_ns))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"cellwright_{name}", labels)

    return value


# --- what the page says ---------------------------------------------------------------------------


def test_the_documentation_lists_exactly_what_is_served() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert with_metrics(text) == text
    assert f"Histograms have {len(EDGES)} buckets" in text
    served = {metric.name for metric in figures.metrics().values()}
    suffixed = {name + s for name in served for s in ("_bucket", "_sum", "_count")}
    assert set(re.findall(r"cellwright_[a-z_]+", text)) <= served | suffixed


def test_state_ticks_forces_and_faults_are_those_of_the_cell(bench: Bench) -> None:
    bench.skip(3)
    bench.send(ForceTag(tag="part", value=True, actor="anna"))
    bench.image.scan.run_ticks = bench.scan.cycle_number
    bench.image.scan.beat_ns = bench.clock.now_ns() - 7 * MS
    bench.image.scan.degraded = "memory not locked"
    value = value_of(bench)
    assert {s.name: value("state", state=s.name) for s in CellState} == {
        "INIT": 0,
        "STOP": 0,
        "RUN": 1,
        "PAUSE": 0,
        "FAULT": 0,
    }
    assert value("scan_ticks_total", result="run") == bench.scan.cycle_number
    assert value("scan_ticks_total", result="skipped") == 3
    assert value("forces_active") == 1
    assert value("degraded") == 1
    assert value("fault") == 0
    assert value("scan_beat_age_seconds") == 0.007
    assert value("base_interval_seconds") == 0.01
    bench.scan.fault("task_exception", "a fault")
    bench.cycle()
    assert value("fault") == 1
    assert value("state", state="FAULT") == 1


def test_figures_of_tasks_are_those_of_their_statistics(bench: Bench) -> None:
    statistics = bench.image.statistics
    statistics.reset(0)
    for took_ns in (1_000, 1_023, 1_024, 2_000_000, 3_000_000_000):
        statistics.record(0, 50_000, took_ns)
    statistics.skipped(0, 4)
    statistics.overran(0, 2)
    statistics.watchdog_hit(0)
    statistics.ran_late(0)
    statistics.omitted(0, 6)
    statistics.timed_out(0, 7)
    statistics.answered_late(0, 8)
    value = value_of(bench)
    counts = {"runs": 5, "skips": 4, "overruns": 2, "watchdog_hits": 1, "late_runs": 1}
    counts |= {"omitted": 6, "job_timeouts": 7, "late_answers": 8, "resets": 1}
    for name, count in counts.items():
        assert value(f"task_{name}_total", task="control") == count
    bounds = {"0.000001023": 2, "0.000001535": 3, "0.003145727": 4, "1.073741823": 4, "+Inf": 5}
    for bound, count in bounds.items():
        assert value("task_execution_seconds_bucket", task="control", le=bound) == count
    assert value("task_execution_seconds_count", task="control") == 5
    assert value("task_execution_seconds_sum", task="control") == 3.002003047


@given(values=st.lists(st.integers(0, 1 << 40), max_size=40))
def test_each_exported_bucket_counts_exactly_the_values_up_to_its_bound(
    tmp_path_factory: pytest.TempPathFactory, values: list[int]
) -> None:
    bench = Bench(tmp_path_factory.mktemp("b"), [], {"idle": program(lambda self, ctx: None)})
    for one in values:
        bench.image.statistics.record(0, one, one)
    for metric in CellCollector(bench.image, bench.clock.now_ns).collect():
        if metric.name == "cellwright_task_start_delay_seconds":
            counts = {sample.labels["le"]: sample.value for sample in metric.samples[:-2]}
    assert counts.pop("+Inf") == len(values)
    assert counts == {
        bound: sum(one <= int(Decimal(bound).scaleb(9)) for one in values) for _, bound in EDGES
    }
    bench.image.close()


def test_figures_of_devices_and_processes_are_those_of_the_image(bench: Bench) -> None:
    port = bench.ports[0]
    port.connected = True
    port.requests, port.failures, port.reconnects = 100, 3, 2
    port.last_ns, port.max_ns, port.back_off_ns = 1_500_000, 9_000_000, 50_000_000
    slot = bench.image.processes["device:coupler"]
    slot.pid, slot.restarts, slot.beat_ns = 0, 2, bench.clock.now_ns() - 30 * MS
    value = value_of(bench)
    assert value("device_connected", device="coupler", driver="modbus-tcp") == 1
    assert value("device_requests_total", device="coupler") == 100
    assert value("device_failures_total", device="coupler") == 3
    assert value("device_reconnects_total", device="coupler") == 2
    assert value("device_last_request_seconds", device="coupler") == 0.0015
    assert value("device_longest_request_seconds", device="coupler") == 0.009
    assert value("device_back_off_seconds", device="coupler") == 0.05
    assert value("process_up", process="device:coupler") == 0
    assert value("process_restarts_total", process="device:coupler") == 2
    assert value("process_beat_age_seconds", process="device:coupler") == 0.03
    assert value("process_up", process="gateway") is None, "it was never started"


def test_events_that_are_not_durable_yet_are_told(bench: Bench) -> None:
    bench.acknowledge()
    bench.image.journal.committed = 12
    value = value_of(bench)
    assert value("journal_waiting") == 0
    bench.request("stop")
    assert value("journal_waiting") == 1
    assert value("journal_committed_total") == 12


# --- who is answered ------------------------------------------------------------------------------


class Standing(Collector):
    """One gauge; fails while there is no value."""

    def __init__(self, *values: float) -> None:
        self.values = list(values)

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> list[Metric]:
        metric = Metric("cellwright_info", "One", "gauge")
        metric.add_sample("cellwright_info", {}, self.values[-1])
        return [metric]


def listening(server: MetricsServer) -> tuple[str, int]:
    """Its address, as soon as there is one."""
    deadline = time.monotonic() + TIMEOUT_S
    while server.address is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return server.address


@pytest.fixture
def standing() -> Standing:
    return Standing(1)


@pytest.fixture
def address(standing: Standing) -> Iterator[tuple[str, int]]:
    with closing(MetricsServer("127.0.0.1", 0, metrics_app(standing))) as server:
        yield listening(server)
    assert server.address is None


def request(
    address: tuple[str, int], method: str = "GET", path: str = "/metrics"
) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection(*address, timeout=TIMEOUT_S)
    with closing(connection):
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()


def test_the_page_of_a_real_image_arrives_whole(bench: Bench) -> None:
    app = metrics_app(CellCollector(bench.image, bench.clock.now_ns))
    with closing(MetricsServer("127.0.0.1", 0, app)) as server:
        status, headers, page = request(listening(server))
    assert status == 200
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert int(headers["Content-Length"]) == len(page.encode())
    names = {family.name for family in text_string_to_metric_families(page)}
    assert {"cellwright_info", "cellwright_task_runs", "cellwright_scan_cycle_seconds"} <= names
    (info,) = [line for line in page.splitlines() if line.startswith("cellwright_info")]
    assert 'site="Plant \\"1\\"\\\\\\n"' in info


def test_a_head_request_gets_the_length_and_no_page(address: tuple[str, int]) -> None:
    page = request(address)[2]
    status, headers, body = request(address, "HEAD")
    assert (status, headers["Content-Length"], body) == (200, str(len(page)), "")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/metrics?x=1", 200),
        ("GET", "/", 404),
        ("POST", "/metrics", 405),
        ("GET", "/metricsx", 404),
    ],
)
def test_other_paths_and_methods_are_refused(
    address: tuple[str, int], method: str, path: str, status: int
) -> None:
    assert request(address, method, path)[0] == status


@pytest.mark.parametrize("sent", [b"GET /metrics HT", b"\x16\x03\x01 hello\r\n\r\n"])
def test_a_silent_or_strange_client_is_dropped_and_holds_nobody_up(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(metrics, "TIMEOUT_S", 0.5)
    with socket.create_connection(address, TIMEOUT_S) as client:
        client.sendall(sent)
        assert request(address)[0] == 200
        while client.recv(4096):
            pass
    assert request(address)[0] == 200


def test_a_client_that_sends_a_little_again_and_again_is_dropped_too(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "TIMEOUT_S", 0.3)
    with socket.create_connection(address, TIMEOUT_S) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\n")
        client.settimeout(0.05)
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            client.sendall(b"X: y\r\n")
            try:
                assert client.recv(100) == b""
            except TimeoutError:
                continue
            return
    pytest.fail("it is still connected")


def test_one_client_more_than_allowed_is_turned_away(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "CONNECTIONS", 2)
    crowd = [socket.create_connection(address, TIMEOUT_S) for _ in range(2)]
    with socket.create_connection(address, TIMEOUT_S) as client:
        assert client.recv(100) == b""
    for one in crowd:
        one.close()
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            assert request(address)[0] == 200
            break
        except (http.client.RemoteDisconnected, ConnectionResetError):
            time.sleep(0.01)  # the crowd has not gone yet


def test_a_page_that_cannot_be_made_is_a_500_and_the_next_one_is_served(
    address: tuple[str, int], standing: Standing
) -> None:
    standing.values.clear()
    with structlog.testing.capture_logs() as logs:
        assert request(address)[0] == 500
    assert [log["event"] for log in logs] == ["metrics page failed"]
    standing.values.append(2)
    assert "cellwright_info 2.0\n" in request(address)[2]


def test_a_port_that_is_taken_is_logged_once_and_tried_again_until_it_is_free(
    monkeypatch: pytest.MonkeyPatch, standing: Standing
) -> None:
    monkeypatch.setattr(metrics, "RETRY_S", 0.05)
    other = socket.create_server(("127.0.0.1", 0))
    port = other.getsockname()[1]
    timer = threading.Timer(0.3, other.close)
    timer.start()
    with (
        structlog.testing.capture_logs() as logs,
        closing(MetricsServer("127.0.0.1", port, metrics_app(standing))) as server,
    ):
        assert listening(server) == ("127.0.0.1", port)
        assert request(server.address)[0] == 200  # type: ignore[arg-type] - it listens
    timer.join()
    events = [log["event"] for log in logs if log["log_level"] != "debug"]
    assert events == ["metrics are not served; trying again", "metrics are served"]


def test_a_host_by_name_is_reached_by_its_number_too(standing: Standing) -> None:
    with closing(MetricsServer("localhost", 0, metrics_app(standing))) as server:
        assert listening(server)[0] == "127.0.0.1"


@pytest.mark.parametrize("away", ["10.255.255.1", "nowhere.invalid", "no..name"])
def test_the_server_ends_while_it_cannot_listen(away: str, standing: Standing) -> None:
    server = MetricsServer(away, 1, metrics_app(standing))
    began = time.monotonic()
    server.close()
    assert time.monotonic() - began < 2.0


def test_the_server_ends_while_a_client_is_connected(standing: Standing) -> None:
    server = MetricsServer("127.0.0.1", 0, metrics_app(standing))
    with socket.create_connection(listening(server), TIMEOUT_S) as waiting:
        waiting.sendall(b"GET /metrics")
        server.close()
        assert waiting.recv(100) == b""
        assert server.address is None
