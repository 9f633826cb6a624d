"""The recordings of a cell on disk: a rolling window of segments, and files kept for a cause.

The recorder process hands over what comes off the ring. Everything is bounded: segments, kept files
and bytes. A disk that does not take more costs recording, never anything else.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from cellwright.io.plan import RecorderSettings
from cellwright.io.recording.cycle import CycleRecord, RecordError, Shadow
from cellwright.io.recording.file import (
    KEYFRAME_MARK,
    NO_CYCLE,
    SUFFIX,
    Entry,
    Gap,
    Header,
    Keyframe,
    RecordingWriter,
    decode_keyframe,
)

ROLLING: Final = "rolling-"
KEPT: Final = "kept-"
KEPT_FILES: Final = f"{KEPT}*{SUFFIX}"
"""Pattern of the files that were kept for a cause."""
FAULT: Final = "fault"
OVERRUN: Final = "overrun"
"""Name of the cause that is dispensable before all others."""
CONDITION: Final = "condition"
"""Name of a cause that somebody waits for; unlike others it is kept whenever it comes."""
ASKED: Final = "asked"
CAUSES: Final = frozenset({FAULT, OVERRUN, CONDITION, ASKED, "scan"})
"""Names that no trigger of a configuration may have."""
MOST_CAUSE: Final = 2000
"""Characters of a cause; what comes later in a file of many causes is not told any more."""
_USUAL: Final = RecorderSettings()
_STEP_NS: Final = 1_000_000_000
"""Between two files of one folder at least, for file systems that know whole seconds only."""
_WORD: Final = re.compile(r"[^a-z0-9_]+")
_DISPENSABLE: Final = re.compile(rf"{KEPT}[^-]*-{OVERRUN}(-\d+)?{re.escape(SUFFIX)}")


@dataclass(frozen=True)
class Policy:
    """How much is recorded and kept. Times are of the scan's clock."""

    window_s: float = _USUAL.window_ns / 1e9
    """What a kept file holds of the time before its cause, at least (a keyframe more at most)."""
    post_s: float = _USUAL.after_ns / 1e9
    """What it holds of the time after."""
    rolling_bytes: int = _USUAL.buffer_bytes
    """The window gets shorter when it would take more."""
    kept_files: int = _USUAL.files
    kept_bytes: int = _USUAL.keep_bytes
    """Files about skipped ticks go first, then the oldest."""
    pause_s: float = _USUAL.pause_ns / 1e9
    """A cause of the same name is not kept again so soon, unless somebody asked for it."""
    overrun_pause_s: float = 600.0
    """The same for skipped ticks, which a busy machine has all the time."""

    @classmethod
    def of(cls, settings: RecorderSettings) -> Policy:
        """What a cell's configuration says."""
        return cls(
            window_s=settings.window_ns / 1e9,
            post_s=settings.after_ns / 1e9,
            rolling_bytes=settings.buffer_bytes,
            kept_files=settings.files,
            kept_bytes=settings.keep_bytes,
            pause_s=settings.pause_ns / 1e9,
            overrun_pause_s=max(cls.overrun_pause_s, settings.pause_ns / 1e9),
        )


@dataclass
class _Segment:
    """One file of the rolling window; starts with a keyframe."""

    path: Path
    begin_ns: int
    size: int = 0
    entries: list[Entry] = field(default_factory=list)


@dataclass
class _Pending:
    """A cause whose time after has not passed yet."""

    cause: str
    begin_ns: int
    due_ns: int
    utc_ns: int


@dataclass
class Figures:
    """What the store says about itself."""

    missed: int = 0
    """Cycles that are in no file."""
    rolling_bytes: int = 0
    kept_files: int = 0
    kept_bytes: int = 0
    newest: str = ""
    cause: str = ""
    """Why this store kept its newest file; empty before it kept one."""
    error: str = ""


Watcher = Callable[[CycleRecord, Shadow], Sequence[str]]
"""Looks at a cycle's image; a name and a sentence for each cause to keep the window."""


class RecordingStore:
    """Writes into one folder; one process at a time.

    ``watch`` is asked after each cycle. `wants_keyframe` is true while nothing can be written
    because none has come.
    """

    def __init__(
        self, folder: Path, header: Header, policy: Policy, watch: Watcher | None = None
    ) -> None:
        self._folder = folder
        self._header = header
        self._policy = policy
        self._watch = watch
        self._writer: RecordingWriter | None = None
        self._segments: deque[_Segment] = deque()
        self._strangers: deque[Path] = deque()
        """Segments that an earlier process left; they go one by one as new ones come."""
        self._pieces: list[bytes] = []
        self._epoch = 0
        """Of the newest keyframe; 0 before the first."""
        self._last_cycle = self._now_ns = self._utc_ns = 0
        self._number = 0
        self._pending: _Pending | None = None
        self._quiet_until_ns: dict[str, int] = {}
        self.figures = Figures()
        try:
            folder.mkdir(exist_ok=True)  # not what lies above it: somebody may have deleted that
            self._strangers.extend(sorted(folder.glob(f"{ROLLING}*{SUFFIX}"), key=kept_order))
            # The bounds may have become narrower since.
            self._prune_kept(policy.kept_files, policy.kept_bytes)
        except OSError as error:
            self._failed(error)
        self._count_kept()

    @property
    def wants_keyframe(self) -> bool:
        """Nothing can be written before the next keyframe."""
        return self._writer is None

    @property
    def segments(self) -> list[Path]:
        """Files of the rolling window, oldest first."""
        return [segment.path for segment in self._segments]

    # --- from the ring --------------------------------------------------------------------------

    def take(self, data: bytes) -> None:
        """One record off the ring: a cycle or a piece of a keyframe."""
        try:
            if int.from_bytes(data[:8], "little") == NO_CYCLE:
                self._piece(data)
            else:
                self._cycle(CycleRecord(data), data)
        except RecordError as error:
            self._break(f"a record was not understood: {error}")
        except OSError as error:
            self._failed(error)

    def step(self) -> None:
        """Hand over to the operating system what came since; keep and prune what is due."""
        try:
            self._flush()
            if self._pending and self._now_ns >= self._pending.due_ns:
                self._keep()
            self._prune()
        except OSError as error:
            self._failed(error)

    def keep(self, cause: str) -> None:
        """Keep the window when the time after has passed; ``cause`` is a name and a sentence.

        A cause that comes while another one waits goes into the same file, which waits on for it,
        but not for causes without end: it holds at most twice the time after.
        """
        if not self._segments:
            return
        post_ns = int(self._policy.post_s * 1e9)
        begin_ns, due_ns = self._now_ns, self._now_ns + post_ns
        before, utc_ns = self._pending, self._utc_ns
        if before is not None:
            first, second = (before.cause, cause)
            if _name(first) == OVERRUN:
                first, second = second, first
            cause, utc_ns = f"{first}; also {second}"[:MOST_CAUSE], before.utc_ns
            begin_ns = before.begin_ns
            due_ns = min(due_ns, begin_ns + 2 * post_ns)
        self._pending = _Pending(cause, begin_ns, due_ns, utc_ns)

    def close(self) -> None:
        """Keep what is pending at once and close the files in order."""
        try:
            if self._pending is not None and self._segments:
                self._keep()
            self._finish()
        except OSError as error:
            self._failed(error)

    def _flush(self) -> None:
        writer = self._writer
        if writer is not None:
            writer.flush()
            segment = self._segments[-1]
            segment.size, segment.entries = writer.size, writer.entries

    def _finish(self) -> None:
        """Close the newest segment in order."""
        self._flush()
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()
            self._segments[-1].size = writer.size

    def _piece(self, data: bytes) -> None:
        _, number, count = KEYFRAME_MARK.unpack_from(data)
        if number == 1:
            self._pieces = []
        if number != len(self._pieces) + 1:
            self._pieces = []
            return
        self._pieces.append(data[KEYFRAME_MARK.size :])
        if number == count:
            whole = b"".join(self._pieces)
            self._pieces = []
            self._keyframe(decode_keyframe(whole), whole)

    def _keyframe(self, keyframe: Keyframe, data: bytes) -> None:
        if self._epoch and keyframe.epoch != self._epoch and self._segments:
            # Nothing comes after the end of a scan: what there is of it is kept at once.
            self._own_cause("scan-restarted the scan process is another one")
            if self._pending is not None:
                self._keep()
        elif self._epoch and keyframe.cycle != self._last_cycle:
            self._break(f"cycles {self._last_cycle + 1} to {keyframe.cycle} did not arrive")
        if self._writer is not None:
            self._finish()
            self.figures.error = ""  # a whole segment could be written
        self._number += 1
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(keyframe.utc_ns / 1e9))
        path = self._folder / f"{ROLLING}{stamp}-{keyframe.boot_id}-{self._number:06d}{SUFFIX}"
        self._folder.mkdir(exist_ok=True)  # somebody may have deleted it
        writer = RecordingWriter(path, self._header)
        self._segments.append(_Segment(path, keyframe.now_ns))
        self._writer = writer
        writer.keyframe(keyframe, data)
        self._epoch = keyframe.epoch
        self._last_cycle = keyframe.cycle
        self._now_ns, self._utc_ns = keyframe.now_ns, keyframe.utc_ns

    def _cycle(self, record: CycleRecord, data: bytes) -> None:
        if self._writer is None:
            self.figures.missed += 1
            return
        if record.cycle != self._last_cycle + 1:
            self._break(f"cycles {self._last_cycle + 1} to {record.cycle - 1} did not arrive")
            self.figures.missed += 1
            return
        shadow = self._writer.cycle(record, data)
        self._last_cycle = record.cycle
        self._now_ns, self._utc_ns = record.now_ns, record.utc_ns
        if self._watch is not None:
            for cause in self._watch(record, shadow):
                self._own_cause(cause)

    def _own_cause(self, cause: str) -> None:
        name = _name(cause)
        if name == CONDITION:
            self.keep(cause)
        elif self._now_ns >= self._quiet_until_ns.get(name, 0):
            self.keep(cause)
            pause_s = self._policy.overrun_pause_s if name == OVERRUN else self._policy.pause_s
            self._quiet_until_ns[name] = self._now_ns + int(pause_s * 1e9)

    def _break(self, reason: str) -> None:
        """The rest of this segment is missing."""
        if self._writer is None:
            return
        self._writer.gap(Gap(self._last_cycle, reason))
        self._finish()

    # --- bounds ---------------------------------------------------------------------------------

    def _prune(self) -> None:
        policy = self._policy
        now_ns = self._now_ns if self._pending is None else self._pending.begin_ns
        while len(self._segments) > 1 and (
            # The second one already reaches back to the window's begin.
            now_ns - self._segments[1].begin_ns > policy.window_s * 1e9
            or _total(self._segments) > policy.rolling_bytes
        ):
            self._segments.popleft().path.unlink(missing_ok=True)
            if self._strangers:
                self._strangers.popleft().unlink(missing_ok=True)
        strange = sum(_size(path) for path in self._strangers)
        own = _total(self._segments)
        while self._strangers and own + strange > policy.rolling_bytes:
            path = self._strangers.popleft()
            strange -= _size(path)
            path.unlink(missing_ok=True)
        self.figures.rolling_bytes = own + strange

    def _prune_kept(self, most_files: int, most_bytes: int) -> None:
        files = self._folder.glob(KEPT_FILES)
        kept = deque(
            sorted(
                files, key=lambda path: (not _DISPENSABLE.fullmatch(path.name), kept_order(path))
            )
        )
        total = sum(_size(path) for path in kept)
        while kept and (len(kept) > most_files or total > most_bytes):
            path = kept.popleft()
            total -= _size(path)
            path.unlink(missing_ok=True)

    def _count_kept(self) -> None:
        kept = sorted(self._folder.glob(KEPT_FILES), key=kept_order)
        self.figures.kept_files = len(kept)
        self.figures.kept_bytes = sum(_size(path) for path in kept)
        if kept:
            self.figures.newest = kept[-1].name

    # --- kept files -----------------------------------------------------------------------------

    def _keep(self) -> None:
        """Put the segments of the window together into one file, whole or not at all."""
        pending, self._pending = self._pending, None
        assert pending is not None
        self._flush()
        segments = [segment for segment in self._segments if segment.path.exists()]
        if not segments:
            raise FileNotFoundError(
                errno.ENOENT, "the files of the last minutes were deleted", str(self._folder)
            )
        while len(segments) > 1 and _total(segments) > self._policy.kept_bytes:
            segments.pop(0)
        self._prune_kept(self._policy.kept_files - 1, self._policy.kept_bytes - _total(segments))
        word = _WORD.sub("-", _name(pending.cause).lower()).strip("-") or ASKED
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(pending.utc_ns / 1e9))
        path = self._folder / f"{KEPT}{stamp}-{word}{SUFFIX}"
        number = 1
        while path.exists():
            number += 1
            path = self._folder / f"{KEPT}{stamp}-{word}-{number}{SUFFIX}"
        unfinished = path.with_suffix(".new")
        header = msgspec.structs.replace(self._header, cause=pending.cause)
        try:
            with RecordingWriter(unfinished, header) as writer:
                for segment in segments:
                    writer.copy(segment.entries, segment.path)
            self._order(unfinished)
            unfinished.replace(path)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
        self._count_kept()
        self.figures.cause = pending.cause

    def _order(self, file: Path) -> None:
        """Let a new file's time come after those of all kept files.

        Files go in the order in which they came, which their times tell: a wall clock that was
        ahead for a while must not make what was kept then the newest for ever.
        """
        newest_ns = max((kept_order(kept)[0] for kept in self._folder.glob(KEPT_FILES)), default=0)
        if file.stat().st_mtime_ns < newest_ns + _STEP_NS:
            os.utime(file, ns=(newest_ns + _STEP_NS, newest_ns + _STEP_NS))

    # --- trouble --------------------------------------------------------------------------------

    def _failed(self, error: OSError) -> None:
        self.figures.error = (
            f"recordings cannot be written to {self._folder}: {error.strerror or error}; see "
            f"that the folder can be written and has space"
        )
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None


def _name(cause: str) -> str:
    """``pressure_high`` of ``pressure_high: pressure > 6.5``."""
    return cause.partition(" ")[0].rstrip(":")


def _total(segments: Iterable[_Segment]) -> int:
    return sum(segment.size for segment in segments)


def kept_order(path: Path) -> tuple[int, str]:
    """Sorts the files of a folder as they came, the oldest first."""
    try:
        return path.stat().st_mtime_ns, path.name
    except OSError:
        return 0, path.name


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


RECORDINGS: Final = "recordings"
"""Name of the folder in the data folder."""
