"""``cellwright mes serve`` as real processes: people, orders, audit, and many at once."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pyotp
import pytest
from cryptography.hazmat.primitives import serialization
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from cellwright.mes.audit import merkle
from support.postgresql import running_postgresql

CELLWRIGHT = str(Path(sys.executable).with_name("cellwright"))
PASSWORD = "correct horse 1"
ROLES = {
    "admin": "Administrator",
    "manager": "Plant Manager",
    "super": "Production Supervisor",
    "planner": "Production Planner",
    "op": "Operator",
    "qe": "Quality Engineer",
    "qi": "Quality Inspector",
    "maint": "Maintenance Technician",
}
ORDERS = "/api/v1/workorders"


@dataclass
class Plant:
    """A running server and its users."""

    url: str
    folder: Path
    environment: dict[str, str]

    def client(self, user: str | None) -> httpx.Client:
        headers = {}
        if user is not None:
            headers["Authorization"] = f"Bearer {self.login(user)['accessToken']}"
        return httpx.Client(base_url=self.url, headers=headers, timeout=60)

    def login(self, user: str, **more: str) -> dict[str, str]:
        given = {"username": user, "password": PASSWORD, **more}
        answer = httpx.post(f"{self.url}/auth/login", json=given, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def served(folder: Path, database: str) -> Iterator[Plant]:
    """A server with four workers, and one user: admin."""
    environment = {**os.environ, "CELLWRIGHT_DATABASE": database}
    keys = str(folder / "keys")
    command = [CELLWRIGHT, "mes", "user", "add", "admin", "--roles", ROLES["admin"]]
    subprocess.run([*command, "--secrets", keys, "--password", PASSWORD], env=environment,
                   check=True, capture_output=True, timeout=60)  # fmt: skip
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = [CELLWRIGHT, "mes", "serve", "--secrets", keys, "--workers", "4"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*serve, "--listen", f"127.0.0.1:{port}"], env=environment, stdout=log, stderr=log
        )
        running = Plant(f"http://127.0.0.1:{port}", folder, environment)
        try:
            until_ready(running)
            yield running
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """On SQLite, with a user for each role."""
    folder = tmp_path_factory.mktemp("plant")
    with served(folder, f"sqlite:///{folder / 'mes.db'}") as running:
        with running.client("admin") as client:
            for name, role in ROLES.items():
                user = {"username": name, "password": PASSWORD, "roles": [role]}
                if name != "admin":
                    client.post("/api/v1/users", json=user).raise_for_status()
        yield running


@pytest.fixture(scope="module")
def plant_on_postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    folder = tmp_path_factory.mktemp("plant")
    with running_postgresql() as url, served(folder, url) as running:
        yield running


def until_ready(plant: Plant) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{plant.url}/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError((plant.folder / "log").read_text())


@pytest.fixture(scope="module")
def admin(plant: Plant) -> Iterator[httpx.Client]:
    with plant.client("admin") as client:
        define_blade(client)
        yield client


def define_blade(client: httpx.Client) -> None:
    client.post("/api/v1/parts", json={"partNumber": "BLADE"}).raise_for_status()
    steps = [
        {"operationNumber": 10, "operationName": "Grind"},
        {"operationNumber": 20, "operationName": "Polish"},
    ]
    routing = {"partNumber": "BLADE", "operations": steps}
    client.post("/api/v1/routings", json=routing).raise_for_status()


def order(admin: httpx.Client, quantity: int = 10, *, released: bool = True) -> str:
    made = admin.post(ORDERS, json={"partNumber": "BLADE", "quantity": quantity})
    assert made.status_code == 201, made.text
    number: str = made.json()["id"]
    if released:
        assert admin.post(f"{ORDERS}/{number}/release").status_code == 200
    return number


def test_the_roles_are_those_of_the_matrix(plant: Plant) -> None:
    """128 cells: eight roles, four areas, four rights; as the running server says."""
    expected = {
        "admin": ("CRUD", "CRUD", "CRUD", "CRUD"),
        "manager": ("RU", "RU", "RU", "RU"),
        "super": ("RU", "R", "RU", "RU"),
        "planner": ("CRUD", "R", "RU", "R"),
        "op": ("RU", "CRU", "RU", "R"),
        "qe": ("R", "CRUD", "R", "R"),
        "qi": ("R", "CRUD", "R", "R"),
        "maint": ("R", "R", "R", "CRUD"),
    }
    rights = {"C": "create", "R": "read", "U": "update", "D": "delete"}
    for user, row in expected.items():
        with plant.client(user) as client:
            granted = set(client.get("/auth/user").json()["permissions"])
        areas = ("workorders", "quality", "materials", "equipment")
        wanted = {
            f"{area}.{rights[letter]}"
            for area, letters in zip(areas, row, strict=True)
            for letter in letters
        }
        assert granted == wanted, user


def test_who_may_not_is_told_so_and_put_on_record(plant: Plant, admin: httpx.Client) -> None:
    number = order(admin)
    with plant.client("qi") as inspector:
        assert inspector.get(f"{ORDERS}/{number}").status_code == 200
        refused = inspector.post(f"{ORDERS}/{number}/hold")
    assert refused.status_code == 403
    assert refused.json()["error"].startswith("Forbidden: qi lacks permission workorders.update")
    trail = admin.get(f"/api/v1/traceability/audit/work_order/{number}").json()
    denied = [record for record in trail if record["action"] == "denied.workorders.hold"]
    assert [(record["actor"], record["new"]["code"]) for record in denied] == [("qi", "forbidden")]
    with plant.client(None) as nobody:
        assert nobody.get(ORDERS).status_code == 401


def test_an_order_goes_its_way(plant: Plant, admin: httpx.Client) -> None:
    number = order(admin)
    shown = admin.get(f"{ORDERS}/{number}")
    assert (shown.json()["status"], shown.json()["progress"]) == ("Released", 0)
    with plant.client("op") as operator:
        step = f"{ORDERS}/{number}/operations"
        assert operator.post(f"{step}/20/start", json={}).status_code == 409
        assert operator.post(f"{step}/10/start", json={"equipmentId": "M1"}).status_code == 200
        done = {"quantityGood": 4, "final": False}
        assert operator.post(f"{step}/10/complete", json=done).status_code == 200
        too_many = operator.post(f"{step}/10/complete", json={"quantityGood": 7})
        assert too_many.status_code == 422
        assert too_many.json()["details"][0]["field"] == "quantityGood"
        rest = {"quantityGood": 4, "quantityScrap": 2}
        assert operator.post(f"{step}/10/complete", json=rest).json()["quantityGood"] == 8
        assert operator.post(f"{ORDERS}/{number}/complete").status_code == 409
        assert operator.post(f"{ORDERS}/{number}/hold", json={"reason": "lunch"}).status_code == 200
        assert operator.post(f"{step}/20/start", json={}).status_code == 409
        assert operator.post(f"{ORDERS}/{number}/resume").json()["status"] == "Running"
        assert operator.post(f"{step}/20/start", json={}).status_code == 200
        assert operator.post(f"{step}/20/complete", json={"quantityGood": 8}).status_code == 200
        ended = operator.post(f"{ORDERS}/{number}/complete").json()
    assert (ended["status"], ended["progress"]) == ("Completed", 100)
    assert (ended["quantityGood"], ended["quantityScrap"]) == (8, 2)
    assert admin.get(f"{ORDERS}/{number}/cost").json()["currency"] == "EUR"
    assert admin.get(f"{ORDERS}/{number}/genealogy").json()["operations"][0]["equipmentId"] == "M1"


def test_a_supervisor_lets_orders_go_on_that_a_change_holds(
    plant: Plant, admin: httpx.Client
) -> None:
    number = order(admin)
    change = admin.post("/api/v1/parts/BLADE/changes", json={"description": "new radius"})
    assert change.status_code == 201
    held = admin.get(f"{ORDERS}/{number}").json()
    assert (held["status"], held["heldBy"]) == ("Held", change.json()["id"])
    with plant.client("op") as operator, plant.client("super") as supervisor:
        assert operator.post(f"{ORDERS}/{number}/resume").status_code == 403
        assert supervisor.post(f"{ORDERS}/{number}/resume").json()["status"] == "Released"


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_of_twenty_at_once_one_wins(request: pytest.FixtureRequest, database: str) -> None:
    """Through four workers."""
    if database == "sqlite":
        admin: httpx.Client = request.getfixturevalue("admin")
        plant: Plant = request.getfixturevalue("plant")
        one_of_twenty_wins(plant, admin)
    else:
        plant = request.getfixturevalue("plant_on_postgresql")
        with plant.client("admin") as admin:
            define_blade(admin)
            one_of_twenty_wins(plant, admin)


def one_of_twenty_wins(plant: Plant, admin: httpx.Client) -> None:
    number = order(admin, released=False)
    headers = dict(admin.headers)

    def send(path: str, body: dict[str, object], key: str = "") -> httpx.Response:
        more = {**headers, "Idempotency-Key": key} if key else headers
        return httpx.post(f"{plant.url}{path}", json=body, headers=more, timeout=120)

    with ThreadPoolExecutor(20) as pool:
        released = [*pool.map(lambda _: send(f"{ORDERS}/{number}/release", {}), range(20))]
        assert sorted(each.status_code for each in released) == [200] + [409] * 19
        send(f"{ORDERS}/{number}/operations/10/start", {})
        path = f"{ORDERS}/{number}/operations/10/complete"
        completed = [*pool.map(lambda _: send(path, {"quantityGood": 10}), range(20))]
        assert sorted(each.status_code for each in completed) == [200] + [409] * 19
        body: dict[str, object] = {"partNumber": "BLADE", "quantity": 3}
        created = [*pool.map(lambda _: send(ORDERS, body, "one-order"), range(20))]
    assert {(each.status_code, each.json()["id"]) for each in created} == {
        (201, created[0].json()["id"])
    }
    assert send(ORDERS, {**body, "quantity": 4}, "one-order").status_code == 422


def test_a_version_that_is_no_more_is_a_conflict(admin: httpx.Client) -> None:
    number = order(admin, released=False)
    assert admin.get(f"{ORDERS}/{number}").headers["etag"] == '"1"'
    change = {"priority": "High", "quantity": 12}
    first = admin.put(f"{ORDERS}/{number}", json=change, headers={"If-Match": '"1"'})
    assert (first.status_code, first.json()["version"]) == (200, 2)
    again = admin.put(f"{ORDERS}/{number}", json=change, headers={"If-Match": '"1"'})
    assert (again.status_code, again.json()["code"]) == (409, "stale_version")
    assert admin.delete(f"{ORDERS}/{number}").status_code == 204
    assert admin.get(f"{ORDERS}/{number}").json()["status"] == "Cancelled"


def test_five_failures_lock_a_user_and_tell_nobody(plant: Plant, admin: httpx.Client) -> None:
    admin.post(
        "/api/v1/users", json={"username": "ed", "password": PASSWORD, "roles": ["Operator"]}
    ).raise_for_status()
    answers = [
        httpx.post(f"{plant.url}/auth/login", json={"username": name, "password": password})
        for name, password in [("ed", "wrong-one")] * 5 + [("ed", PASSWORD), ("nobody", "x" * 9)]
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.json()["error"] for answer in answers}) == 1
    reasons = [
        record["reason"]
        for record in admin.get("/api/v1/traceability/audit-trail/ed").json()
        if record["action"] == "auth.refused"
    ]
    assert reasons == ["wrong password"] * 4 + ["wrong password; locked after 5 failures", "locked"]


def test_tokens_are_renewed_once_and_end_with_their_login(plant: Plant) -> None:
    first = plant.login("maint")
    renew = {"refreshToken": first["refreshToken"]}
    second = httpx.post(f"{plant.url}/auth/refresh", json=renew)
    assert second.status_code == 200
    assert httpx.post(f"{plant.url}/auth/refresh", json=renew).status_code == 401
    third = {"refreshToken": second.json()["refreshToken"]}
    assert httpx.post(f"{plant.url}/auth/refresh", json=third).status_code == 401, "reuse ends all"
    with plant.client("maint") as client:
        assert client.post("/auth/logout").status_code == 204
        deadline = time.monotonic() + 10
        while client.get("/auth/user").status_code != 401:
            assert time.monotonic() < deadline, "the logout reaches every worker"
            time.sleep(0.2)


def test_a_code_is_asked_for_and_works_once(plant: Plant) -> None:
    with plant.client("qe") as client:
        enrolled = client.post("/auth/mfa/enroll").json()
        assert enrolled["otpauthUri"].startswith("otpauth://totp/")
        code = pyotp.TOTP(enrolled["secret"]).now()
        assert client.post("/auth/mfa/verify", json={"code": code}).json() == {"mfa": True}
    login = {"username": "qe", "password": PASSWORD}
    assert httpx.post(f"{plant.url}/auth/login", json=login).status_code == 401
    used = httpx.post(f"{plant.url}/auth/login", json={**login, "otp": code})
    assert used.status_code == 401, "the code that verified is used"


def segments(token: str) -> list[str]:
    return token.split(".")


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_tokens_of_others_are_refused(plant: Plant) -> None:
    good = plant.login("op")["accessToken"]
    header, body, signature = segments(good)
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    assert {"sub", "username", "email", "roles", "permissions", "tenant_id", "iss", "aud",
            "exp", "iat", "nbf"} <= set(claims)  # fmt: skip
    keys = httpx.get(f"{plant.url}/.well-known/jwks.json").json()["keys"]
    kid = json.loads(base64.urlsafe_b64decode(header + "=="))["kid"]
    (public,) = [key for key in keys if key["kid"] == kid]
    pem = RSAKey.import_key(public).as_pem(private=False)
    serialization.load_pem_public_key(pem)
    other = RSAKey.generate_key(2048)
    raised = encoded({**claims, "roles": ["Administrator"], "permissions": ["workorders.delete"]})
    hostile = [
        f"{encoded({'alg': 'none', 'typ': 'JWT', 'kid': kid})}.{body}.",
        f"{encoded({'alg': 'none', 'typ': 'JWT', 'kid': kid})}.{body}.{signature}",
        f"{header}.{raised}.{signature}",
        f"{header}.{body}.{signature[:-2]}AA",
        jwt.encode({"alg": "RS256", "kid": kid, "typ": "JWT"}, claims, other),
        jwt.encode({"alg": "RS256", "kid": "../../etc/passwd", "typ": "JWT"}, claims, other),
        jwt.encode({"alg": "HS256", "kid": kid, "typ": "JWT"}, claims, OctKey.import_key(b"k" * 64),
                   algorithms=["HS256"]),
        "x", "a.b.c", "." * 5000,
    ]  # fmt: skip
    for token in hostile:
        answer = httpx.get(f"{plant.url}{ORDERS}", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401, token[:60]


def test_the_audit_proves_itself(plant: Plant, admin: httpx.Client) -> None:
    number = order(admin)
    trail = admin.get(f"/api/v1/traceability/audit/work_order/{number}").json()
    assert [record["action"] for record in trail] == ["work_order.create", "work_order.release"]
    assert trail[0]["authentication"] == "password"
    record = trail[1]
    proof = admin.get(f"/api/v1/audit/records/{record['sequence']}/proof").json()
    leaf = merkle.leaf_hash(bytes.fromhex(record["hash"]))
    assert proof["leafHash"] == leaf.hex()
    assert merkle.check_inclusion(
        leaf, proof["leafIndex"], proof["treeSize"],
        [bytes.fromhex(each) for each in proof["path"]], bytes.fromhex(proof["rootHash"]),
    )  # fmt: skip
    checkpoint = admin.get("/api/v1/audit/checkpoint").json()
    assert checkpoint["treeSize"] >= proof["treeSize"]
    assert admin.get("/api/v1/audit/verify").json()["ok"]
    found = admin.get("/api/v1/audit", params={"q": f"release {number}"}).json()
    assert [each["sequence"] for each in found] == [record["sequence"]]
    assert admin.get("/api/v1/audit/records/999999/proof").status_code == 404
