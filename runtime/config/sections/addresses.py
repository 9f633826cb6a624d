"""Addresses to listen on, as ``cell.yaml`` and the command line write them."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Final

from pydantic import AfterValidator

from cellwright.io.plan import MetricsSettings
from cellwright.runtime.config.sections.durations import problem

LISTEN: Final = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):(\d{1,5})", re.ASCII)
"""Address and port."""


def listen(text: str) -> str:
    """The text; raises what pydantic takes for an error when it is no address and port."""
    match = LISTEN.fullmatch(text)
    if match is None or not 0 < int(match[2]) <= 65535:
        raise problem(
            f"'{text[:60]}' is not an address to listen on",
            "it needs an address of this machine and a port from 1 to 65535",
            "write one like 127.0.0.1:9464",
        )
    return text


Listen = Annotated[str, AfterValidator(listen)]


def host_and_port(text: str) -> tuple[str, int]:
    """The parts of a valid address."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def compile_metrics(text: str | None) -> MetricsSettings | None:
    """The settings of the page for Prometheus, where there is one."""
    if text is None:
        return None
    host, port = host_and_port(text)
    return MetricsSettings(host=host, port=port)


def on_this_machine(host: str) -> bool:
    """True for addresses that no other machine reaches."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
