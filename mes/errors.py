"""Errors of the MES: a stable code for machines and a sentence for people.

Every service raises these and nothing else on purpose; OPC UA methods and the command line turn
the code into a status and show the message. They must never carry a password.
"""

from __future__ import annotations


class MesError(Exception):
    """A service refused or failed.

    ``code`` is stable (``unknown_order``, ``invalid_state``, ``no_routing``, ``duplicate``,
    ``invalid_request``, ``inspection_open``, ...); ``message`` says what was tried, on what, what
    happened and what to do next.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class StoreError(MesError):
    """The database cannot be used now; the same call may succeed once the cause is gone.

    Codes: ``store_unreachable``, ``store_busy``, ``store_read_only``, ``store_full``,
    ``store_unsupported``, ``store_too_new``, ``store_damaged``, ``store_failed``.
    """


class MasterDataError(MesError):
    """A master data file does not say what it must; ``problems`` are ``file:line:column: ...``."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("invalid_master_data", "\n".join(problems))
        self.problems = problems
