"""The section ``web``: its model, and the rules that need more than one of its keys."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field

from cellwright.io.files.located_yaml import Node
from cellwright.io.files.problems import Problems
from cellwright.io.plan import WebSettings
from cellwright.runtime.config.sections.addresses import Listen, host_and_port, on_this_machine
from cellwright.runtime.config.sections.section import Section

_MEGABYTE = 1_000_000


class WebTls(Section):
    """TLS 1.3 of the web server. All files are PEM, relative to this file."""

    certificate: str = Field(min_length=1)
    """File with the server's certificate, followed by those between it and the root."""
    key: str = Field(min_length=1)
    """File with its private key."""
    client_ca: str | None = Field(None, min_length=1)
    """File with the certificates of those who sign client certificates. A client that shows one is
    the user whose name is its common name. Default: none are asked for."""


class WebRate(Section):
    """How many requests a minute are answered; more get 429 with the time to wait."""

    user: int = Field(1000, ge=1, le=1_000_000)
    """Of one user."""
    address: int = Field(100, ge=1, le=1_000_000)
    """Of one address without a user; an IPv6 network (/64) counts as one."""


class Web(Section):
    """The MES over HTTP (REST). Without this section it is not offered. It needs `mes`."""

    listen: Listen = "127.0.0.1:8080"
    """Address and port to listen on. Plain HTTP only on this machine; elsewhere it takes `tls`."""
    tls: WebTls | None = None
    """Certificate and key. Default: plain HTTP."""
    workers: int = Field(1, ge=1, le=32)
    """Processes that answer. Each takes a core when it is busy, and about 100 MB."""
    max_body_mb: int = Field(10, ge=1, le=1000)
    """Largest body of a request, in megabytes."""
    rate: WebRate = WebRate()
    """Limits of requests a minute."""


def compile_web(
    web: Web | None, root: Node, folder: Path, problems: Problems
) -> WebSettings | None:
    """The settings, or None without the section or with an error."""
    if web is None:
        return None
    host, port = host_and_port(web.listen)
    if "mes" not in root.entries:
        problems.error(
            root.at(("web",), key=True),
            "the web server has nothing to show",
            "it offers the MES, and the cell has none",
            "add `mes: {database: sqlite:///mes.db}`, or leave out `web`",
        )
    files = {"certificate": "", "key": "", "client_ca": ""}
    if web.tls is not None:
        for name in files:
            files[name] = _file(getattr(web.tls, name), name, root, folder, problems)
    elif not on_this_machine(host):
        problems.error(
            root.at(("web", "listen")),
            f"the web server would listen on {web.listen} without TLS",
            "whoever is on the network could read passwords and tokens",
            "add `tls: {certificate: FILE, key: FILE}` below `web`, or listen on 127.0.0.1",
        )
    return WebSettings(
        host=host,
        port=port,
        workers=web.workers,
        max_body_bytes=web.max_body_mb * _MEGABYTE,
        user_rate=web.rate.user,
        address_rate=web.rate.address,
        **files,
    )


def _file(name: str | None, key: str, root: Node, folder: Path, problems: Problems) -> str:
    if name is None:
        return ""
    path = os.path.abspath(folder / name)
    if not os.path.isfile(path):
        problems.error(
            root.at(("web", "tls", key)),
            f"there is no file '{name}'",
            f"web.tls.{key} is looked up in {folder}",
            "create it or correct the name",
        )
    return path
