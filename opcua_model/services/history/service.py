"""HistoryRead of tags: asked of the MES in a thread, answered in pages.

The transport decodes a request and sends what is made here. The database is read and the answer is
written in a thread, so that other clients wait for neither. Continuation points are the session's.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import structlog
from asyncua import ua
from asyncua.common.utils import Buffer, ServiceError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from cellwright.io.log_once import LogOnce
from cellwright.io.plan import Plan, Tag
from cellwright.mes.history.reading import tags
from cellwright.mes.kernel.errors import MesError
from cellwright.opcua_model.address_space import ranges
from cellwright.opcua_model.address_space.ids import status_code
from cellwright.opcua_model.events.types import EventTypes
from cellwright.opcua_model.services import limits
from cellwright.opcua_model.services.history import computed, events, raw, wire
from cellwright.opcua_model.services.history.computed import AtTimeTask, Computer, ProcessedTask
from cellwright.opcua_model.services.history.events import EventSource, EventTask
from cellwright.opcua_model.services.history.raw import RawReader, RawTask

_DEFAULT_ENCODINGS = (None, "", "Default Binary")
_AWAY = ua.StatusCodes.BadResourceUnavailable
Task = RawTask | AtTimeTask | ProcessedTask


class Source(Protocol):
    """The MES as far as it is needed here."""

    def reading(self) -> AbstractContextManager[Session]:
        """A snapshot."""


@dataclass(frozen=True, slots=True)
class _Point:
    tag: Tag
    index_range: str
    task: Task


class HistoryPoints:
    """The continuation points of one session; beyond the bound the oldest give way."""

    def __init__(self) -> None:
        self._held: OrderedDict[bytes, _Point | EventTask] = OrderedDict()

    def put(self, point: _Point | EventTask) -> bytes:
        """Keep it and name it."""
        while len(self._held) >= limits.MAX_HISTORY_CONTINUATION_POINTS:
            self._held.popitem(last=False)
        name = secrets.token_bytes(16)
        self._held[name] = point
        return name

    def take(self, name: bytes) -> _Point | EventTask | None:
        """What was kept under that name, once."""
        return self._held.pop(name, None)


@dataclass(slots=True)
class _Job:
    """One node of a request."""

    point: _Point | None
    code: int = ua.StatusCodes.Good
    """Why there is nothing to read, when there is no point."""


class HistoryService:
    """What is recorded of a plan's tags."""

    def __init__(
        self, plan: Plan, source: Source | None, find: Callable[[ua.NodeId], Tag | None]
    ) -> None:
        """``find``: the tag behind a node."""
        self._cell = plan.cell
        self._recorded = frozenset(() if plan.history is None else plan.history.deadbands)
        self._source = source
        self._find = find
        self._pool = ThreadPoolExecutor(limits.HISTORY_THREADS, "history-read")
        self._waiting = 0
        self._keys: dict[tuple[str, str], int] = {}
        self._once = LogOnce(structlog.get_logger(__name__))
        self.events: EventSource | None = None
        """Where past events come from; set while the server is put together."""
        self.types: EventTypes | None = None

    @property
    def offered(self) -> bool:
        """There is a history of any tag at all."""
        return bool(self._recorded)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    async def read(
        self,
        body: Buffer,
        points: HistoryPoints,
        exists: Callable[[ua.NodeId], bool],
        *,
        auditor: bool = False,
    ) -> bytes:
        """The results of a request, as bytes behind its header. Raises ServiceError.

        ``auditor``: the user may read audit events.
        """
        asked = wire.request(body)
        if asked.release:
            return wire.results(self._released(item, points) for item in asked.nodes)
        if isinstance(asked.details, ua.ReadEventDetails):
            jobs_ = self._event_jobs(asked, points, exists, auditor=auditor)
            return await self._in_thread(partial(self._serve_events, jobs_, points))
        types = getattr(asked.details, "AggregateType", None)
        if types is not None and len(types) != len(asked.nodes):
            raise ServiceError(ua.StatusCodes.BadAggregateListMismatch)
        most = max(1, limits.MAX_HISTORY_VALUES_PER_CALL // len(asked.nodes))
        most = min(most, limits.MAX_HISTORY_VALUES)
        jobs = []
        for number, item in enumerate(asked.nodes):
            job = self._continued(item, points)
            if job is None:
                job = self._new(item, number, asked.details, most)
            if job.code == ua.StatusCodes.BadHistoryOperationUnsupported:
                job = job if exists(item.NodeId) else _Job(None, ua.StatusCodes.BadNodeIdUnknown)
            jobs.append(job)
        return await self._in_thread(partial(self._serve, jobs, points))

    async def _in_thread(self, work: Callable[[], bytes]) -> bytes:
        if self._waiting >= limits.MAX_HISTORY_READS:
            raise ServiceError(ua.StatusCodes.BadServerTooBusy)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    def _event_jobs(
        self,
        asked: wire.Asked,
        points: HistoryPoints,
        exists: Callable[[ua.NodeId], bool],
        *,
        auditor: bool,
    ) -> list[EventTask | int]:
        """For each node what is to be read, or the code of a refusal."""
        jobs: list[EventTask | int] = []
        for item in asked.nodes:
            if item.ContinuationPoint:
                held = points.take(bytes(item.ContinuationPoint))
                known = isinstance(held, EventTask) and held.notifier == item.NodeId
                bad = ua.StatusCodes.BadContinuationPointInvalid
                jobs.append(held if known and isinstance(held, EventTask) else bad)
            elif self.events is not None and item.NodeId in self.events.notifiers:
                assert self.types is not None
                jobs.append(events.task(item.NodeId, asked.details, self.types, auditor=auditor))
            elif exists(item.NodeId):
                jobs.append(ua.StatusCodes.BadHistoryOperationUnsupported)
            else:
                jobs.append(ua.StatusCodes.BadNodeIdUnknown)
        return jobs

    def _serve_events(self, jobs: list[EventTask | int], points: HistoryPoints) -> bytes:
        """Runs in a thread."""
        found = []
        for job in jobs:
            if isinstance(job, int) or self.events is None:
                found.append(_bad(job if isinstance(job, int) else _AWAY))
                continue
            try:
                data, count, left = events.page(self.events, job)
            except OSError as error:
                self._once.trouble(
                    "events", "past events cannot be read", cause=str(error), error=str(error)
                )
                found.append(_bad(_AWAY))
                continue
            result = ua.HistoryReadResult(HistoryData=data)
            if left is not None:
                result.ContinuationPoint = ua.ByteString(points.put(left))
            elif not count:
                result.StatusCode = status_code(ua.StatusCodes.GoodNoData)
            found.append(result)
        return wire.results(found)

    @staticmethod
    def _released(item: ua.HistoryReadValueId, points: HistoryPoints) -> ua.HistoryReadResult:
        held = points.take(bytes(item.ContinuationPoint or b""))
        good, bad = ua.StatusCodes.Good, ua.StatusCodes.BadContinuationPointInvalid
        return ua.HistoryReadResult(StatusCode=status_code(bad if held is None else good))

    def _continued(self, item: ua.HistoryReadValueId, points: HistoryPoints) -> _Job | None:
        """What a continuation point names; None without one."""
        if not item.ContinuationPoint:
            return None
        point = points.take(bytes(item.ContinuationPoint))
        if not isinstance(point, _Point) or self._find(item.NodeId) is not point.tag:
            return _Job(None, ua.StatusCodes.BadContinuationPointInvalid)
        return _Job(point)

    def _new(self, item: ua.HistoryReadValueId, number: int, details: Any, most: int) -> _Job:
        tag = self._find(item.NodeId)
        if tag is None or tag.name not in self._recorded or details is None:
            return _Job(None, ua.StatusCodes.BadHistoryOperationUnsupported)
        encoding = item.DataEncoding.Name if item.DataEncoding is not None else None
        if encoding not in _DEFAULT_ENCODINGS:
            return _Job(None, ua.StatusCodes.BadDataEncodingUnsupported)
        task: Task | int
        if isinstance(details, ua.ReadRawModifiedDetails):
            task = raw.task(details, most)
        elif isinstance(details, ua.ReadAtTimeDetails):
            task = computed.at_time(details)
        else:
            task = computed.processed(details, number, tag.type, most)
        if isinstance(task, int):
            return _Job(None, task)
        return _Job(_Point(tag, item.IndexRange or "", task))

    def _serve(self, jobs: list[_Job], points: HistoryPoints) -> bytes:
        """Runs in a thread: one snapshot of the database for all nodes of the request."""
        if self._source is None or all(job.point is None for job in jobs):
            return wire.results(_bad(job.code if job.point is None else _AWAY) for job in jobs)
        try:
            with self._source.reading() as session:
                found = [self._result(session, job, points) for job in jobs]
        except (MesError, SQLAlchemyError) as error:
            self._once.trouble(
                "read", "the history cannot be read", cause=str(error), error=str(error)
            )
            found = [_bad(job.code if job.point is None else _AWAY) for job in jobs]
        else:
            self._once.well("read", "the history can be read again")
        return wire.results(found)

    def _result(self, session: Session, job: _Job, points: HistoryPoints) -> ua.HistoryReadResult:
        point = job.point
        if point is None:
            return _bad(job.code)
        try:
            read = self._read(session, point)
        except ranges.RangeError as error:
            return _bad(error.code)
        except MesError as error:
            if error.code != "history_damaged":
                raise
            self._once.trouble("damage", "the history is damaged", level="error", error=str(error))
            return _bad(ua.StatusCodes.BadDataLost)
        if read is None:
            return _bad(ua.StatusCodes.BadResponseTooLarge)
        parts, left = read
        result = ua.HistoryReadResult(HistoryData=wire.history_data(parts))
        if left is not None:
            name = points.put(_Point(point.tag, point.index_range, left))
            result.ContinuationPoint = ua.ByteString(name)
        elif not any(count for count, _ in parts):
            result.StatusCode = status_code(ua.StatusCodes.GoodNoData)
        return result

    def _read(
        self, session: Session, point: _Point
    ) -> tuple[list[tuple[int, bytes]], Task | None] | None:
        tag, task = point.tag, point.task
        key = self._key(session, tag)
        if isinstance(task, RawTask):
            return RawReader(session, self._cell, key).page(task, tag.type, point.index_range)
        computer = Computer(session, self._cell, key, tag.type)
        if isinstance(task, AtTimeTask):
            return computer.at(task, point.index_range)
        return computer.intervals(task, point.index_range)

    def _key(self, session: Session, tag: Tag) -> int:
        """0, which no tag has, for one of which nothing was recorded yet."""
        wanted = (tag.name, str(tag.type))
        if wanted not in self._keys:
            self._keys = {(each.name, each.type): each.key for each in tags(session, self._cell)}
        return self._keys.get(wanted, 0)


def _bad(code: int) -> ua.HistoryReadResult:
    return ua.HistoryReadResult(StatusCode=status_code(code))
