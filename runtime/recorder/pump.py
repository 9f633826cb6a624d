"""Takes records off the image's ring, keeps the newest and writes recordings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import msgspec
import structlog

from cellwright.io.files.replace import replace_file
from cellwright.io.image import RingDamaged
from cellwright.io.log_once import LogOnce
from cellwright.io.plan import plan as plans
from cellwright.io.recording.file import Header, Source
from cellwright.io.recording.store import RECORDINGS, Policy, RecordingStore
from cellwright.io.registry.registry import RegistryError
from cellwright.runtime.cell.membership import Membership
from cellwright.runtime.cell.run_folder import RunFolder
from cellwright.runtime.programs.resolve import resolve
from cellwright.runtime.recorder.provenance import recordable, sources_of
from cellwright.runtime.recorder.triggers import ConditionError, ImageWatch, asked_for

PERIOD_S: Final = 0.05
"""Between two looks at the ring. It is not waited on: waking us would cost the scan a call."""


class RecordRequest(msgspec.Struct, frozen=True):
    """What ``cellwright record`` leaves for the recorder."""

    actor: str
    reason: str = ""
    when: str = ""
    """A condition to wait for, in the language of alarms; empty: now."""


def ask(folder: RunFolder, request: RecordRequest) -> None:
    """Leave a request; it replaces one that the recorder has not seen yet."""
    replace_file(_request_file(folder), msgspec.msgpack.encode(request))


def _request_file(folder: RunFolder) -> Path:
    return folder.path / "record.msgpack"


class RecorderPump:
    """Ring to store, requests to causes, figures to the image."""

    def __init__(self, member: Membership, policy: Policy) -> None:
        self._plan = member.plan
        self._ring = member.image.records
        self._status = member.image.recorder
        self._request = _request_file(member.folder)
        self._log = structlog.get_logger(__name__)
        self._once = LogOnce(self._log)
        self._watch = ImageWatch(member.plan)
        header = Header(
            cell=member.plan.cell,
            plan=plans.dump(recordable(member.plan)),
            layout_hash=member.plan.layout_hash,
            sources=self._sources(),
            created_utc_ns=member.clock.utc_ns(),
        )
        self._store = RecordingStore(
            Path(member.plan.data) / RECORDINGS, header, policy, self._watch
        )
        self._wanted = False
        self._newest = self._store.figures.newest

    def _sources(self) -> dict[str, Source]:
        sys.path.insert(0, self._plan.folder)
        try:
            return sources_of(self._plan, [resolve(task.program) for task in self._plan.tasks])
        except RegistryError as error:
            self._log.warning("programs are not named in recordings", error=str(error))
            return {}

    def step(self) -> None:
        """Take everything that is on the ring; never raises for the disk."""
        try:
            while records := self._ring.peek():
                for _, data in records:
                    self._store.take(data)
                self._ring.acknowledge(records[-1][0])
        except RingDamaged as error:
            lost = self._ring.abandon()
            self._log.error("records lost", error=str(error), records=lost)
        self._ask_for_keyframe()
        self._heed_request()
        self._store.step()
        self._publish()

    def close(self) -> None:
        """Close the files; what is pending is kept with what there is."""
        self._store.close()
        self._publish()

    def _ask_for_keyframe(self) -> None:
        if not self._store.wants_keyframe:
            self._wanted = False
        elif not self._wanted:
            self._wanted = True
            self._status.wanted += 1

    def _heed_request(self) -> None:
        if not self._request.exists():
            return
        try:
            request = msgspec.msgpack.decode(self._request.read_bytes(), type=RecordRequest)
            self._request.unlink()
        except (OSError, msgspec.MsgspecError) as error:
            self._log.error("request not understood", error=str(error))
            return
        if not request.when:
            self._store.keep(f"asked by {request.actor}: {request.reason}")
            return
        try:
            self._watch.add(asked_for(self._plan, request.when))
        except ConditionError as error:
            self._log.error("condition refused", error=str(error))

    def _publish(self) -> None:
        figures, status = self._store.figures, self._status
        status.missed = figures.missed
        status.rolling_bytes = figures.rolling_bytes
        status.kept_files = figures.kept_files
        status.kept_bytes = figures.kept_bytes
        status.newest = figures.newest
        status.error = figures.error
        if figures.error:
            self._once.trouble("store", "not recording", cause=figures.error, error=figures.error)
        else:
            self._once.well("store")
        if figures.newest != self._newest:
            self._newest = figures.newest
            self._log.info("recording kept", file=figures.newest, cause=figures.cause)
