"""The writer of a history and its keeper, killed at any instant, lose nothing that was stored."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cellwright.mes.history.append import register
from cellwright.mes.history.batch import Kind
from cellwright.mes.history.reading import read
from cellwright.mes.kernel.store import Store
from support import campaign

CHILD = """
import sys
import numpy as np
from cellwright.io.plan import HistorySettings
from cellwright.mes.history import keeping
from cellwright.mes.history.append import append
from cellwright.mes.history.batch import Batch, Kind
from cellwright.mes.history.keeping import Keeper
from cellwright.mes.kernel.store import Store

url, key, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
store = Store.open(url)
keeper = Keeper(store, "cell", HistorySettings())
while True:
    first = number * 50
    count = np.arange(first, first + 50, dtype=np.int64)
    times = count * 2_000_000_000  # so that hours go by quickly
    batch = Batch(
        np.full(50, key, np.uint32), np.full(50, Kind.INTEGER, np.uint8), times,
        np.zeros(50, np.uint32), count.view(np.uint64),
    )
    with store.session() as session:
        append(session, "cell", [batch])
    print(number, flush=True)
    number += 1
    keeper.divide(5)
    while keeper.step(int(times[-1])):
        pass
"""


@pytest.mark.campaign
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_writer_that_is_killed_again_and_again_loses_nothing_that_was_stored(
    kind: str, migrated_url: Callable[[str], str], tmp_path: Path
) -> None:
    url, choice = migrated_url(kind), random.Random(11)
    store = Store.open(url)
    with store.session() as session:
        key = register(session, "cell", [("count", "LINT", Kind.INTEGER)])["count", "LINT"]
    script = tmp_path / "writer.py"
    script.write_text(CHILD)
    following = 0
    for _ in range(campaign.times(2)):
        child = subprocess.Popen(
            [sys.executable, str(script), url, str(key), str(following)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        for _ in range(choice.randint(5, 60)):
            said = child.stdout.readline()
            assert said
        time.sleep(choice.random() / 50)
        child.send_signal(signal.SIGKILL)
        said += child.stdout.read()
        child.wait()
        child.stdout.close()
        following = int(said.split()[-1]) + 1
        with store.reading() as session:
            pieces = [piece.values.last for piece in read(session, "cell", key)]
        found = np.concatenate([piece.bits.view(np.int64) for piece in pieces])
        # What was not told yet may be there too; nothing is missing, doubled or out of order.
        assert len(found) in (following * 50, following * 50 + 50)
        assert (found == np.arange(len(found))).all()
    store.close()
