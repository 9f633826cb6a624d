"""The stations run in the scan process: importing them must not load anything heavy."""

from __future__ import annotations

import subprocess
import sys


def test_the_stations_load_neither_lua_nor_decoder_nor_numpy_nor_sockets() -> None:
    code = (
        "import sys\n"
        "import cellwright.tasks.api\n"
        "before = set(sys.modules)\n"
        "import cellwright.tasks.marking.station, cellwright.tasks.vision.station\n"
        "heavy = {'lupa', 'zxingcpp', 'numpy', 'socket', 'asyncio', 'cellwright.io.markers'}\n"
        "print(sorted(heavy & (set(sys.modules) - before)))\n"
        "print(sorted({'lupa', 'zxingcpp', 'numpy', 'asyncio'} & set(sys.modules)))\n"
    )
    path = ":".join(entry for entry in sys.path if entry)
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"PYTHONPATH": path},
    )
    assert found.stdout.split() == ["[]", "[]"], found.stderr
