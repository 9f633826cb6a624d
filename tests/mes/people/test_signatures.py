"""Electronic signatures (21 CFR 11.50, 11.70, 11.200, 11.300), on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import argon2
import msgspec
import pyotp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.exc import DatabaseError, IntegrityError

from cellwright.mes import audit
from cellwright.mes.audit.tables import AuditRecord
from cellwright.mes.kernel.actions import Caller
from cellwright.mes.kernel.errors import MesError
from cellwright.mes.kernel.scope import DEFAULT_SCOPE
from cellwright.mes.kernel.secrets import secrets_folder
from cellwright.mes.kernel.store import Store
from cellwright.mes.people import accounts
from cellwright.mes.people.accounts import Who
from cellwright.mes.people.credentials.passwords import Passwords
from cellwright.mes.people.keys import totp
from cellwright.mes.people.signatures import reading, signing
from cellwright.mes.people.tables import Signature
from cellwright.mes.people.verification import caller_of
from cellwright.mes.service.catalogue import ACTIONS, open_store
from cellwright.mes.service.dispatcher import Dispatcher
from cellwright.mes.service.refused_calls import recorder
from tests.mes.conftest import FakeClock
from tests.support.audit_trails import behind_the_triggers

CHEAP = Passwords(argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
PASSWORD = "correct horse 7!"
TICKET = {"username": "boss", "password": PASSWORD, "meaning": "approval"}
PEOPLE = {"root": "Administrator", "boss": "Production Supervisor", "op": "Quality Inspector"}


class Office:
    """Calls actions as somebody who has logged in."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store, self.clock = store, clock
        self.dispatcher = Dispatcher(store, on_refusal=recorder())
        who = Who("tests", "", datetime(2026, 3, 14, 12, tzinfo=UTC))
        with store.session() as session:
            for name, role in PEOPLE.items():
                accounts.create(
                    session, who, username=name, password_hash=CHEAP.hash(PASSWORD, name),
                    printed_name=name.title(), given=[role],
                )  # fmt: skip

    def caller(self, name: str, login: str) -> Caller:
        with self.store.reading() as session:
            user = accounts.find(session, name)
            return caller_of(user, DEFAULT_SCOPE, authentication="password", login=login)

    def __call__(self, name: str, who: str = "boss", login: str = "L1", **given: Any) -> Any:
        action = ACTIONS[name]
        request = msgspec.convert(given, action.request)
        return self.dispatcher.call(action, request, self.caller(who, login)).answer

    def demand(self, action: str, *, demanded: bool = True) -> None:
        signature = {**TICKET, "username": "root"}
        self("signatures.demand", "root", action=action, demanded=demanded, signature=signature)

    def signatures(self, **given: Any) -> list[Any]:
        return self("signatures.list", **given).items


@pytest.fixture
def office(
    database_url: str, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Office]:
    """A store with three people, whose passwords are quickly hashed."""
    monkeypatch.setattr(signing, "hasher", lambda: CHEAP)
    store = open_store(database_url, utc_ns=clock, secrets=tmp_path / "keys")
    yield Office(store, clock)
    store.close()


@pytest.fixture
def order(office: Office) -> str:
    """Number of an order that can be released; releasing demands a signature."""
    office("parts.create", "root", partNumber="SHAFT")
    steps = [{"operationNumber": 10, "operationName": "Turn"}]
    office("routings.create", "root", partNumber="SHAFT", operations=steps)
    office.demand("workorders.release")
    return str(office("workorders.create", "root", partNumber="SHAFT", quantity=3).id)


def refused(office: Office, name: str, code: str, **given: Any) -> MesError:
    with pytest.raises(MesError) as caught:
        office(name, **given)
    assert caught.value.code == code, caught.value.message
    return caught.value


def test_what_demands_a_signature_does_nothing_without(office: Office, order: str) -> None:
    error = refused(office, "workorders.release", "signature_required", id=order)
    assert error.details[0].field == "signature"
    assert office("workorders.get", id=order).status == "Created"
    office("workorders.release", id=order, signature=TICKET)
    assert office("workorders.get", id=order).status == "Released"


def test_the_record_says_who_when_why_and_what(office: Office, order: str) -> None:
    office.clock.advance(60)
    answer = office("workorders.release", id=order, signature=TICKET, reason="go")
    (found,) = office.signatures(entityType="work_order", entityId=order)
    assert (found.signer, found.printed_name, found.role) == ("boss", "Boss", PEOPLE["boss"])
    assert (found.meaning, found.action) == ("approval", "workorders.release")
    assert found.time == datetime(2026, 3, 14, 12, 1, tzinfo=UTC)
    assert (found.entity_version, found.factors) == (answer.version, "password")
    assert (found.valid, found.problem, found.continuous) == (True, "", False)
    with office.store.reading() as session:
        record = next(
            each for each in audit.trail(session, entity_type="work_order", entity_id=order)
            if each.action == signing.SIGN
        )  # fmt: skip
    said = msgspec.json.decode(record.new)
    assert said["content"]["request"]["id"] == order
    assert signing.content_hash(said["content"]) == found.content_hash == said["content_hash"]
    verified = office("signatures.verify")
    assert (verified.ok, verified.signatures, verified.broken) == (True, 2, None)


def test_two_components_first_and_one_in_a_continuous_session(office: Office, order: str) -> None:
    alone = {"password": PASSWORD, "meaning": "review"}
    error = refused(office, "workorders.release", "signature_required", id=order, signature=alone)
    assert error.details[0].field == "signature.username"
    office("workorders.release", id=order, signature=TICKET)
    office("workorders.hold", id=order, signature=alone)
    assert [each.continuous for each in office.signatures(entityId=order)] == [False, True]
    refused(office, "workorders.resume", "signature_required", login="L2", id=order,
            signature=alone)  # fmt: skip
    office.clock.advance(signing.CONTINUOUS.total_seconds() + 1)
    refused(office, "workorders.resume", "signature_required", id=order, signature=alone)


def test_the_code_of_who_has_enrolled_is_a_component(office: Office, order: str) -> None:
    secret = pyotp.random_base32()
    with office.store.session() as session:
        user = accounts.find(session, "boss", lock=True)
        keys = secrets_folder(session)
        user.totp_secret = totp.Seal(keys).close(secret, "boss")
        user.totp_active = True
    error = refused(office, "workorders.release", "signature_required", id=order, signature=TICKET)
    assert error.details[0].field == "signature.otp"
    code = pyotp.TOTP(secret).at(office.clock.utc_ns // 10**9)
    office("workorders.release", id=order, signature={**TICKET, "otp": code})
    refused(office, "workorders.hold", "signature_refused", id=order,
            signature={**TICKET, "otp": code})  # fmt: skip
    (found,) = office.signatures(entityId=order)
    assert found.factors == "password+totp"


def test_wrong_passwords_lock_and_are_on_record_without_them(office: Office, order: str) -> None:
    wrong = {**TICKET, "password": "pass-the-secret"}
    for _ in range(5):
        refused(office, "workorders.release", "signature_refused", id=order, signature=wrong)
    error = refused(office, "workorders.release", "signature_refused", id=order, signature=TICKET)
    nobody = {**TICKET, "username": "nobody"}
    other = refused(office, "workorders.release", "signature_refused", id=order, signature=nobody)
    assert error.message == other.message
    with office.store.reading() as session:
        tried = [
            each for each in audit.trail(session, entity_type="user", entity_id="boss")
            if each.action == "signature.refused"
        ]  # fmt: skip
        assert accounts.find(session, "boss").failed_logins == 5
    assert [each.reason for each in tried] == [
        *["wrong password"] * 4, "wrong password; locked after 5 failures", "locked",
    ]  # fmt: skip
    assert office("workorders.get", id=order).status == "Created"
    office.clock.advance(31)
    office("workorders.release", id=order, signature=TICKET)


def test_who_may_not_do_it_may_not_sign_it(office: Office, order: str) -> None:
    as_op = {**TICKET, "username": "op"}
    error = refused(office, "workorders.release", "signature_refused", id=order, signature=as_op)
    assert "op lacks permission" in error.message
    assert office.signatures(entityId=order) == []
    assert office("workorders.get", id=order).status == "Created"


def test_the_password_leaves_no_trace(
    office: Office, order: str, content: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    office("workorders.release", id=order, signature=TICKET)
    refused(office, "workorders.release", "invalid_state", id=order, signature=TICKET)
    refused(office, "workorders.hold", "invalid_request", id=order,
            signature={**TICKET, "password": f"{PASSWORD}\0"})  # fmt: skip
    assert PASSWORD not in repr(content(office.store))
    assert PASSWORD not in repr(msgspec.convert(TICKET, signing.SignatureRequest))
    out, err = capfd.readouterr()
    assert PASSWORD not in out + err


def test_a_refused_action_leaves_no_signature(office: Office, order: str) -> None:
    refused(office, "workorders.complete", "invalid_state", id=order, signature=TICKET)
    assert office.signatures(entityId=order) == []


def test_a_signature_is_taken_back_by_another_one(office: Office, order: str) -> None:
    office("workorders.release", id=order, signature=TICKET)
    (first,) = office.signatures(entityId=order)
    as_root = {**TICKET, "username": "root"}
    refused(office, "signatures.invalidate", "signature_required", who="root", id=first.id,
            reason="wrong order")  # fmt: skip
    refused(office, "signatures.invalidate", "invalid_request", who="root", id=first.id,
            signature=as_root)  # fmt: skip
    office("signatures.invalidate", "root", id=first.id, reason="wrong order", signature=as_root)
    (first,) = office.signatures(entityId=order)
    (second,) = office.signatures(entityType="signature")
    assert (first.valid, first.invalidated_by, second.valid) == (False, second.id, True)
    refused(office, "signatures.invalidate", "invalid_state", who="root", id=first.id,
            reason="again", signature=as_root)  # fmt: skip
    assert office("signatures.verify").ok


def test_rows_are_neither_changed_nor_removed(office: Office, order: str) -> None:
    office("workorders.release", id=order, signature=TICKET)
    for statement in ("UPDATE signature SET meaning = 'review'", "DELETE FROM signature"):
        with pytest.raises((DatabaseError, MesError)), office.store.session() as session:
            session.execute(text(statement))


def test_the_site_says_which_actions_demand_one(office: Office, order: str) -> None:
    found = {each.action: (each.demanded, each.fixed) for each in office("signatures.demands")}
    assert found == {
        "signatures.demand": (True, True),
        "signatures.invalidate": (True, True),
        "workorders.release": (True, False),
    }
    for name, what in (
        ("no.such", "there is no action"),
        ("signatures.demand", "always demands"),
        ("workorders.get", "nothing that can be signed"),
        ("auth.login", "nothing that can be signed"),
    ):
        with pytest.raises(MesError, match=what):
            office.demand(name, demanded=False)
    office.demand("workorders.release", demanded=False)
    office("workorders.release", id=order)


FIELDS = ("printed_name", "role", "meaning", "zone", "entity_type", "entity_id", "entity_version",
          "content_hash", "factors", "continuous", "audit_sequence", "key_id", "signature",
          "signer_id", "utc")  # fmt: skip


def _other(value: Any, drawn: str) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, datetime):
        return value.replace(year=2020)
    return drawn if drawn != value else f"{drawn}x"


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(field=st.sampled_from(FIELDS), drawn=st.text("abc019", max_size=8))
def test_a_signature_that_is_altered_or_moved_is_found(
    office: Office, field: str, drawn: str
) -> None:
    """Whatever the owner of the database writes over any of its fields."""
    if not office.signatures():
        office.demand("workorders.release")
    with office.store.reading() as session:
        row = session.scalars(select(Signature)).one()
        (found,) = reading.shown(session, [row])
        assert not found.problem
        session.expunge(row)
        setattr(row, field, _other(getattr(row, field), drawn))
        (found,) = reading.shown(session, [row])
        assert found.problem, field


def test_one_that_is_removed_or_copied_is_found(office: Office, order: str) -> None:
    office("workorders.release", id=order, signature=TICKET)
    columns = [each.name for each in Signature.__table__.columns if each.name != "id"]
    row = select(*(Signature.__table__.c[name] for name in columns))
    with pytest.raises(IntegrityError):
        behind_the_triggers(office.store, insert(Signature).from_select(columns, row))
    behind_the_triggers(
        office.store, delete(Signature).where(Signature.entity_type == "work_order")
    )
    found = office("signatures.verify")
    assert (found.ok, found.signatures) == (False, 1)
    assert "the audit records it, but it is gone" in found.problem


@pytest.mark.parametrize("written", [{"entity_id": "WO-2026-000099"}, {"new": "{}"}])
def test_a_record_that_was_altered_is_found(
    office: Office, order: str, written: dict[str, str]
) -> None:
    office("workorders.release", id=order, signature=TICKET)
    (signed,) = office.signatures(entityId=order)
    altered = update(AuditRecord).where(AuditRecord.sequence == signed.id).values(**written)
    behind_the_triggers(office.store, altered)
    found = office("signatures.verify")
    assert (found.ok, found.broken) == (False, signed.id)
    assert "its record in the audit says something else" in found.problem
