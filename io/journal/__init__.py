"""What must survive a power failure: events and retained values, and who writes them."""

from cellwright.io.journal.journal import JournalError, JournalReader

__all__ = ["JournalError", "JournalReader"]
