"""Electronic signatures: who may give one, what it binds, and what becomes of a wrong one."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import argon2
import msgspec
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from cellwright.mes import audit
from cellwright.mes.audit.tables import AuditRecord
from cellwright.mes.kernel.actions import Caller
from cellwright.mes.kernel.errors import MesError
from cellwright.mes.kernel.store import Store
from cellwright.mes.people import logins
from cellwright.mes.people.credentials.passwords import Passwords
from cellwright.mes.people.roles import permissions
from cellwright.mes.people.signatures import signing
from cellwright.mes.people.tables import Signature, User
from cellwright.mes.service.catalogue import ACTIONS, open_store
from cellwright.mes.service.dispatcher import Dispatcher
from cellwright.mes.service.refused_calls import recorder

CHEAP = Passwords(argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
PASSWORD = "a password"
RELEASE = "workorders.release"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (logins, signing):
        monkeypatch.setattr(module, "hasher", lambda: CHEAP)


class Desk:
    """A store with an order, and people who sign."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.dispatcher = Dispatcher(store, on_refusal=recorder())
        self.root = self._known("root", "Administrator")
        for name, role in (("root", "Administrator"), ("sue", "Supervisor"), ("oli", "Operator")):
            self("users.create", username=name, password=PASSWORD, roles=[role],
                 printedName=f"{name.title()} Miller")  # fmt: skip
        self.root = self.who("root")
        self("parts.create", partNumber="SHAFT")
        self("routings.create", partNumber="SHAFT",
             operations=[{"operationNumber": 10, "operationName": "Turn"}])  # fmt: skip

    @staticmethod
    def _known(name: str, role: str) -> Caller:
        return Caller(
            username=name,
            roles=frozenset({role}),
            permissions=permissions([role]),
            authentication="password",
        )

    def who(self, name: str, login: str = "login-1") -> Caller:
        with self.store.reading() as session:
            user = session.scalars(select(User).where(User.username == name)).one()
            return Caller(
                username=name, user_id=user.id, printed_name=user.printed_name,
                roles=frozenset(user.roles), permissions=permissions(user.roles),
                authentication="password", session=login,
            )  # fmt: skip

    def __call__(self, name: str, who: Caller | None = None, /, **given: Any) -> Any:
        request = msgspec.convert(given, ACTIONS[name].request)
        return self.dispatcher.call(ACTIONS[name], request, who or self.root).answer

    def order(self) -> str:
        return str(self("workorders.create", partNumber="SHAFT", quantity=5).id)

    def signatures(self) -> list[Any]:
        return list(self("signatures.list").items)


def given(name: str = "sue", password: str = PASSWORD, **more: Any) -> dict[str, Any]:
    return {"username": name, "password": password, "meaning": "approval", **more}


@pytest.fixture
def desk(database_url: str, clock: Any, tmp_path: Path) -> Any:
    store = open_store(database_url, utc_ns=clock, secrets=tmp_path / "keys")
    yield Desk(store)
    store.close()


def refused(code: str, *call: Any, **given_: Any) -> MesError:
    with pytest.raises(MesError) as caught:
        call[0](*call[1:], **given_)
    assert caught.value.code == code, caught.value.message
    return caught.value


def test_a_signature_holds_who_when_what_and_why(desk: Desk, clock: Any) -> None:
    number = desk.order()
    desk(RELEASE, desk.who("sue"), id=number, signature=given(meaning="responsibility"))
    (found,) = desk.signatures()
    assert (found.signer, found.printed_name, found.meaning) == (
        "sue", "Sue Miller", "responsibility",
    )  # fmt: skip
    assert (found.action, found.entity_type, found.entity_id) == (RELEASE, "work_order", number)
    assert (found.factors, found.continuous, found.valid) == ("password", False, True)
    assert found.entity_version == desk("workorders.get", id=number).version


def test_the_password_is_nowhere(desk: Desk) -> None:
    desk(RELEASE, id=desk.order(), signature=given())
    refused(
        "signature_refused", desk, RELEASE, id=desk.order(), signature=given(password="wrong!!!")
    )
    with desk.store.session() as session:
        texts = [f"{row.old}{row.new}{row.reason}" for row in session.scalars(select(AuditRecord))]
        texts += [str(row.__dict__) for row in session.scalars(select(Signature))]
    assert not [each for each in texts if PASSWORD in each or "wrong!!!" in each]


def test_an_action_demands_one_where_the_site_says_so(desk: Desk) -> None:
    assert not [each for each in desk("signatures.demands") if each.action == RELEASE]
    refused("signature_required", desk, "signatures.demand", action=RELEASE)
    desk("signatures.demand", action=RELEASE, signature=given("root"))
    number = desk.order()
    error = refused("signature_required", desk, RELEASE, id=number)
    assert error.details[0].field == "signature"
    assert desk("workorders.get", id=number).status == "Created"
    desk(RELEASE, id=number, signature=given())
    desk("signatures.demand", action=RELEASE, demanded=False, signature=given("root"))
    desk(RELEASE, id=desk.order())


@pytest.mark.parametrize(
    ("action", "complaint"),
    [
        ("no.such", "there is no action"),
        ("workorders.list", "nothing that can be signed"),
    ],
)
def test_a_demand_for_what_cannot_be_signed_is_refused(
    desk: Desk, action: str, complaint: str
) -> None:
    error = refused(
        "invalid_request", desk, "signatures.demand", action=action, signature=given("root")
    )
    assert complaint in error.message


def test_two_components_first_and_one_thereafter(desk: Desk, clock: Any) -> None:
    sue = desk.who("sue")
    alone = {"password": PASSWORD, "meaning": "approval"}
    refused("signature_required", desk, RELEASE, sue, id=desk.order(), signature=alone)
    desk(RELEASE, sue, id=desk.order(), signature=given())
    desk(RELEASE, sue, id=desk.order(), signature=alone)
    assert [each.continuous for each in desk.signatures()] == [False, True]
    assert desk.signatures()[1].factors == "password (continuous session)"
    other = desk.who("sue", "login-2")
    refused("signature_required", desk, RELEASE, other, id=desk.order(), signature=alone)
    clock.advance(timedelta(minutes=16).total_seconds())
    refused("signature_required", desk, RELEASE, sue, id=desk.order(), signature=alone)
    nobody = desk._known("guest", "Administrator")
    refused("signature_required", desk, RELEASE, nobody, id=desk.order(), signature=alone)


def test_who_may_not_do_it_may_not_sign_it(desk: Desk) -> None:
    number = desk.order()
    desk("signatures.demand", action="workorders.create", signature=given("root"))
    create = {"partNumber": "SHAFT", "quantity": 1}
    refused("signature_refused", desk, "workorders.create", **create, signature=given("oli"))
    assert desk("workorders.get", id=number).status == "Created"


@pytest.mark.parametrize("name", ["sue", "nobody"])
def test_a_wrong_signature_is_refused_alike_counted_and_on_record(desk: Desk, name: str) -> None:
    number = desk.order()
    error = refused(
        "signature_refused", desk, RELEASE, id=number, signature=given(name, "wrong one")
    )
    assert error.message == ("Forbidden: the signature is refused: user name or password is wrong")
    with desk.store.session() as session:
        (record,) = audit.trail(session, entity_type="user", entity_id=name)[-1:]
        assert (record.action, record.actor) == ("signature.refused", "root")
        if name == "sue":
            user = session.scalars(select(User).where(User.username == name)).one()
            assert user.failed_logins == 1
    assert not desk.signatures()


def test_five_wrong_ones_lock_also_the_right_one(desk: Desk, clock: Any) -> None:
    number = desk.order()
    for _ in range(5):
        refused(
            "signature_refused", desk, RELEASE, id=number, signature=given(password="wrong one")
        )
    refused("signature_refused", desk, RELEASE, id=number, signature=given())
    clock.advance(31)
    desk(RELEASE, id=number, signature=given())
    assert len(desk.signatures()) == 1


@pytest.mark.parametrize("meaning", ["", "because", "Approval"])
def test_a_meaning_is_one_of_four(desk: Desk, meaning: str) -> None:
    error = refused(
        "invalid_request", desk, RELEASE, id=desk.order(), signature=given(meaning=meaning)
    )
    assert "approval, review, responsibility, authorship" in error.message


def test_a_refused_action_leaves_no_signature(desk: Desk) -> None:
    number = desk.order()
    desk(RELEASE, id=number)
    refused("invalid_state", desk, RELEASE, id=number, signature=given())
    assert not desk.signatures()


def test_a_signature_is_taken_back_by_another(desk: Desk) -> None:
    desk(RELEASE, id=desk.order(), signature=given())
    (first,) = desk.signatures()
    root = given("root")
    refused("signature_required", desk, "signatures.invalidate", id=first.id, reason="wrong order")
    refused("invalid_request", desk, "signatures.invalidate", id=first.id, signature=root)
    desk("signatures.invalidate", id=first.id, reason="wrong order", signature=root)
    taken, taking = desk.signatures()
    assert (taken.valid, taken.invalidated_by, taking.valid) == (False, taking.id, True)
    again = {"id": first.id, "reason": "again", "signature": root}
    refused("invalid_state", desk, "signatures.invalidate", **again)
    unknown = {"id": 999_999, "reason": "again", "signature": root}
    refused("unknown_signature", desk, "signatures.invalidate", **unknown)


def test_a_row_of_a_signature_neither_changes_nor_goes(desk: Desk) -> None:
    desk(RELEASE, id=desk.order(), signature=given())
    for statement in ("UPDATE signature SET meaning = 'review'", "DELETE FROM signature"):
        with pytest.raises(DBAPIError), desk.store.session() as session:
            session.execute(text(statement))


@pytest.mark.parametrize("field", ["meaning", "printed_name", "entity_id", "content_hash"])
def test_a_signature_that_was_forged_below_the_triggers_does_not_hold(
    desk: Desk, field: str, database_url: str
) -> None:
    desk(RELEASE, id=desk.order(), signature=given())
    with desk.store.session() as session:
        row = session.scalars(select(Signature)).one()
        forged = {column.name: getattr(row, column.name) for column in Signature.__table__.columns}
        forged |= {"id": row.id + 1, field: "review" if field == "meaning" else "f" * 64}
        session.execute(Signature.__table__.insert().values(**forged))
    first, second = desk.signatures()
    assert (first.valid, second.valid) == (True, False)
    assert second.problem


def test_a_signature_moved_to_another_record_does_not_hold(desk: Desk) -> None:
    for _ in range(2):
        desk(RELEASE, id=desk.order(), signature=given())
    with desk.store.session() as session:
        one, two = session.scalars(select(Signature).order_by(Signature.id))
        moved = {column.name: getattr(one, column.name) for column in Signature.__table__.columns}
        moved |= {"id": two.id + 1, "audit_sequence": two.audit_sequence}
        session.execute(Signature.__table__.insert().values(**moved))
    assert [each.valid for each in desk.signatures()] == [True, True, False]
