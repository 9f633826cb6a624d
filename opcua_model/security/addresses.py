"""Names and addresses by which clients reach this computer, for the server's certificate.

A client compares the host that it connected to with those of the certificate
(Bad_CertificateHostNameInvalid, OPC 10000-4, 6.1.3). It asks the kernel, and no name server.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
MOST: Final = 64
"""Names and addresses together that a certificate gets."""

_HEADER: Final = struct.Struct("=IHHII")
"""nlmsghdr: length, type, flags, sequence, port (netlink(7))."""
_ADDRESS: Final = struct.Struct("=BBBBI")
"""ifaddrmsg: family, prefix, flags, scope, interface (rtnetlink(7))."""
_ATTRIBUTE: Final = struct.Struct("=HH")
_GET, _NEW, _DONE, _ERROR = 22, 20, 3, 2
_REQUEST_DUMP: Final = 0x301
_IFA_ADDRESS, _IFA_LOCAL = 1, 2


class Names(NamedTuple):
    """What a certificate names; each once."""

    dns: tuple[str, ...]
    ips: tuple[Address, ...]


def reached_by(endpoint: str) -> Names:
    """The configured host, this computer's name, the loopback, and with a wildcard all addresses.

    ``endpoint`` is an ``opc.tcp`` URL.
    """
    host = urlsplit(endpoint).hostname or ""
    dns = ["localhost", socket.gethostname()]
    ips: list[Address] = [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")]
    try:
        configured = ipaddress.ip_address(host)
    except ValueError:
        dns.insert(0, host)
    else:
        if configured.is_unspecified:
            ips += [each for each in interfaces() if configured.version == 6 or each.version == 4]
        else:
            ips.insert(0, configured)
    names = [name for name in dict.fromkeys(dns) if name.isascii() and name][:MOST]
    return Names(tuple(names), tuple(dict.fromkeys(ips))[: MOST - len(names)])


def url_host(host: str) -> str:
    """A host as it stands in a URL: an IPv6 address in brackets (RFC 3986, 3.2.2)."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def plain(host: str) -> str:
    """An address as people write it; that of an IPv4 client at an IPv6 socket is its IPv4 one."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def interfaces() -> list[Address]:
    """Addresses of this computer's interfaces, without those that are good on one wire only."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
            kernel.settimeout(1.0)
            request = _HEADER.pack(_HEADER.size + _ADDRESS.size, _GET, _REQUEST_DUMP, 1, 0)
            kernel.send(request + _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0))
            found = list(_answers(kernel))
    except OSError:
        found = []  # a sandbox without netlink: the certificate names what is certain
    return sorted(
        {each for each in found if not (each.is_link_local or each.is_unspecified)},
        key=lambda each: (each.version, int(each)),
    )


def _answers(kernel: socket.socket) -> Iterator[Address]:
    while True:
        data = kernel.recv(65_536)
        while len(data) >= _HEADER.size:
            length, kind, *_ = _HEADER.unpack_from(data)
            if kind in (_DONE, _ERROR) or length < _HEADER.size:
                return
            if kind == _NEW:
                yield from _address(data[_HEADER.size : length])
            data = data[(length + 3) & ~3 :]


def _address(message: bytes) -> Iterator[Address]:
    found: dict[int, bytes] = {}
    rest = message[_ADDRESS.size :]
    while len(rest) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(rest)
        if length < _ATTRIBUTE.size:
            break
        found[kind] = rest[_ATTRIBUTE.size : length]
        rest = rest[(length + 3) & ~3 :]
    # With a peer (point to point) the address is the other end's, and local is ours.
    packed = found.get(_IFA_LOCAL, found.get(_IFA_ADDRESS, b""))
    if len(packed) in (4, 16):
        yield ipaddress.ip_address(packed)
