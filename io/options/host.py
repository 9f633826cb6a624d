"""Host names and addresses as options have them: alone, without a port or a scheme."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Annotated, Final

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

_WITH_PORT: Final = re.compile(r"(?:[a-z][a-z0-9+.-]*://)?(\[[^\]]*\]|[^:/\s]+):(\d+)/?", re.I)
_WITH_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*://([^:/\s]+)(?:/.*)?", re.I)
_NO_NAME: Final = re.compile(r"[/\\@\[\]?#]|^\s|\s$|^$")


def _host(text: str) -> str:
    port = _WITH_PORT.fullmatch(text)
    if port is not None:
        bare = port[1].strip("[]")
        raise _problem(text, "the port has a key of its own", f"{bare} and port: {port[2]}")
    scheme = _WITH_SCHEME.fullmatch(text)
    if scheme is not None:
        raise _problem(text, "the driver says which protocol is spoken", scheme[1])
    # Whether there is such a name is known when it is looked up.
    if ":" in text:
        right = _is(IPv6Address, text)
    elif text and set(text) <= set("0123456789."):
        right = _is(IPv4Address, text)
    else:
        right = _NO_NAME.search(text) is None
    if not right:
        raise _problem(text, "it is neither a name nor an IP address", "192.168.0.10 or io-rack-1")
    return text


def _is(kind: type[IPv4Address | IPv6Address], text: str) -> bool:
    try:
        kind(text)
    except AddressValueError:
        return False
    return True


def _problem(text: str, why: str, right: str) -> PydanticCustomError:
    parts = {"what": f"'{text[:60]}' is not a host", "why": why, "remedy": f"write host: {right}"}
    return PydanticCustomError("cellwright", "{what}; {why}; {remedy}", parts)


Host = Annotated[str, AfterValidator(_host)]
"""Name, IPv4 or IPv6 address of a machine."""
