"""Alembic environment and revisions of the MES store, packaged with it; run by `Store.open`."""
