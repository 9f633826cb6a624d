"""The database: opening and migrating it, transactions, and what keeps tenants apart."""

from cellwright.mes.kernel.store.store import Store, before_commit, migration_config

__all__ = ["Store", "before_commit", "migration_config"]
