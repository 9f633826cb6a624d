"""The nodes of the OPC UA namespace, made once by the library and then loaded from a file.

To make its 6,000 nodes the library runs 100,000 lines, a second of processor time at each start;
loading them takes a quarter of it. The file is this user's own, in the cache folder of his account;
one that is missing, damaged, of other versions or open to others is left alone, and made anew.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import stat
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import structlog
from asyncua.server.address_space import AddressSpace, NodeData, NodeManagementService

_log = structlog.get_logger(__name__)

_FORMAT: Final = 1
"""Counted up when what is kept changes."""
_DIGEST_BYTES: Final = hashlib.sha256().digest_size
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def fill(space: AddressSpace) -> None:
    """Put the standard's nodes into an empty space. Takes a second when there is no file yet."""
    file = cache_file()
    nodes = None if file is None else _load(file)
    if nodes is not None:
        space._nodes.update(nodes)
        return
    # Its import alone takes as long as everything that follows, when the file is there.
    from asyncua.server.standard_address_space import (  # noqa: PLC0415
        standard_address_space,
    )

    standard_address_space.fill_address_space(NodeManagementService(space))
    if file is not None:
        _save(file, space._nodes)


def cache_file() -> Path | None:
    """Where the nodes lie; None for a user without a folder."""
    folder = os.environ.get("XDG_CACHE_HOME")
    try:
        base = Path(folder) if folder else Path.home() / ".cache"
    except RuntimeError:  # an account without a home
        return None
    versions = f"asyncua-{version('asyncua')}-{sys.implementation.cache_tag}-{_FORMAT}"
    return base / "cellwright" / f"standard-nodes-{versions}.pickle"


def _load(file: Path) -> dict[Any, NodeData] | None:
    """The nodes in the file; None when it is not there or not to be trusted.

    What is unpickled runs as this user, so that only a file that nobody else can have written is.
    """
    try:
        with file.open("rb") as opened:
            facts = os.fstat(opened.fileno())
            if facts.st_uid != os.getuid() or facts.st_mode & _OTHERS_MAY_WRITE:
                _log.warning("the cache of standard nodes can be written by others; not used",
                             file=str(file))  # fmt: skip
                return None
            digest, content = opened.read(_DIGEST_BYTES), opened.read()
    except OSError:
        return None
    if hashlib.sha256(content).digest() != digest:
        return None
    try:
        nodes: dict[Any, NodeData] = pickle.loads(content)
    except Exception as error:  # noqa: BLE001 - whatever it is, the nodes can be made anew
        _log.warning("the cache of standard nodes cannot be read; made anew", why=repr(error))
        return None
    return nodes


def _save(file: Path, nodes: dict[Any, NodeData]) -> None:
    """Write the file; without it the next start takes a second longer."""
    content = pickle.dumps(nodes, pickle.HIGHEST_PROTOCOL)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=file.stem)
        try:
            with os.fdopen(handle, "wb") as opened:
                opened.write(hashlib.sha256(content).digest())
                opened.write(content)
            Path(name).replace(file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        _log.info("the standard nodes are not kept for the next start", why=str(error))
