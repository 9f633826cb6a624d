"""Folders for the tests of the configuration: the good bench cell and the corpus of broken ones.

Each file of ``broken/`` has a list beside it, ``<name>.expected``: one line a complaint,
``line:column | what | remedy``. To see what a changed message gives, run
``python tests/support/config_corpus.py``; it prints the lists and writes nothing.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from cellwright.runtime.config import Problem, check_file

HERE = Path(__file__).parents[1] / "runtime"
BENCH = HERE / "cells" / "bench"
BROKEN = HERE / "broken"


def copy_bench(folder: Path) -> Path:
    """A copy of the bench cell; gives the path of its file."""
    shutil.copytree(BENCH, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    return folder / "cell.yaml"


def copy_corpus(folder: Path) -> Path:
    """All broken cells with the modules that they name, in one folder."""
    for path in BROKEN.glob("*.*"):
        # A file that is not Python must not look like it to formatters.
        shutil.copy(path, folder / path.name.removesuffix(".txt"))
    return folder


def line_of(problem: Problem) -> str:
    """The problem as a line of an ``.expected`` file."""
    return f"{problem.line}:{problem.column} | {problem.what} | {problem.remedy}"


def main() -> None:
    """Print the list of every file of the corpus."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = copy_corpus(Path(temporary))
        for path in sorted(BROKEN.glob("*.yaml")):
            print(f"--- {path.stem}")
            for problem in check_file(folder / path.name).problems:
                print(line_of(problem))


if __name__ == "__main__":
    main()
