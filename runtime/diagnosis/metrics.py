"""The cell's figures for Prometheus: a collector over the image, and the server of its page.

The gateway starts it where the cell's file has a section ``metrics``. It reads the image like any
other reader: the scan neither knows nor notices, and nothing here writes. prometheus_client makes
the page; its own server answers any path and waits for a client for ever, hence the small one here.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Final, TypeAlias, TypeVar
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from cellwright.io.image import Distribution, Image, bucket_low, figures
from cellwright.io.image.figures import Figure, Kind
from cellwright.native import lib

S = TypeVar("S")

NS_PER_S: Final = 1_000_000_000

PATH: Final = "/metrics"
TIMEOUT_S: Final = 5.0
"""Longest time that one client may take."""
RETRY_S: Final = 5.0
STOP_CHECK_S: Final = 0.1
CONNECTIONS: Final = 16
"""Clients at once; the connection of one more is closed."""


# --- figures --------------------------------------------------------------------------------------


def _edges() -> Iterator[tuple[int, str]]:
    """Bucket of the image's histogram, and the highest time below it in seconds.

    Two an octave, 1 us to 1 s, on the image's own limits: the cumulative counts are exact.
    """
    for bucket in range(4, lib.CW_BUCKETS, 4):
        low_ns = bucket_low(bucket)
        if 1 << 10 <= low_ns <= 1 << 30:
            yield bucket, f"{(low_ns - 1) // NS_PER_S}.{(low_ns - 1) % NS_PER_S:09d}".rstrip("0")


EDGES: Final = tuple(_edges())
"""Buckets of every exported histogram."""

_Family: TypeAlias = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
_FAMILIES: Final[dict[str, Callable[..., _Family]]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}


class CellCollector(Collector):
    """Every figure that is a metric. One of it for a gateway: it keeps the readers of the image."""

    def __init__(self, image: Image, now_ns: Callable[[], int]) -> None:
        self._image = image
        self._now_ns = now_ns
        self._snapshot = image.snapshot_reader()
        self._ports = figures.polled_devices(image)
        # A snapshot has one reader, and each scrape is a thread.
        self._lock = threading.Lock()

    def describe(self) -> Iterable[Metric]:
        """All metrics, without samples."""
        return _families().values()

    def collect(self) -> Iterable[Metric]:
        """All metrics that this cell has."""
        families = _families()
        with self._lock:
            now_ns = self._now_ns()
            cell = figures.read_cell(self._image, self._snapshot, now_ns)
            _add(families, figures.CELL, cell)
            for task in self._image.plan.tasks:
                _add(families, figures.TASK, figures.read_task(self._image, task), task.name)
            for port in self._ports:
                _add(families, figures.DEVICE, port, port.device.name)
            for process in figures.read_processes(self._image, now_ns):
                _add(families, figures.PROCESS, process, process.slot.name)
            _add(families, figures.JOURNAL, cell)
        return [family for family in families.values() if family.samples]


def _families() -> dict[str, _Family]:
    return {
        key: _FAMILIES[metric.type](metric.name, metric.sentence, labels=metric.labels)
        for key, metric in figures.metrics().items()
    }


def _add(
    families: dict[str, _Family], listed: Iterable[Figure[S]], subject: S, *names: str
) -> None:
    for figure in listed:
        if not figure.metric:
            continue
        family = families[figure.metric]
        labels = [*names, *(read(subject) for read in figure.labels.values())]
        value = figure.read(subject)
        if isinstance(family, HistogramMetricFamily):
            family.add_metric(labels, _cumulative(value), value.total / NS_PER_S)
        else:
            family.add_metric(labels, value / NS_PER_S if figure.kind is Kind.DURATION else value)


def _cumulative(times: Distribution) -> list[tuple[str, float]]:
    """Bound and count of every value up to it. The total is that of the buckets: a record that is
    read while the scan restarts must not contradict itself."""
    counts: list[tuple[str, float]] = []
    seen = before = 0
    for bucket, bound in EDGES:
        seen += sum(times.buckets[before:bucket])
        before = bucket
        counts.append((bound, seen))
    return [*counts, ("+Inf", seen + sum(times.buckets[before:]))]


# --- the page -------------------------------------------------------------------------------------


def metrics_app(collector: Collector) -> WSGIApplication:
    """GET and HEAD of `PATH`, and nothing else."""
    registry = CollectorRegistry()
    registry.register(collector)
    page = make_wsgi_app(registry)

    def app(environ: WSGIEnvironment, start: StartResponse) -> list[bytes]:
        method, headers = environ["REQUEST_METHOD"], [("Content-Type", "text/plain; charset=utf-8")]
        if method not in ("GET", "HEAD"):
            start("405 Method Not Allowed", [*headers, ("Allow", "GET, HEAD")])
            return [b"the metrics are only read\n"]
        if environ["PATH_INFO"] != PATH:
            start("404 Not Found", headers)
            return [f"the metrics are at {PATH}\n".encode()]
        head: list[Any] = []
        try:
            body = b"".join(
                page({**environ, "REQUEST_METHOD": "GET"}, lambda *words: head.extend(words))
            )
        except Exception:  # noqa: BLE001 - the request's outermost edge
            structlog.get_logger(__name__).error("metrics page failed", exc_info=True)
            start("500 Internal Server Error", headers)
            return [b"the page could not be made; see the gateway's log\n"]
        status, headers = head
        start(status, [*headers, ("Content-Length", str(len(body)))])
        return [body] if method == "GET" else []

    return app


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged."""


class _Listener(ThreadingMixIn, WSGIServer):
    """A thread a request; each has `TIMEOUT_S`, and there are `CONNECTIONS` at most."""

    daemon_threads = True
    # A port that another cell listens on is taken, never shared.
    allow_reuse_port = False
    timeout = STOP_CHECK_S

    def __init__(self, host: str, port: int, app: WSGIApplication) -> None:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # A name has both families; a scraper that is given the name tries both, one with numbers
        # has those of IPv4.
        family, _, _, _, where = min(found, key=lambda one: one[0] != socket.AF_INET)
        self.address_family = family
        self._since: dict[socket.socket, float] = {}
        super().__init__((str(where[0]), port), _Handler)
        self.set_app(app)

    def server_bind(self) -> None:
        """Without the look-up of this computer's name, which may wait for a name server."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.socket.getsockname()[:2]
        self.setup_environ()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether one more is served."""
        return len(self._since) < CONNECTIONS

    def process_request(self, request: Any, client_address: Any) -> None:
        """Hand the connection to a thread."""
        self._since[request] = time.monotonic()
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        """The connection's end."""
        self._since.pop(request, None)
        super().close_request(request)

    def cut(self, longer_than_s: float) -> None:
        """End the connections that last longer; their threads find them closed."""
        for request, since_s in list(self._since.items()):
            if time.monotonic() - since_s > longer_than_s:
                with suppress(OSError):  # it has just ended by itself
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A scraper that went away is nothing to report."""
        log = structlog.get_logger(__name__)
        if isinstance(sys.exception(), OSError):
            log.debug("a scraper went away", exc_info=True)
        else:
            log.error("a scraper was not answered", exc_info=True)


class MetricsServer:
    """Listens in a thread of its own until `close`; a port that is taken is tried again."""

    def __init__(self, host: str, port: int, app: WSGIApplication) -> None:
        self._where = (host, port)
        self._app = app
        self._stop = threading.Event()
        self.address: tuple[str, int] | None = None
        """Host and port it listens on, None while it does not."""
        # Nothing in it keeps the process from ending, not even a name server that is silent.
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End every connection and give the port back."""
        self._stop.set()
        self._thread.join(2 * STOP_CHECK_S)

    def _run(self) -> None:
        log, (host, port), told = structlog.get_logger(__name__), self._where, False
        while not self._stop.is_set():
            try:
                listener = _Listener(host, port, self._app)
            except (OSError, UnicodeError) as error:  # the latter: not a host's name
                if not told:
                    log.error(
                        "metrics are not served; trying again",
                        address=f"{host}:{port}",
                        error=str(error),
                    )
                told = True
                self._stop.wait(RETRY_S)
                continue
            with listener:
                self.address = listener.server_name, listener.server_port
                log.info("metrics are served", address=f"{host}:{self.address[1]}", path=PATH)
                while not self._stop.is_set():
                    listener.handle_request()
                    listener.cut(TIMEOUT_S)
                self.address = None
                listener.cut(0)
