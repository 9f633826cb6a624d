"""Addresses that a cell is to listen on are looked at before it starts."""

from __future__ import annotations

import socket
from pathlib import Path

import msgspec
import pytest

from cellwright.io.plan import MetricsSettings, OpcUaSettings, Plan, WebSettings
from cellwright.runtime.cli.templates.first_cell import write_template
from cellwright.runtime.config import compile_file
from cellwright.runtime.supervision.port_check import taken


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    write_template(tmp_path / "cell")
    return compile_file(tmp_path / "cell" / "cell.yaml")


def listening_at(plan: Plan, host: str, port: int) -> Plan:
    return msgspec.structs.replace(
        plan,
        opcua=OpcUaSettings(endpoint=f"opc.tcp://{host}:{port}", anonymous="read", users_file=""),
        metrics=MetricsSettings(host=host, port=port),
        web=WebSettings(host=host, port=port),
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_an_address_that_another_program_has_is_named_with_its_key(plan: Plan, host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        opcua, metrics, web = taken(listening_at(plan, host, port))
    assert opcua.startswith(f"opcua.endpoint: {host}:{port} is not available (")
    assert "address already in use" in opcua
    assert metrics.startswith("metrics.listen: ")
    assert web.startswith("web.listen: ")


def test_an_address_of_ipv6_is_named_as_it_stands_in_the_file(plan: Plan) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as other:
        port = other.getsockname()[1]
        opcua, *_ = taken(listening_at(plan, "[::1]", port))
    assert opcua.startswith(f"opcua.endpoint: [::1]:{port} is not available (")


def test_an_address_of_another_computer_is_named(plan: Plan) -> None:
    opcua, *_ = taken(listening_at(plan, "192.0.2.1", 4840))
    assert "(cannot assign requested address)" in opcua


def test_nothing_is_said_of_free_addresses_of_names_and_of_a_cell_that_listens_nowhere(
    plan: Plan,
) -> None:
    assert taken(listening_at(plan, "127.0.0.1", 0)) == []
    assert taken(listening_at(plan, "cell.example.invalid", 4840)) == []
    assert taken(msgspec.structs.replace(plan, opcua=None, metrics=None)) == []
