"""How the web process itself does, for Prometheus: requests, times, requests under way.

With several workers prometheus_client keeps the values in files of the folder that
``PROMETHEUS_MULTIPROC_DIR`` names, and each worker tells the sum of all; the process must set it
before this module is imported.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
UNMATCHED: Final = "unmatched"
"""Path of requests that no route answers; their own would make a series each."""
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds."""


class HttpMetrics:
    """Counts requests, and makes the page of these and of other collectors."""

    def __init__(self, collectors: Sequence[Collector] = ()) -> None:
        self._registry = CollectorRegistry()
        several = "PROMETHEUS_MULTIPROC_DIR" in os.environ
        registry = None if several else self._registry
        labels = ("method", "path", "status_code")
        self._requests = Counter(
            "http_requests_total", "Requests that were answered.", labels, registry=registry
        )
        self._seconds = Histogram(
            "http_request_duration_seconds",
            "Time from the head of a request to the end of its answer.",
            ("method", "path"),
            buckets=BUCKETS,
            registry=registry,
        )
        self._under_way = Gauge(
            "http_requests_in_flight",
            "Requests that are being answered.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        if several:
            MultiProcessCollector(self._registry)  # type: ignore[no-untyped-call]
        for collector in collectors:
            self._registry.register(collector)

    def begin(self) -> None:
        """A request has come."""
        self._under_way.inc()

    def end(self, method: str, path: str, status: int, seconds: float) -> None:
        """It is answered; ``path`` is the template of its route, status 0 tells that the client
        did not wait for an answer."""
        self._under_way.dec()
        method = method if method in METHODS else "other"
        self._requests.labels(method, path, str(status) if status else "none").inc()
        self._seconds.labels(method, path).observe(seconds)

    def page(self) -> tuple[str, bytes]:
        """Media type and text. Asks the collectors, which may take the time of a database."""
        return CONTENT_TYPE_LATEST, generate_latest(self._registry)
