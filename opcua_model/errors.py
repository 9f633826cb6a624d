"""The room's errors. Raised at start-up and by the user file's functions; never sent to a client.

What a client is told is an OPC UA status code; these are for the people who run the server.
"""

from __future__ import annotations


class OpcUaError(Exception):
    """Base of this room's errors; the message says what to do next."""


class UsersError(OpcUaError):
    """The user file cannot be read, or holds something that is not a user."""


class CertificateError(OpcUaError):
    """The server's certificate or key cannot be read, made or used."""


class ModelError(OpcUaError):
    """The address space cannot be built from this plan."""


class CommandUnavailableError(OpcUaError):
    """A command could not be handed to the scan (ring full, scan absent)."""
