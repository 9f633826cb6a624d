"""`cellwright trust`: what it prints, what it changes in the folders, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cellwright.opcua_model.security.checks import thumbprint
from cellwright.opcua_model.security.trust_list import TrustList
from cellwright.runtime.cli import main
from cellwright.runtime.cli.templates.first_cell import write_template
from support.opcua_certificates import DER, Made, Workshop


@pytest.fixture(scope="module")
def workshop() -> Workshop:
    return Workshop()


@pytest.fixture(scope="module")
def scada(workshop: Workshop) -> Made:
    return workshop.client("SCADA of line 3 with a name that goes on and on", uri="urn:plant:scada")


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    folder = tmp_path / "cell"
    write_template(folder)
    return folder


@pytest.fixture
def refused(cell: Path, scada: Made) -> str:
    """The thumbprint of a client that the server has refused."""
    TrustList(cell / "data" / "pki").keep_rejected(scada.certificate)
    return thumbprint(scada.certificate)


def typed(cell: Path, *words: str) -> Result:
    return CliRunner().invoke(main.app, ["trust", *words, str(cell)], env={"COLUMNS": "80"})


def states(cell: Path) -> list[tuple[str, str]]:
    return [(each.state, each.name[:5]) for each in TrustList(cell / "data" / "pki").entries()]


def test_a_list_without_certificates_says_so(cell: Path) -> None:
    assert "holds no certificates of clients" in typed(cell, "list").stdout


def test_the_list_fits_eighty_columns_and_names_what_a_decision_needs(
    cell: Path, refused: str, scada: Made
) -> None:
    shown = typed(cell, "list").stdout
    assert max(map(len, shown.splitlines())) <= 80
    expiry = f"{scada.certificate.not_valid_after_utc:%Y-%m-%d}"
    for part in ("rejected", refused[:12], expiry, "SCADA of line 3", "urn:plant:scada"):
        assert part in shown
    (record,) = json.loads(typed(cell, "list", "--json").stdout)
    assert record["thumbprint"] == refused
    assert record["application"] == "urn:plant:scada"


def test_a_refused_client_is_trusted_rejected_again_and_forgotten(cell: Path, refused: str) -> None:
    done = typed(cell, "add", refused[:8])
    assert done.stdout.endswith(f"({refused[:12]}): trusted\n")
    assert states(cell) == [("trusted", "SCADA")]
    assert typed(cell, "reject", refused).stdout.endswith(": rejected\n")
    assert states(cell) == [("rejected", "SCADA")]
    assert typed(cell, "remove", refused.upper()).stdout.endswith(": removed\n")
    assert states(cell) == []


def test_an_authority_and_its_revocation_list_are_taken_from_files(
    cell: Path, workshop: Workshop, tmp_path: Path
) -> None:
    root = workshop.authority()
    certificate, _ = root.write(tmp_path / "ca")
    crl = tmp_path / "ca" / "plant.crl"
    crl.write_bytes(workshop.revocations(root).public_bytes(DER))
    assert typed(cell, "add", str(certificate), "--issuer").stdout == "plant CA: completes chains\n"
    assert states(cell) == [("issuer", "plant")]
    assert typed(cell, "add", str(certificate)).stdout == "plant CA: trusted\n"
    assert states(cell) == [("trusted", "plant")]
    assert "revocation list of CN=plant CA" in typed(cell, "add", str(crl)).stdout
    trust = TrustList(cell / "data" / "pki")
    trust.look()
    assert len(trust.known.lists) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("add", "abc"), "'abc' is too short for a thumbprint; give at least 6"),
        (("reject", "0123456789"), "has a thumbprint that begins with '0123456789'"),
        (("add", "cell.yaml"), "cell.yaml holds neither certificates nor a revocation list"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_remedy(
    cell: Path, refused: str, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(cell)
    done = typed(cell, *words)
    assert done.exit_code == 1
    assert told in done.stderr
    assert states(cell) == [("rejected", "SCADA")]


def test_a_cell_without_a_server_has_no_trust_list(tmp_path: Path) -> None:
    write_template(tmp_path / "cell")
    file = tmp_path / "cell" / "cell.yaml"
    text = file.read_text()
    start = text.index("opcua:")
    file.write_text(text[:start] + text[text.index("\n\n", start) :])
    done = typed(tmp_path / "cell", "list")
    assert done.exit_code == 2
    assert "has no section opcua" in done.stderr
