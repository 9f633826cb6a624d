"""Search of the audit's words, and a stored tree whose proofs read a dozen tiles.

SQLite: a table of FTS5 without content, filled by a trigger. PostgreSQL: an index over the words of
each record, and a function that searches it for the tenant of the session. Row-level security lets
nobody use such an index, because the operator is not leakproof; so the function works as the role
``cellwright_search``, which passes by it, reads nothing but the audit, and takes the condition of
the tenant itself. Only a superuser can make it so; else the function finds the same without the
index.

Tiles of the tree above its leaves lie at other levels now; they are made anew by the next
checkpoint or proof. Runs once per database; never edited after a release, a new revision follows
instead.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ROLE = "cellwright_search"
MOST = 100_000
"""Characters of a record that are searched; PostgreSQL holds no more than 1 MiB of words."""
PLAIN = ("action", "entity_type", "entity_id", "actor", "reason")
CHAIN = 1 << 40
"""Keys of SQLite's table are the chain's times this, plus the sequence."""
PUNCTUATION = r"""!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~"""
"""Of ASCII; what PostgreSQL's parser would take for parts of numbers, paths and addresses."""


def upgrade() -> None:
    if not _postgresql():
        op.execute("DELETE FROM audit_tile WHERE level > 0")
        _upgrade_sqlite()
        return
    _delete_tiles()
    _upgrade_postgresql()


def downgrade() -> None:
    if not _postgresql():
        op.execute("DROP TRIGGER audit_record_search")
        op.execute("DROP TABLE audit_search")
        op.execute("DELETE FROM audit_tile WHERE level > 0")
        return
    _delete_tiles()
    op.execute("DROP FUNCTION cellwright_audit_search")
    op.execute("DROP INDEX audit_search_words")
    op.execute("DROP FUNCTION cellwright_audit_words")
    op.execute(
        f"""
        DO $$ BEGIN
            IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{ROLE}') THEN
                REVOKE ALL ON audit_record FROM {ROLE};
                EXECUTE format('REVOKE USAGE ON SCHEMA %I FROM {ROLE}', current_schema());
            END IF;
        EXCEPTION
            WHEN insufficient_privilege THEN NULL;
        END $$
        """
    )


def _postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _delete_tiles() -> None:
    """Of all tenants."""
    op.execute("ALTER TABLE audit_tile NO FORCE ROW LEVEL SECURITY")
    op.execute("DELETE FROM audit_tile WHERE level > 0")
    op.execute("ALTER TABLE audit_tile FORCE ROW LEVEL SECURITY")


def _text(row: str) -> str:
    """SQL for the text of a record: values of JSON without their escapes, nothing for ``null``."""
    parts = [f"{row}{name}" for name in PLAIN]
    for name in ("old", "new"):
        found = f"coalesce(nullif({row}{name}, 'null'), '')"
        for escape in (r"\\", r"\n", r"\t", r"\r"):  # two backslashes first: JSON's for one
            found = f"replace({found}, '{escape}', ' ')"
        parts.append(found)
    text = " || ' ' || ".join(parts)
    return f"substr({text}, 1, {MOST})"


def _upgrade_sqlite() -> None:
    op.execute(
        "CREATE VIRTUAL TABLE audit_search USING fts5(words, content='', columnsize=0, "
        'tokenize="unicode61 remove_diacritics 0")'
    )
    add = "INSERT INTO audit_search (rowid, words)"
    op.execute(
        f"{add} SELECT r.chain_id * {CHAIN} + r.sequence, {_text('r.')} FROM audit_record AS r"
    )
    op.execute(
        "CREATE TRIGGER audit_record_search AFTER INSERT ON audit_record BEGIN "
        f"{add} VALUES (NEW.chain_id * {CHAIN} + NEW.sequence, {_text('NEW.')}); END"
    )


def _upgrade_postgresql() -> None:
    columns = (*PLAIN, "old", "new")
    op.execute(
        f"""
        CREATE FUNCTION cellwright_audit_words({", ".join(f"{name} text" for name in columns)})
        RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
            SELECT to_tsvector('pg_catalog.simple'::regconfig,
                translate({_text("")}, '{PUNCTUATION}', '{" " * len(PUNCTUATION)}'))
        $$
        """
    )
    words = f"cellwright_audit_words({', '.join(columns)})"
    op.execute(f"CREATE INDEX audit_search_words ON audit_record USING gin ({words})")
    op.execute(
        f"""
        DO $$ BEGIN
            EXECUTE format($f$
                CREATE FUNCTION cellwright_audit_search(wanted tsquery)
                RETURNS TABLE (chain_id bigint, sequence bigint)
                LANGUAGE sql STABLE SECURITY DEFINER SET search_path = %I, pg_temp
                AS 'SELECT chain_id, sequence FROM audit_record WHERE {words} @@ wanted AND
                tenant_id = NULLIF(current_setting(''cellwright.tenant'', true), '''')::bigint'
            $f$, current_schema());
        END $$
        """
    )
    op.execute(
        f"""
        DO $$ BEGIN
            IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{ROLE}') THEN
                CREATE ROLE {ROLE} NOLOGIN NOSUPERUSER BYPASSRLS;
            END IF;
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO {ROLE}', current_schema());
            GRANT SELECT ON audit_record TO {ROLE};
            ALTER FUNCTION cellwright_audit_search OWNER TO {ROLE};
        EXCEPTION
            WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN NULL;
        END $$
        """
    )
