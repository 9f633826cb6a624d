"""Status codes of OPC UA in the words of whoever commissions a line, with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from asyncua import ua

_REMEDIES: Final = {
    "BadCertificateUntrusted": "the server does not trust this client yet; there: "
    "`cellwright trust list`, then `cellwright trust add`, or put {certificate} into its list",
    "BadSecurityChecksFailed": "the server refused this client's certificate; trust {certificate} "
    "on the server",
    "BadCertificateHostNameInvalid": "the server's certificate does not name this host",
    "BadUserAccessDenied": "name or password is wrong, or the user may not do this",
    "BadIdentityTokenRejected": "the server wants a user; add --user NAME",
    "BadIdentityTokenInvalid": "the server does not take this kind of login",
    "BadTooManySessions": "the server has as many clients as it takes; close one",
    "BadNodeIdUnknown": "there is no such node; look with `cellwright ua browse`",
    "BadNodeIdInvalid": "a NodeId is written like ns=4;s=Cell.IO.Inputs.io.tag or i=2253",
    "BadNoMatch": "there is no node of that name on the path; look with `cellwright ua browse`",
    "BadNotWritable": "nobody can write this node",
    "BadTypeMismatch": "the value is not of the node's type",
    "BadOutOfRange": "the value is outside what the node takes",
    "BadAttributeIdInvalid": "the node has no such attribute; a folder has no value",
    "BadMethodInvalid": "this is no method of that object",
    "BadArgumentsMissing": "the method takes more arguments",
    "BadTooManyArguments": "the method takes fewer arguments",
    "BadInvalidArgument": "an argument is not of the method's type",
    "BadHistoryOperationUnsupported": "the server keeps no history of this node",
    "BadServerTooBusy": "the server has too much to do; try again",
    "BadTimeout": "the server did not answer in time; try again, or give --timeout",
    "BadSecurityPolicyRejected": "the server does not take this security",
    "BadConditionBranchAlreadyAcked": "the alarm is acknowledged already",
    "BadEventIdUnknown": "this is not an event of the alarm's present activation",
}


def name_of(code: int) -> str:
    """``BadNodeIdUnknown``."""
    return str(ua.StatusCode(ua.UInt32(code)).name)


def remedy(name: str, certificate: Path | None = None) -> str:
    """What to do about a status code; empty where there is nothing to say."""
    return _REMEDIES.get(name, "").format(certificate=certificate or "its certificate")


def explained(error: ua.UaError, about: str, certificate: Path | None = None) -> str:
    """The error about a thing in one sentence."""
    code = getattr(error, "code", None)
    if code is None:
        return f"{about}: {error}"
    name = name_of(code)
    told = remedy(name, certificate)
    return f"{about}: {name}{f'; {told}' if told else ''}"
