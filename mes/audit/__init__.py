"""The audit trail: append to it, read it, verify it."""

from cellwright.mes.audit.canonical import canonical
from cellwright.mes.audit.chain import GENESIS, AuditEntry, append, flush, last_of, lock, trail
from cellwright.mes.audit.verification import VerifyResult, verify

__all__ = [
    "GENESIS",
    "AuditEntry",
    "VerifyResult",
    "append",
    "canonical",
    "flush",
    "last_of",
    "lock",
    "trail",
    "verify",
]
