"""Tenants, sites, users, their logins and their signatures."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ForeignKey, Index, Integer, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from cellwright.mes.kernel.base import Base, Keyed, Retention, Scoped, Versioned
from cellwright.mes.kernel.money import DEFAULT_CURRENCY


class Tenant(Keyed, Base):
    """A company whose records are apart from all others; every database begins with ``default``."""

    __tablename__ = "tenant"
    retention = Retention.FOREVER

    name: Mapped[str] = mapped_column(unique=True)
    created_utc: Mapped[datetime]


class Site(Keyed, Base):
    """A plant of a tenant; every database begins with ``default``."""

    __tablename__ = "site"
    __table_args__: Any = (UniqueConstraint("tenant_id", "name"),)
    retention = Retention.FOREVER

    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id"))
    name: Mapped[str]
    created_utc: Mapped[datetime]


class User(Keyed, Scoped, Versioned, Base):
    """A person, or a system that logs in like one. Users are made inactive, never deleted."""

    __tablename__ = "user_account"
    __table_args__: Any = (UniqueConstraint("tenant_id", "username"),)
    retention = Retention.FOREVER

    username: Mapped[str]
    printed_name: Mapped[str]
    """Full name for documents and signatures."""
    email: Mapped[str]
    password_hash: Mapped[str]
    """argon2id."""
    roles: Mapped[list[str]]
    """Names of `roles.Role`, sorted."""
    active: Mapped[bool] = mapped_column(default=True)
    failed_logins: Mapped[int] = mapped_column(Integer, default=0)
    """In a row; a success begins anew."""
    locked_until_utc: Mapped[datetime | None]
    totp_secret: Mapped[str] = mapped_column(default="")
    """Base 32, sealed with the key file; empty when the user has not enrolled."""
    totp_active: Mapped[bool] = mapped_column(default=False)
    totp_last_step: Mapped[int] = mapped_column(default=0)
    """The last step of 30 s whose code was used: a code works once."""
    labour_rate: Mapped[Decimal] = mapped_column(default=Decimal(0))
    """Money for an hour."""
    currency: Mapped[str] = mapped_column(default=DEFAULT_CURRENCY)
    created_utc: Mapped[datetime]


class UserSkill(Keyed, Scoped, Base):
    """What a person is certified for, and until when."""

    __tablename__ = "user_skill"
    __table_args__: Any = (UniqueConstraint("tenant_id", "user_id", "skill"),)
    retention = Retention.QUALITY

    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id"))
    skill: Mapped[str]
    until_utc: Mapped[datetime | None]
    """None: for ever."""


class RefreshToken(Keyed, Scoped, Base):
    """One refresh token of a login; its successors belong to the same family."""

    __tablename__ = "refresh_token"
    __table_args__: Any = (
        UniqueConstraint("tenant_id", "token_hash"),
        Index(None, "tenant_id", "family"),
    )
    retention = Retention.WORKING

    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id"))
    family: Mapped[str]
    """Id of the login; access tokens carry it as ``sid``."""
    token_hash: Mapped[str]
    """SHA-256; the token itself is never stored."""
    issued_utc: Mapped[datetime]
    expires_utc: Mapped[datetime]
    used_utc: Mapped[datetime | None]
    """When it was exchanged; a second use ends the family."""
    ended_utc: Mapped[datetime | None]
    """When the family was ended by logout, reuse or an administrator."""


class Signature(Keyed, Scoped, Base):
    """An electronic signature (21 CFR 11.50, 11.70). Append-only by trigger."""

    __tablename__ = "signature"
    __table_args__: Any = (
        Index(None, "tenant_id", "entity_type", "entity_id"),
        Index(None, "tenant_id", "signer_id", "id"),
        Index(None, "tenant_id", "site_id", "audit_chain", "audit_sequence", unique=True),
    )
    retention = Retention.FOREVER

    signer_id: Mapped[int] = mapped_column(ForeignKey("user_account.id"))
    printed_name: Mapped[str]
    role: Mapped[str]
    meaning: Mapped[str]
    utc: Mapped[datetime]
    zone: Mapped[str]
    """Offset from UTC at the signer's place, ``+01:00``."""
    entity_type: Mapped[str]
    entity_id: Mapped[str]
    entity_version: Mapped[int]
    content_hash: Mapped[str]
    """SHA-256 of the canonical JSON of what was signed: action, entity, version and request."""
    factors: Mapped[str]
    """``password``, ``password+totp``, or ``password (continuous session)``."""
    continuous: Mapped[bool]
    """True: a further signature in one continuous session (21 CFR 11.200(a)(1)(i))."""
    invalidates_id: Mapped[int | None] = mapped_column(ForeignKey("signature.id"))
    """The signature that this record takes back."""
    audit_chain: Mapped[str]
    audit_sequence: Mapped[int]
    """The record ``signature.sign`` that holds the content; the chain binds it to what it changed.
    """
    key_id: Mapped[str]
    signature: Mapped[str]
    """Ed25519 over the canonical JSON of all fields above; hexadecimal."""


class SignatureDemand(Keyed, Scoped, Versioned, Base):
    """Whether an action demands a signature at a site."""

    __tablename__ = "signature_demand"
    __table_args__: Any = (UniqueConstraint("tenant_id", "site_id", "action"),)
    retention = Retention.FOREVER

    action: Mapped[str]
    demanded: Mapped[bool]
