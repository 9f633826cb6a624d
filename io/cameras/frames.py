"""A ring of camera frames in a memory-mapped file: one producer, one client that triggers.

Cameras that live in a process of their own (the plant simulator, a vendor's grabber) publish
through it, and `cellwright.io.cameras.shared_memory` reads from it. It never blocks the producer
and never hands out a torn frame. The byte layout is in `docs/decisions/0040-frame-ring.md`.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt

FOLDER: Final = Path("/dev/shm")
PREFIX: Final = "cellwright-frames-"

MAGIC: Final = int.from_bytes(b"CWFRAMES", "little")
VERSION: Final = 1
MAX_SIDE: Final = 16384
"""Largest width and height in pixels."""
MAX_SLOTS: Final = 64

_PAGE: Final = 4096
_SLOT_HEADER: Final = 64

# 64-bit words of the file header; the client's word has a cache line of its own.
_H_MAGIC, _H_VERSION, _H_SIZE, _H_SLOTS, _H_WIDTH, _H_HEIGHT, _H_PID, _H_RETIRED = range(8)
_H_REQUESTED: Final = 8
_H_PUBLISHED: Final = 16
_HEADER_WORDS: Final = 24

# 64-bit words of a slot's header.
_S_SEQUENCE, _S_NUMBER, _S_WIDTH, _S_HEIGHT, _S_UTC_NS, _S_TRIGGER = range(6)

_FIRST_PAUSE_S: Final = 0.0002
_LONGEST_PAUSE_S: Final = 0.002


class FrameError(Exception):
    """The ring cannot be used; the sentence says what was tried and what to do next."""


class FrameTimeoutError(FrameError):
    """No frame answered the trigger in time."""


class FrameRestartedError(FrameError):
    """The producer closed or re-created the ring: attach again and trigger again."""


class RingFrame(NamedTuple):
    """One frame: ``gray`` is a copy, uint8[height, width]; ``utc_ns`` is the time of exposure."""

    gray: npt.NDArray[np.uint8]
    number: int
    utc_ns: int


def ring_path(name: str) -> Path:
    """The file of a ring: a name with a slash is a path, any other lies in ``/dev/shm``."""
    if not name or "\0" in name:
        raise FrameError(f"{name!r} does not name a frame ring; give a name or a path")
    return Path(name) if "/" in name else FOLDER / f"{PREFIX}{name}"


def _stride(width: int, height: int) -> int:
    size = _SLOT_HEADER + width * height
    return (size + _PAGE - 1) // _PAGE * _PAGE


class FrameRing:
    """One mapping of a ring. Made by `create` (the producer) or `attach` (the client).

    Not for use from several threads at once. Words are stored with one aligned 64-bit store
    each and become visible in order of the program, as x86-64 guarantees.
    """

    def __init__(
        self,
        path: Path,
        mapping: mmap.mmap,
        identity: tuple[int, int],
        *,
        producer: bool,
        now_ns: Callable[[], int],
        sleep: Callable[[float], None],
    ) -> None:
        self.path = path
        self.producer = producer
        self._identity = identity
        self._now_ns = now_ns
        self._sleep = sleep
        self._mapping: mmap.mmap | None = mapping
        self._header = np.frombuffer(mapping, np.uint64, _HEADER_WORDS)
        self.slots = int(self._header[_H_SLOTS])
        self.width = int(self._header[_H_WIDTH])
        self.height = int(self._header[_H_HEIGHT])
        stride = _stride(self.width, self.height)
        self._slot_words = [
            np.frombuffer(mapping, np.uint64, _SLOT_HEADER // 8, _PAGE + i * stride)
            for i in range(self.slots)
        ]
        count = self.width * self.height
        self._pixels = [
            np.frombuffer(mapping, np.uint8, count, _PAGE + i * stride + _SLOT_HEADER).reshape(
                self.height, self.width
            )
            for i in range(self.slots)
        ]

    # --- Making one -------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        name: str,
        width: int,
        height: int,
        slots: int = 4,
        *,
        now_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> FrameRing:
        """Make the ring as its producer, in place of one that an earlier producer left behind.

        ``width`` and ``height`` are in pixels (1 to 16384), ``slots`` is 2 to 64. The file appears
        under its name only when complete. Raises FrameError.
        """
        path = ring_path(name)
        if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE and 2 <= slots <= MAX_SLOTS):
            raise FrameError(
                f"cannot make frame ring {path}: {width} x {height} pixels in {slots} slots; "
                f"sides are 1 to {MAX_SIDE}, slots 2 to {MAX_SLOTS}"
            )
        size = _PAGE + slots * _stride(width, height)
        fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
        try:
            fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o660)
            try:
                # Memory is claimed now: a full /dev/shm must fail here and not as SIGBUS later.
                os.posix_fallocate(fd, 0, size)
                stat = os.fstat(fd)
                mapping = mmap.mmap(fd, size)
            finally:
                os.close(fd)
            header = np.frombuffer(mapping, np.uint64, _HEADER_WORDS)
            header[_H_VERSION] = VERSION
            header[_H_SIZE] = size
            header[_H_SLOTS] = slots
            header[_H_WIDTH] = width
            header[_H_HEIGHT] = height
            header[_H_PID] = os.getpid()
            header[_H_MAGIC] = MAGIC
            del header
            _retire(path)
            os.replace(fresh, path)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise FrameError(
                f"cannot make frame ring {path} of {size} bytes: {error.strerror}; "
                "check the folder's rights and its free space"
            ) from error
        identity = (stat.st_dev, stat.st_ino)
        return cls(path, mapping, identity, producer=True, now_ns=now_ns, sleep=sleep)

    @classmethod
    def attach(
        cls,
        name: str,
        *,
        now_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> FrameRing:
        """Open an existing ring as its client. Raises FrameError when it is missing or no ring."""
        path = ring_path(name)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise FrameError(
                f"there is no frame ring {path}; start the camera's process or correct its name"
            ) from error
        except OSError as error:
            raise FrameError(f"cannot open frame ring {path}: {error.strerror}") from error
        try:
            stat = os.fstat(fd)
            _check_file(path, fd, stat.st_size)
            mapping = mmap.mmap(fd, stat.st_size)
        except OSError as error:
            raise FrameError(f"cannot map frame ring {path}: {error.strerror}") from error
        finally:
            os.close(fd)
        identity = (stat.st_dev, stat.st_ino)
        return cls(path, mapping, identity, producer=False, now_ns=now_ns, sleep=sleep)

    def close(self) -> None:
        """Unmap; a producer also retires the ring and removes its file. May be repeated."""
        if self._mapping is None:
            return
        if self.producer:
            self._header[_H_RETIRED] = 1
            if self._is_current():
                self.path.unlink(missing_ok=True)
        del self._header, self._slot_words, self._pixels
        self._mapping.close()
        self._mapping = None

    def __enter__(self) -> FrameRing:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # --- The client's half ------------------------------------------------------------------------

    def request(self) -> int:
        """Ask for one exposure and return the trigger number to `wait` for."""
        self._check_open()
        if self.producer:
            raise FrameError(f"{self.path}: the producer does not trigger itself; attach to do so")
        trigger = int(self._header[_H_REQUESTED]) + 1
        self._header[_H_REQUESTED] = trigger
        return trigger

    def wait(self, trigger: int, timeout_s: float) -> RingFrame:
        """Return the newest frame that answers ``trigger``.

        Raises FrameTimeoutError after ``timeout_s`` seconds and FrameRestartedError as soon as
        the producer has closed or re-created the ring.
        """
        self._check_open()
        deadline = self._now_ns() + int(timeout_s * 1e9)
        pause = _FIRST_PAUSE_S
        while True:
            frame = self._find(trigger)
            if frame is not None:
                return frame
            if self.stale:
                raise FrameRestartedError(
                    f"the producer of frame ring {self.path} closed or re-created it while trigger "
                    f"{trigger} waited; attach again and trigger again"
                )
            left = (deadline - self._now_ns()) / 1e9
            if left <= 0:
                raise FrameTimeoutError(
                    f"no frame for trigger {trigger} in {self.path} within {timeout_s:.3g} s; "
                    f"{self._producer_state()}"
                )
            self._sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    @property
    def stale(self) -> bool:
        """True when this ring is retired or its name belongs to another file by now."""
        self._check_open()
        return bool(self._header[_H_RETIRED]) or not self._is_current()

    # --- The producer's half ----------------------------------------------------------------------

    @property
    def requested(self) -> int:
        """The last trigger that the client asked for; 0 before the first."""
        self._check_open()
        return int(self._header[_H_REQUESTED])

    @property
    def published(self) -> int:
        """Number of the newest frame; 0 before the first."""
        self._check_open()
        return int(self._header[_H_PUBLISHED])

    def publish(self, gray: npt.NDArray[np.uint8], trigger: int, utc_ns: int) -> int:
        """Store a frame, uint8[height, width], as the answer to ``trigger``; return its number.

        Overwrites the oldest slot. Raises FrameError for another shape or type of array.
        """
        self._check_open()
        if not self.producer:
            raise FrameError(f"{self.path}: only the process that created the ring may publish")
        if gray.shape != (self.height, self.width) or gray.dtype != np.uint8:
            raise FrameError(
                f"{self.path} takes uint8[{self.height}, {self.width}], "
                f"not {gray.dtype}{list(gray.shape)}"
            )
        number = int(self._header[_H_PUBLISHED]) + 1
        index = (number - 1) % self.slots
        words = self._slot_words[index]
        sequence = int(words[_S_SEQUENCE])
        words[_S_SEQUENCE] = sequence + 1
        words[_S_NUMBER] = number
        words[_S_WIDTH] = self.width
        words[_S_HEIGHT] = self.height
        words[_S_UTC_NS] = utc_ns
        words[_S_TRIGGER] = trigger
        self._pixels[index][:] = gray
        words[_S_SEQUENCE] = sequence + 2
        self._header[_H_PUBLISHED] = number
        return number

    # --- Inside -----------------------------------------------------------------------------------

    def _find(self, trigger: int) -> RingFrame | None:
        newest = -1
        number = 0
        for index, words in enumerate(self._slot_words):
            sequence = int(words[_S_SEQUENCE])
            if sequence and not sequence & 1 and int(words[_S_TRIGGER]) == trigger:
                candidate = int(words[_S_NUMBER])
                if candidate > number:
                    newest, number = index, candidate
        return None if newest < 0 else self._copy(newest, trigger)

    def _copy(self, index: int, trigger: int) -> RingFrame | None:
        """The slot's frame, or None when the producer wrote to it meanwhile."""
        words = self._slot_words[index]
        before = int(words[_S_SEQUENCE])
        if before & 1 or int(words[_S_TRIGGER]) != trigger:
            return None
        number, utc_ns = int(words[_S_NUMBER]), int(words[_S_UTC_NS])
        gray = self._pixels[index].copy()
        if int(words[_S_SEQUENCE]) != before:
            return None
        return RingFrame(gray, number, utc_ns)

    def _is_current(self) -> bool:
        try:
            stat = os.stat(self.path)
        except OSError:
            return False
        return (stat.st_dev, stat.st_ino) == self._identity

    def _producer_state(self) -> str:
        pid, last = int(self._header[_H_PID]), self.published
        seen = f"its last frame was number {last}" if last else "it never published a frame"
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return f"{seen}, and its producer (process {pid}) is gone: start the camera's process"
        except PermissionError:
            pass
        return f"{seen}; its producer (process {pid}) runs: see that process's log"

    def _check_open(self) -> None:
        if self._mapping is None:
            raise FrameError(f"frame ring {self.path} is closed; attach again")


def _check_file(path: Path, fd: int, size: int) -> None:
    """Raise FrameError unless the file is a whole ring of this version."""
    head = os.pread(fd, 48, 0)
    if len(head) < 48 or int.from_bytes(head[:8], "little") != MAGIC:
        raise FrameError(f"{path} is not a frame ring; correct the name or remove the file")
    words = cast(tuple[int, ...], struct.unpack("<6Q", head))
    version, total, slots, width, height = words[1:]
    if version != VERSION:
        raise FrameError(
            f"{path} has frame ring version {version}, this program knows {VERSION}; "
            "run the same release on both sides"
        )
    sane = 1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE and 2 <= slots <= MAX_SLOTS
    if not sane or total != size or size != _PAGE + slots * _stride(width, height):
        raise FrameError(
            f"{path} is damaged: {size} bytes, {slots} slots of {width} x {height} pixels; "
            "restart the camera's process to make it anew"
        )


def _retire(path: Path) -> None:
    """Tell whoever is attached to an older ring of that name that it is over."""
    try:
        old = FrameRing.attach(str(path))
    except FrameError:
        return  # nothing there that a client could be attached to
    old._header[_H_RETIRED] = 1
    old.close()
