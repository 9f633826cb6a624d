"""Where and how the web server of a cell listens, compiled."""

from __future__ import annotations

import msgspec


class WebSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The section ``web`` of the cell's file."""

    host: str
    port: int
    certificate: str = ""
    """Absolute path; empty: plain HTTP."""
    key: str = ""
    client_ca: str = ""
    """Absolute path; empty: no client certificates are asked for."""
    workers: int = 1
    max_body_bytes: int = 10_000_000
    user_rate: int = 1000
    """Requests a minute of one user."""
    address_rate: int = 100
    """Requests a minute without a user from one address."""
