"""Notices when the folders of a running cell are taken away, and says what follows from it.

The supervisor looks once a second. A data folder that comes back is taken again; what of the run
folder is gone stays gone, for the image in it cannot be made again while it is in use.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from cellwright.runtime.cell.lock import CellLock, RunError
from cellwright.runtime.cell.run_folder import RunFolder

LOOK_S: Final = 1.0


class Places:
    """The two folders. ``report`` hears of each trouble once, and of its end.

    ``record`` leaves an event of a code and a sentence; ``mark`` makes the files anew that the
    supervisor keeps in the data folder.
    """

    def __init__(
        self,
        data: Path,
        folder: RunFolder,
        locks: tuple[CellLock, CellLock],
        *,
        report: Callable[[str], object],
        record: Callable[[str, str], object],
        mark: Callable[[], object],
    ) -> None:
        self._data, self._folder = data, folder
        self._data_lock, self._run_lock = locks
        self._report, self._record, self._mark = report, record, mark
        self._data_gone = self._run_gone = False
        self._image = folder.image.stat().st_ino
        self._due_s = 0.0

    def look(self, now_s: float) -> None:
        """Look when it is due; ``now_s`` is monotonic."""
        if now_s < self._due_s:
            return
        self._due_s = now_s + LOOK_S
        if not self._data_lock.in_place():
            self._data_is_gone()
        elif self._data_gone:
            self._data_is_back()
        if not self._run_gone and not self._run_is_there():
            self._run_gone = True
            self._emit(
                "run_folder_gone",
                f"the run folder {self._folder.path} is gone: the cell goes on, but no command "
                "finds it, and a process that ends cannot be started again; end the cell in "
                "order (Ctrl-C, or SIGTERM to the supervisor) and run it again",
            )

    def _data_is_gone(self) -> None:
        if not self._data_gone:
            self._data_gone = True
            self._emit(
                "data_folder_gone",
                f"the data folder {self._data} is gone: journal, retained values and recordings "
                "cannot be written; nothing of them is lost while the cell runs. Bring the folder "
                "back, or make an empty one, and they are written there",
            )
        if not self._data.is_dir():
            return
        try:
            self._data_lock.acquire()
            self._mark()
        except (RunError, OSError):
            return  # not writable yet; the journal says why
        self._data_is_back()

    def _data_is_back(self) -> None:
        self._data_gone = False
        self._emit("data_folder_back", f"the data folder {self._data} is there and is used again")

    def _run_is_there(self) -> bool:
        try:
            return self._folder.image.stat().st_ino == self._image and (
                self._folder.plan_file.exists()
            )
        except OSError:
            return False

    def _emit(self, code: str, text: str) -> None:
        self._report(text)
        self._record(code, text)
