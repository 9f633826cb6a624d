"""A consumer process for the tests: takes a recorded journal into a store, event by event.

Usage: ``python consume_until_killed.py URL FILE``. Prints each position after its commit, and takes
a line from its input before each event, so that the test can kill it before it is done; like a
gateway whose last acknowledgements were lost, it begins a little before the stored position.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from cellwright.io.messages import decode_event
from cellwright.mes.service.catalogue import open_store
from cellwright.mes.shopfloor import consumer


def main(url: str, path: str) -> None:
    journal: list[tuple[int, bytes]] = msgspec.msgpack.decode(
        Path(path).read_bytes(), type=list[tuple[int, bytes]]
    )
    store = open_store(url)
    with store.reading() as session:
        place = consumer.position(session, "journal")
    for sequence, data in journal:
        if sequence <= place - 2:
            continue
        if not sys.stdin.readline():
            break
        with store.session() as session:
            consumer.consume(session, "journal", sequence, decode_event(data))
        print(sequence, flush=True)
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
