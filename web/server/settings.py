"""How a worker of the web server listens, as plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Files in PEM."""

    certificate: str
    key: str
    client_ca: str = ""
    """Certificates of those who sign client certificates; empty: none are asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Of one worker among ``workers``."""

    host: str
    port: int
    tls: Tls | None = None
    worker: int = 0
    """From 0."""
    workers: int = 1
    server: str
    """Name of the server that the worker belongs to, one of its kind on the machine."""

    @property
    def address(self) -> str:
        """``host:port``, for people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """What clients write before a path."""
        return f"{'https' if self.tls else 'http'}://{self.address}"
