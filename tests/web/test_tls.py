"""TLS: nothing older than 1.3, and who a client certificate says the client is."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cellwright.web.server.settings import Tls
from support.notes import Serving, serving


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, the server's certificate, one of ada, and one of a stranger who signed his own."""
    folder = tmp_path_factory.mktemp("pki")
    (folder / "server.ext").write_text("subjectAltName=IP:127.0.0.1\n")
    (folder / "ada.ext").write_text("extendedKeyUsage=clientAuth\n")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("ca", "stranger"):
        openssl(folder, "req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.pem",
                "-subj", f"/CN={name}", "-days", "2")  # fmt: skip
    for name in ("server", "ada"):
        openssl(folder, "req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr",
                "-subj", f"/O=Works/CN={name}")  # fmt: skip
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-CAcreateserial", "-out", f"{name}.pem", "-extfile", f"{name}.ext",
                "-days", "2")  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def server(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    tls = Tls(
        certificate=str(certificates / "server.pem"),
        key=str(certificates / "server.key"),
        client_ca=str(certificates / "ca.pem"),
    )
    with serving(tmp_path_factory.mktemp("tls"), tls=tls) as running:
        yield running


def client(server: Serving, folder: Path, name: str = "", **headers: str) -> httpx.Client:
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    if name:
        context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    url = f"https://127.0.0.1:{server.port}"
    return httpx.Client(base_url=url, verify=context, headers=headers)


def test_answers_over_tls_tell_browsers_to_stay_with_it(
    server: Serving, certificates: Path
) -> None:
    with client(server, certificates) as one:
        answer = one.get("/health")
        assert answer.status_code == 200
        assert "max-age=" in answer.headers["strict-transport-security"]
        assert one.get("/api/v1/notes").status_code == 401


def test_a_client_certificate_says_who_asks_and_a_token_goes_before_it(
    server: Serving, certificates: Path
) -> None:
    with client(server, certificates, "ada") as ada:
        assert ada.get("/api/v1/notes").status_code == 200
        note = {"title": "x", "quantity": 1}
        assert ada.post("/api/v1/notes", json=note).status_code == 201
        rob = {"Authorization": "Bearer rob"}
        assert ada.post("/api/v1/notes", json=note, headers=rob).status_code == 403
    with client(server, certificates, "server") as unknown:
        assert unknown.get("/api/v1/notes").status_code == 401


def test_a_certificate_that_nobody_known_has_signed_is_turned_away(
    server: Serving, certificates: Path
) -> None:
    with client(server, certificates, "stranger") as stranger, pytest.raises(httpx.HTTPError):
        stranger.get("/health")


def test_older_tls_and_plain_http_are_turned_away(server: Serving, certificates: Path) -> None:
    context = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"https://127.0.0.1:{server.port}/health", verify=context)
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{server.port}/health")
