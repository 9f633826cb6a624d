"""Whether the addresses that a cell is to listen on are free, asked before it starts.

``cellwright run`` prints what this finds. It never keeps a cell from starting: the gateway tries
again by itself, and everything but its clients does without it.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from cellwright.io.plan import Plan


def taken(plan: Plan) -> list[str]:
    """A sentence for each address of the plan that cannot be listened on now."""
    wanted: list[tuple[str, str, int]] = []
    if plan.opcua is not None:
        endpoint = urlsplit(plan.opcua.endpoint)
        host = endpoint.hostname or ""
        host = f"[{host}]" if ":" in host else host
        wanted.append(("opcua.endpoint", host, endpoint.port or 0))
    if plan.metrics is not None:
        wanted.append(("metrics.listen", plan.metrics.host, plan.metrics.port))
    if plan.web is not None:
        wanted.append(("web.listen", plan.web.host, plan.web.port))
    return [
        f"{key}: {host}:{port} is not available ({why}); clients cannot reach "
        f"this cell there: end the program that uses it, or change {key}"
        for key, host, port in wanted
        if (why := _refusal(host.strip("[]"), port))
    ]


def _refusal(host: str, port: int) -> str:
    """Why nobody can listen there; empty when one can, or when only a name server could tell."""
    if host == "localhost":
        host = "127.0.0.1"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen()
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return ""
