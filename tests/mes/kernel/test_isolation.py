"""No tenant sees or changes a row of another one, whatever the statement."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import (
    Engine,
    create_engine,
    delete,
    exists,
    func,
    insert,
    inspect,
    literal,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session, aliased, joinedload, selectinload, subqueryload

from cellwright.mes.kernel import paging
from cellwright.mes.kernel.actions import PageRequest
from cellwright.mes.kernel.base import Base, Scoped
from cellwright.mes.kernel.errors import StoreError
from cellwright.mes.kernel.scope import Scope
from cellwright.mes.kernel.store import Store
from cellwright.mes.people.tables import Tenant
from cellwright.mes.service.catalogue import open_store
from tests.support.foreign_rows import Keys, add_tenant, scoped_classes

OWN, FOREIGN = Scope(1, 1), Scope(2, 2)
CLASSES = scoped_classes()
SHARED = {"alembic_version", "tenant", "site"}
"""Read before it is known whose request it is."""


class Tenants:
    """A store with a row of two tenants in each table."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.own = add_tenant(store, 1)
        self.foreign = add_tenant(store, 2)


@pytest.fixture
def tenants(empty_store: Store) -> Tenants:
    """On SQLite, and on PostgreSQL connected as a superuser."""
    return Tenants(empty_store)


def test_every_table_belongs_to_a_tenant_or_says_what_it_is():
    scoped = {kind.__table__.name for kind in CLASSES}
    assert set(Base.metadata.tables) - scoped == SHARED - {"alembic_version"}


def _key(kind: type[Any], keys: Keys) -> tuple[Any, ...]:
    return keys[kind.__table__.name]


def _readings(kind: type[Any]) -> dict[str, Any]:
    """Statements that give a number: how many rows of the class they see."""
    other = aliased(kind)
    inner = select(kind).subquery()
    common = select(kind.tenant_id).cte()
    both = select(kind.tenant_id).union_all(select(kind.tenant_id).where(literal(False)))
    return {
        "count of a column": select(func.count(kind.tenant_id)),
        "count of rows": select(func.count()).select_from(kind),
        "count of a subquery": select(func.count()).select_from(inner),
        "count of a common table expression": select(func.count()).select_from(common),
        "count of an alias": select(func.count()).select_from(other),
        "count of a union": select(func.count()).select_from(both.subquery()),
        "sum": select(func.sum(kind.tenant_id)),
        "greatest": select(func.max(kind.tenant_id)),
        "scalar subquery": select(select(func.sum(kind.tenant_id)).scalar_subquery()),
        "in a subquery": select(func.sum(Tenant.id)).where(Tenant.id.in_(select(kind.tenant_id))),
        "exists": select(func.sum(Tenant.id)).where(exists().where(kind.tenant_id == Tenant.id)),
        "joined": select(func.sum(Tenant.id)).join(kind, kind.tenant_id == Tenant.id),
        "having": select(func.count()).select_from(kind).group_by(kind.site_id),
    }


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_each_way_to_read_sees_only_the_own_row(tenants, kind):
    with tenants.store.reading(OWN) as session:
        for name, statement in _readings(kind).items():
            assert session.scalars(statement).all() == [1], name
        for statement in (select(kind), select(aliased(kind))):
            assert [row.tenant_id for row in session.scalars(statement)] == [1]
        union = select(kind.tenant_id).union(select(kind.tenant_id))
        assert session.scalars(union).all() == [1]
        assert [row.tenant_id for row in session.query(kind).all()] == [1]
        assert session.query(kind).count() == 1
        _, total = paging.page_of(session, select(kind), PageRequest())
        assert total == 1


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_a_foreign_row_is_not_found_by_its_key(tenants, kind):
    with tenants.store.reading(OWN) as session:
        assert session.get(kind, _key(kind, tenants.own)) is not None
        assert session.get(kind, _key(kind, tenants.foreign)) is None
    with tenants.store.reading(FOREIGN) as session:
        assert session.get(kind, _key(kind, tenants.foreign)) is not None
        assert session.get(kind, _key(kind, tenants.own)) is None


class _RolledBackError(Exception):
    """Ends a session without a trace."""


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_update_and_delete_of_all_rows_do_not_touch_the_foreign_one(tenants, kind):
    columns = inspect(kind).primary_key
    foreign = [
        column == value for column, value in zip(columns, _key(kind, tenants.foreign), strict=True)
    ]

    def change() -> None:
        with tenants.store.session(OWN) as session:
            # A trigger of an append-only table would raise if it saw a row.
            changed = session.execute(
                update(kind).where(*foreign).values(site_id=kind.site_id),
                execution_options={"synchronize_session": False},
            )
            assert changed.rowcount == 0
            gone = session.execute(
                delete(kind).where(*foreign), execution_options={"synchronize_session": False}
            )
            assert gone.rowcount == 0
            raise _RolledBackError

    with pytest.raises(_RolledBackError):
        change()


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_nobody_adds_or_moves_a_row_to_another_tenant(tenants, kind):
    def move() -> None:
        with tenants.store.session(OWN) as session:
            session.get_one(kind, _key(kind, tenants.own)).tenant_id = 2

    def add() -> None:
        with tenants.store.session(OWN) as session:
            session.add(kind(tenant_id=2, site_id=2))

    for attempt in (move, add):
        with pytest.raises(ValueError, match="belongs to another tenant"):
            attempt()


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_a_session_without_a_scope_cannot_touch_a_table_of_tenants(tenants, kind):
    statements = [
        *_readings(kind).values(),
        select(kind),
        update(kind).values(site_id=kind.site_id),
        delete(kind),
    ]
    with Session(tenants.store._engine) as session:
        for statement in statements:
            with pytest.raises(KeyError):
                session.execute(statement)
        session.add(kind())
        with pytest.raises(KeyError):
            session.flush()


def _relations() -> list[Any]:
    return [
        pytest.param(relation, id=str(relation))
        for kind in CLASSES
        for relation in inspect(kind).relationships
        if not relation.uselist
        and len(relation.local_columns) == 1
        and issubclass(relation.mapper.class_, Scoped)
        and next(iter(relation.local_columns)).foreign_keys
    ]


def _misdirect(tenants: Tenants, relation: Any) -> None:
    """Make the own row refer to the foreign one, as no service does."""
    kind, (column,) = relation.parent.class_, relation.local_columns
    table = kind.__table__
    target = _key(relation.mapper.class_, tenants.foreign)[0]
    with tenants.store._engine.begin() as connection:
        connection.execute(
            update(table).where(table.c.tenant_id == 1).values({column.name: target})
        )


@pytest.mark.parametrize("relation", _relations())
def test_no_relation_leads_to_a_foreign_row(tenants, relation):
    _misdirect(tenants, relation)
    kind, name = relation.parent.class_, relation.key
    attribute = getattr(kind, name)
    for option in (None, joinedload(attribute), selectinload(attribute), subqueryload(attribute)):
        with tenants.store.reading(OWN) as session:
            statement = select(kind) if option is None else select(kind).options(option)
            for row in session.scalars(statement).unique():
                assert getattr(row, name) is None, option
    back = relation.back_populates
    if back:
        target = relation.mapper.class_
        with tenants.store.reading(FOREIGN) as session:
            row = session.get_one(target, _key(target, tenants.foreign))
            found = getattr(row, back)
            rows = found if isinstance(found, list) else [found]
            assert all(each is None or each.tenant_id == 2 for each in rows)


# --- PostgreSQL's own policies ----------------------------------------------------------------


@pytest.fixture
def plain_url(postgresql_server: str) -> Iterator[str]:
    """A database of an ordinary user, who owns it and may nothing else."""
    with psycopg.connect(postgresql_server, autocommit=True) as server:
        server.execute("CREATE ROLE plain_owner LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE")
        server.execute("CREATE DATABASE plain_mes OWNER plain_owner")
    url = make_url(postgresql_server).set(username="plain_owner", database="plain_mes")
    yield url.render_as_string(hide_password=False)
    with psycopg.connect(postgresql_server, autocommit=True) as server:
        server.execute("DROP DATABASE plain_mes WITH (FORCE)")
        server.execute("DROP ROLE plain_owner")


@pytest.fixture(params=["superuser", "owner"])
def raw(request: pytest.FixtureRequest) -> Iterator[tuple[Tenants, Engine]]:
    """Tenants on PostgreSQL, and an engine of the same user that knows nothing of the MES."""
    if request.param == "owner":
        url = request.getfixturevalue("plain_url")
    else:
        url = request.getfixturevalue("postgresql").create_migrated()
    store = open_store(url)
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        yield Tenants(store), engine
    finally:
        engine.dispose()
        store.close()


def _tables(session: Any) -> list[str]:
    return list(
        session.scalars(
            text(
                "SELECT table_name FROM information_schema.tables "
                "WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' "
                "ORDER BY table_name"
            )
        )
    )


def test_raw_sql_sees_and_changes_no_foreign_row_in_any_table(raw):
    tenants, _ = raw
    with tenants.store.session(OWN) as session:
        tables = [name for name in _tables(session) if name not in SHARED]
        assert set(tables) == {kind.__table__.name for kind in CLASSES}
        for name in tables:
            assert session.scalars(text(f"SELECT tenant_id FROM {name}")).all() == [1], name
            changed = session.execute(text(f"DELETE FROM {name} WHERE tenant_id = 2"))
            assert changed.rowcount == 0, name
            foreign = text(f"UPDATE {name} SET site_id = 9 WHERE tenant_id <> 1")
            assert session.execute(foreign).rowcount == 0, name


def test_raw_sql_adds_no_row_for_another_tenant(raw):
    tenants, _ = raw
    for kind in CLASSES:
        table = kind.__table__
        with tenants.store.reading(OWN) as session:
            row = dict(session.execute(select(table)).mappings().one())
        row |= {"tenant_id": 2, "site_id": 2}
        if "id" in row:
            row["id"] = 4711

        def add(table: Any = table, row: Any = row) -> None:
            with tenants.store.session(OWN) as session:
                session.connection().execute(insert(table).values(row))

        with pytest.raises(StoreError, match="row of another tenant or site"):
            add()


def test_no_row_moves_to_another_tenant_by_raw_sql(raw):
    tenants, _ = raw
    for name in ("counter", "work_order", "user_account"):

        def move(name: str = name) -> None:
            with tenants.store.session(OWN) as session:
                session.execute(text(f"UPDATE {name} SET tenant_id = 2"))

        with pytest.raises(StoreError, match="row of another tenant or site"):
            move()


def test_who_says_no_tenant_sees_nothing(raw):
    _tenants, engine = raw
    with engine.connect() as connection:
        if connection.scalar(text("SELECT usesuper FROM pg_user WHERE usename = current_user")):
            connection.execute(text("SET LOCAL ROLE cellwright_application"))
        for kind in CLASSES:
            count = connection.scalar(select(func.count()).select_from(kind.__table__))
            assert count == 0, kind


def test_the_tenant_of_a_transaction_is_gone_with_it(raw):
    tenants, _ = raw
    for _ in range(3):
        with tenants.store.session(FOREIGN) as session:
            assert session.scalar(text("SELECT current_setting('cellwright.tenant')")) == "2"
        with tenants.store._engine.connect() as connection:
            seen = connection.scalar(text("SELECT current_setting('cellwright.tenant', true)"))
            assert seen in (None, "")
            assert connection.scalar(text("SELECT current_user = session_user"))


def test_every_table_with_a_tenant_has_a_policy_that_binds_its_owner(raw):
    tenants, _ = raw
    with tenants.store.reading() as session:
        rows = session.execute(
            text(
                "SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class "
                "WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
            )
        ).all()
        policies = set(
            session.scalars(
                text("SELECT tablename FROM pg_policies WHERE schemaname = current_schema()")
            )
        )
    wanted = {kind.__table__.name for kind in CLASSES}
    assert {name for name, on, forced in rows if on and forced} == wanted
    assert policies == wanted
