"""Health, readiness and the page for Prometheus."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cellwright.mes.kernel.errors import StoreError
from cellwright.web.metrics.figures import Figures, MesCollector, Times
from cellwright.web.metrics.http import HttpMetrics
from support.notes import Serving, serving

FIGURES = Figures(
    orders_created=7,
    orders_by_status={"Created": 2, "Running": 5},
    order_times=Times(buckets=((60.0, 1), (3600.0, 3)), count=4, sum_s=9000.0),
    inspection_pass_rate=97.5,
    spc_out_of_control=3,
    ncr_open=1,
    database_connections=4,
    database_deadlocks=0,
    database_times=Times(buckets=((0.1, 9),), count=10, sum_s=2.5),
)


class Source:
    away = False

    def figures(self) -> Figures:
        if self.away:
            raise StoreError("store_unreachable", "gone")
        return FIGURES


def samples(page: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


@pytest.fixture
def measured(tmp_path: Path):
    source = Source()
    with serving(tmp_path, metrics=HttpMetrics([MesCollector(source)])) as server:
        yield server, source


def test_every_figure_of_the_mes_is_on_the_page_by_its_name(
    measured: tuple[Serving, Source],
) -> None:
    server, source = measured
    found = samples(httpx.get(f"{server.url}/metrics").text)
    assert found["workorder_created_total", ()] == 7
    assert found["workorder_status_gauge", (("status", "Running"),)] == 5
    assert found["workorder_duration_seconds_bucket", (("le", "3600.0"),)] == 3
    assert found["workorder_duration_seconds_count", ()] == 4
    assert found["inspection_pass_rate", ()] == 97.5
    assert found["spc_out_of_control_total", ()] == 3
    assert found["ncr_open_gauge", ()] == 1
    assert found["postgres_active_connections", ()] == 4
    assert found["postgres_query_duration_seconds_sum", ()] == 2.5
    assert found["postgres_deadlocks_total", ()] == 0
    assert found["mes_figures_up", ()] == 1
    source.away = True
    found = samples(httpx.get(f"{server.url}/metrics").text)
    assert found["mes_figures_up", ()] == 0
    assert ("workorder_created_total", ()) not in found, "a gap, not an old number"


def test_requests_are_counted_by_the_template_of_their_route(
    measured: tuple[Serving, Source],
) -> None:
    server, _ = measured
    ada = {"Authorization": "Bearer ada"}
    for n in range(3):
        httpx.get(f"{server.url}/api/v1/notes/{n}", headers=ada)
        httpx.get(f"{server.url}/nothing/{n}")
    httpx.request("BREW", f"{server.url}/health")
    found = samples(httpx.get(f"{server.url}/metrics").text)

    def counted(method: str, path: str, status: str) -> float:
        labels = (("method", method), ("path", path), ("status_code", status))
        return found["http_requests_total", labels]

    assert counted("GET", "/api/v1/notes/{id}", "404") == 3
    assert counted("GET", "unmatched", "404") == 3
    assert not any("/nothing" in str(labels) for _, labels in found)
    seconds = (("method", "GET"), ("path", "/api/v1/notes/{id}"))
    assert found["http_request_duration_seconds_count", seconds] == 3
    assert found["http_requests_in_flight", ()] == 1, "this one"


def test_health_tells_of_the_process_and_ready_of_the_store(tmp_path: Path) -> None:
    why = ["the database does not answer; try again later"]
    with serving(tmp_path, ready=lambda: why[0]) as server:
        assert httpx.get(f"{server.url}/health").json() == {"status": "ok"}
        answer = httpx.get(f"{server.url}/ready")
        assert (answer.status_code, answer.json()["error"]) == (503, why[0])
        assert int(answer.headers["retry-after"]) > 0
        why[0] = ""
        assert httpx.get(f"{server.url}/ready").status_code == 200
