"""Journal and MES of a simulated cell: when events become durable, and who answers the programs.

Two journals and two answerers can be chosen. `FileJournal` and `ServiceMes` are what a running cell
has, on simulated time; `MemoryJournal` and `StandInMes` keep the rule and forget the rest.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

import structlog

from cellwright.io.files.sqlite_url import sqlite_url
from cellwright.io.image import Image
from cellwright.io.image.command_client import CommandClient, CommandFailed
from cellwright.io.journal.consumed import Consumed
from cellwright.io.journal.journal import JOURNAL_FILE, JournalReader
from cellwright.io.journal.pump import JournalPump
from cellwright.io.journal.purger import Purger
from cellwright.io.journal.retain import RetainStore
from cellwright.io.journal.retain_keeper import RetainKeeper
from cellwright.io.journal.writer import KEEP_NS
from cellwright.io.messages import (
    AnyEvent,
    Command,
    Deliver,
    SerialGranted,
    SerialRequested,
    decode_event,
)
from cellwright.io.plan import Plan
from cellwright.io.timing.clock import Clock
from cellwright.runtime.cell.membership import Membership
from cellwright.runtime.simulation.errors import SimulationError

ORDER: Final = "SIMULATION"
"""The work order of a simulated cell."""
ACTOR: Final = "simulation"
ENDLESS: Final = 1_000_000
"""Quantity of the order when parts come without end."""
REMEMBERED: Final = 64
"""Parts whose serial the stand-in repeats when it is asked again."""

_log = structlog.get_logger(__name__)

Committed = list[tuple[int, AnyEvent]]


class Journal(Protocol):
    """Makes durable what lies on the scan's ring."""

    def commit(self) -> Committed:
        """The events that became durable just now, with their sequences."""

    def taken(self, sequence: int) -> None:
        """The MES has all events up to that one."""

    def idle(self) -> None:
        """Called every 50 ms of simulated time."""

    def close(self) -> None:
        """The simulation is over."""


class MemoryJournal:
    """Acknowledges and keeps nothing."""

    def __init__(self, image: Image) -> None:
        self._ring = image.events["scan"]
        image.journal.ok = True

    def commit(self) -> Committed:
        """Everything that lies on the ring."""
        done: Committed = []
        while records := self._ring.peek():
            done += [(sequence, decode_event(data)) for sequence, data in records]
            self._ring.acknowledge(records[-1][0])
        return done

    def taken(self, sequence: int) -> None:
        """Nothing is kept."""

    def idle(self) -> None:
        """Nothing to look after."""

    def close(self) -> None:
        """Nothing to close."""


class FileJournal:
    """The journal process's parts on a real file: pump, retained values, purge."""

    def __init__(self, member: Membership, keep_ns: int = KEEP_NS) -> None:
        data = Path(member.plan.data)
        self._image = member.image
        self._ring = member.image.events["scan"]
        self._pump = JournalPump(member.image, data / JOURNAL_FILE, member.clock, seed=0)
        self._pump.step()
        self._retain = RetainKeeper(member.plan, member.image, member.clock, RetainStore(data))
        self._purger = Purger(
            data, member.clock, database=member.plan.database is not None, keep_ns=keep_ns
        )
        self._consumed = Consumed(data)
        with JournalReader(data / JOURNAL_FILE) as reader:
            self._identity = reader.identity

    def commit(self) -> Committed:
        """One step of the pump."""
        records = self._ring.peek()
        self._pump.step()
        acknowledged = self._ring.acknowledged
        return [(at, decode_event(data)) for at, data in records if at <= acknowledged]

    def taken(self, sequence: int) -> None:
        """Say so as the gateway does, for the purge."""
        self._consumed.report(self._identity, sequence)

    def idle(self) -> None:
        """Retained values and the purge, as the journal process does it between batches."""
        self._retain.step()
        self._purger.step()

    def close(self) -> None:
        """Drain, save and close."""
        while self._pump.step():
            pass
        self._retain.step(at_end=True)
        self._purger.close()
        self._pump.close()


class Answerer(Protocol):
    """Takes durable events and gives the commands that answer them."""

    def take(self, rows: Committed) -> list[Command]:
        """Answers in the order of the events."""

    def close(self) -> None:
        """The simulation is over."""


class StandInMes:
    """Grants serials by counting, for the first part of the master data; records nothing."""

    def __init__(self, plan: Plan) -> None:
        self._number = 0
        self._fields: dict[str, str] = {}
        self._part_number, self._revision = "PART", ""
        self._render: Callable[[datetime, int], str] = lambda _, n: f"SIM{n:08d}"
        self._known: OrderedDict[str, SerialGranted] = OrderedDict()
        self._master_data = plan.master_data

    def _take_first(self, file: str) -> None:
        from cellwright.mes.definitions.master_data import load_file  # noqa: PLC0415
        from cellwright.mes.definitions.serial_pattern import SerialPattern  # noqa: PLC0415
        from cellwright.mes.kernel.errors import MesError  # noqa: PLC0415 - brings SQLAlchemy

        try:
            parts = load_file(file).parts
        except MesError as error:
            raise SimulationError(str(error)) from error
        if parts:
            part = parts[0]
            self._part_number, self._revision = part.part_number, part.revision
            self._fields = dict(part.fields)
            self._render = SerialPattern.parse(part.serial_pattern).render

    def take(self, rows: Committed) -> list[Command]:
        """A serial for each request, the same one for the same part."""
        return [
            Deliver(actor=ACTOR, reason="answer to a serial request", task=event.task, body=found)
            for _, event in rows
            if isinstance(event, SerialRequested)
            for found in [self._grant(event)]
        ]

    def _grant(self, event: SerialRequested) -> SerialGranted:
        found = self._known.get(event.part_id)
        if found is None:
            if self._master_data is not None:
                self._take_first(self._master_data)
                self._master_data = None
            self._number += 1
            at = datetime.fromtimestamp(event.utc_ns // 1_000_000_000, UTC)
            found = SerialGranted(
                part_id=event.part_id,
                serial=self._render(at, self._number),
                order=ORDER,
                part_number=self._part_number,
                revision=self._revision,
                fields=self._fields,
            )
            self._known[event.part_id] = found
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return found

    def close(self) -> None:
        """Nothing to close."""


class ServiceMes:
    """The real services on an SQLite store in the data folder, with one started work order.

    The scan's ring is the source of the events: its sequences are those of an empty journal.
    """

    def __init__(self, plan: Plan, clock: Clock, quantity: int) -> None:
        from cellwright.mes.definitions import master_data  # noqa: PLC0415
        from cellwright.mes.kernel.errors import MesError  # noqa: PLC0415
        from cellwright.mes.orders import work_orders  # noqa: PLC0415 - SQLAlchemy
        from cellwright.mes.service.catalogue import open_store  # noqa: PLC0415
        from cellwright.mes.shopfloor import consumer  # noqa: PLC0415

        if plan.master_data is None:
            raise SimulationError(
                f"{plan.source} has no master data, so there is no part to make an order of; add "
                "mes: {master_data: FILE}, or use the stand-in for the MES"
            )
        self._consume = consumer.consume
        data = Path(plan.data)
        try:
            found = master_data.load_file(plan.master_data)
            if not found.parts:
                raise SimulationError(f"{plan.master_data} defines no part; add one")
            self.store = open_store(sqlite_url(data / "mes.db"), utc_ns=clock.utc_ns)
            with self.store.session() as session:
                master_data.apply(session, found, actor=ACTOR)
                first = found.parts[0]
                job = work_orders.JobOrder(ORDER, first.part_number, None, quantity or ENDLESS)
                work_orders.store_and_start(session, job, actor=ACTOR, reason="simulation")
        except MesError as error:
            raise SimulationError(f"the MES cannot be simulated: {error}") from error

    def take(self, rows: Committed) -> list[Command]:
        """Each event in a transaction of its own, as the gateway does it."""
        answers: list[Command] = []
        for sequence, event in rows:
            with self.store.session() as session:
                answers += self._consume(session, ACTOR, sequence, event)
        return answers

    def close(self) -> None:
        """Close the store."""
        self.store.close()


def deliver(image: Image, answers: Sequence[Command]) -> None:
    """Put the answers on the scan's command ring."""
    client = CommandClient(image)
    for command in answers:
        try:
            client.post(command)
        except CommandFailed as error:
            # As in the gateway: the program asks again until it is answered.
            _log.warning("answer not delivered", error=str(error))
