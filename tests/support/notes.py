"""A small MES of notes: its actions, its people, and a web server of them on a real socket.

For tests and benchmarks of the web room that are not about the actions of the product. Notes lie in
memory; answers to idempotency keys in the real store's table.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

from cellwright.mes.kernel.actions import (
    Access,
    Action,
    Caller,
    Change,
    Closed,
    Command,
    Context,
    Nothing,
    Page,
    PageRequest,
    Request,
    Rest,
    View,
    catalogue,
)
from cellwright.mes.kernel.errors import MesError, StoreError
from cellwright.mes.kernel.paging import check
from cellwright.mes.service.catalogue import ACTIONS as PRODUCT
from cellwright.mes.service.catalogue import open_store
from cellwright.mes.service.dispatcher import ADMINISTRATOR, Dispatcher, Sessions
from cellwright.web.api.application import Parts, application
from cellwright.web.limits.rates import Rates
from cellwright.web.metrics.http import HttpMetrics
from cellwright.web.server.serving import serve
from cellwright.web.server.settings import ServerSettings, Tls

SECRET = "the-inside-of-the-program"


class Priority(StrEnum):
    """How urgent it is."""

    HIGH = "High"
    LOW = "Low"


class CreateNote(Change, frozen=True, kw_only=True):
    """A note to be kept."""

    title: str
    """What it is about."""
    quantity: int | Decimal
    priority: Priority = Priority.LOW
    due_date: date | None = None
    """When it must be done."""


class UpdateNote(Change, frozen=True, kw_only=True):
    """What is to be another in a note."""

    id: str
    """Id of the note."""
    title: str


class NoteRequest(Request, frozen=True, kw_only=True):
    """Which note."""

    id: str
    """Id of the note."""


class NoteChange(Change, frozen=True, kw_only=True):
    """Which note is to be changed."""

    id: str


class ListNotes(PageRequest, frozen=True, kw_only=True):
    """Which notes."""

    title: str | None = None
    """Only those with this title."""
    number: int | None = None


class LoginRequest(Change, frozen=True, kw_only=True):
    """Who wants in."""

    username: str


class NoteView(View, frozen=True, kw_only=True):
    """A note."""

    id: str
    """What the note is called."""
    title: str
    quantity: int | Decimal
    priority: Priority
    due_date: date | None
    created_at: datetime
    closed: bool = False
    version: int = 1


@dataclass
class Notes:
    """The service."""

    notes: dict[str, NoteView] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    created: int = 0

    def create(self, context: Context, request: CreateNote) -> NoteView:
        with self.lock:
            self.created += 1
            view = NoteView(
                id=f"N-{self.created:06d}",
                title=request.title,
                quantity=request.quantity,
                priority=request.priority,
                due_date=request.due_date,
                created_at=context.at,
            )
            self.notes[view.id] = view
            return view

    def get(self, _: Context, request: NoteRequest) -> NoteView:
        return self._of(request.id)

    def list(self, _: Context, request: ListNotes) -> Page[NoteView]:
        check(request)
        found = [n for n in self.notes.values() if request.title in (None, n.title)]
        first = (request.page - 1) * request.limit
        return Page(items=found[first : first + request.limit], total=len(found))

    def update(self, context: Context, request: UpdateNote) -> NoteView:
        with self.lock:
            note = self._of(request.id)
            context.check_version(f"note {note.id}", note.version)
            return self._keep(
                NoteView(**{**_fields(note), "title": request.title, "version": note.version + 1})
            )

    def close(self, context: Context, request: NoteChange) -> NoteView:
        with self.lock:
            note = self._of(request.id)
            context.check_version(f"note {note.id}", note.version)
            if note.closed:
                raise MesError("invalid_state", f"note {note.id} is closed; open another one")
            return self._keep(
                NoteView(**{**_fields(note), "closed": True, "version": note.version + 1})
            )

    def delete(self, _: Context, request: NoteChange) -> Nothing:
        with self.lock:
            del self.notes[self._of(request.id).id]
        return Nothing()

    def _keep(self, note: NoteView) -> NoteView:
        self.notes[note.id] = note
        return note

    def _of(self, name: str) -> NoteView:
        if name not in self.notes:
            raise MesError("unknown_entity", f"there is no note {name!r:.80}")
        return self.notes[name]


def _fields(note: NoteView) -> dict[str, Any]:
    return {name: getattr(note, name) for name in note.__struct_fields__}


def _fail(_context: Context, _request: Request) -> Nothing:
    raise RuntimeError(SECRET)


def _away(_context: Context, _request: Request) -> Nothing:
    raise StoreError("store_busy", f"cannot use the MES database sqlite:///{SECRET}: locked")


def _sleep(_context: Context, _request: Request) -> Nothing:
    time.sleep(0.5)
    return Nothing()


def _who(context: Context, request: LoginRequest) -> NoteView:
    return NoteView(id=context.actor, title=request.username, quantity=0, priority=Priority.LOW,
                    due_date=None, created_at=context.at)  # fmt: skip


def actions(service: Notes) -> Any:
    """The catalogue."""

    def action(name: str, request: Any, answer: Any, run: Any, rest: Rest, *,
               permission: str | Access = "", reads: bool = False) -> Any:  # fmt: skip
        return Action(
            name=f"notes.{name}",
            summary=f"{name.capitalize()} notes.",
            request=request,
            answer=answer,
            permission=permission or f"notes.{name}",
            entity="note",
            run=run,
            rest=rest,
            opcua=Closed("not for machines"),
            command=Command("notes", name),
            reads=reads,
        )

    base, one = "/api/v1/notes", "/api/v1/notes/{id}"
    return catalogue(
        (
            action("create", CreateNote, NoteView, service.create, Rest("POST", base, 201)),
            action("list", ListNotes, Page[NoteView], service.list, Rest("GET", base), reads=True),
            action("get", NoteRequest, NoteView, service.get, Rest("GET", one), reads=True),
            action("update", UpdateNote, NoteView, service.update, Rest("PUT", one)),
            action("close", NoteChange, NoteView, service.close, Rest("POST", one + "/close")),
            action("delete", NoteChange, Nothing, service.delete, Rest("DELETE", one)),
            action("login", LoginRequest, NoteView, _who, Rest("POST", "/auth/login"),
                   permission=Access.PUBLIC),
            action("rule", Request, Nothing, _sleep, Rest("GET", "/rule"), reads=True,
                   permission=Access.ADMINISTRATOR),
            *(action(name, Request, Nothing, run, Rest("GET", f"/{name}"), reads=True,
                     permission=Access.SIGNED_IN)
              for name, run in (("fail", _fail), ("away", _away), ("sleep", _sleep))),
        )
    )  # fmt: skip


ALL = frozenset(f"notes.{name}" for name in ("create", "list", "get", "update", "close", "delete"))
PEOPLE = {
    "ada": Caller(username="ada", user_id=1, permissions=ALL, authentication="token"),
    "rob": Caller(username="rob", user_id=2, permissions=frozenset({"notes.get", "notes.list"}),
                  authentication="token"),
}  # fmt: skip


class People:
    """Takes ``NAME`` for the token of that person, and their name in a certificate."""

    def verify(self, token: str) -> Caller:
        if token not in PEOPLE:
            raise MesError("unauthenticated", "Unauthorized: the token is none of this server's")
        return PEOPLE[token]

    def holder(self, common_name: str) -> Caller:
        return replace(self.verify(common_name), authentication="certificate")

    def jwks(self) -> dict[str, Any]:
        return {"keys": [{"kty": "RSA", "kid": "k1"}]}


ANYBODY = Caller(
    username="anybody",
    roles=frozenset({ADMINISTRATOR}),
    permissions=frozenset(
        action.permission
        for action in PRODUCT.values()
        if not isinstance(action.permission, Access)
    ),
    authentication="token",
)
"""May everything that the product's MES offers."""


class Everybody(People):
    """Takes any token for that of `ANYBODY`."""

    def verify(self, token: str) -> Caller:
        return ANYBODY


@dataclass
class Serving:
    """A server that runs."""

    port: int
    notes: Notes
    parts: Parts
    stop: threading.Event

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def parts_of(service: Notes, store: Sessions, **changed: Any) -> Parts:
    """What an application of the notes is made of."""
    rates = Rates(None, worker=0, workers=1, user=10**6, address=10**6, now_ns=time.monotonic_ns)
    return replace(
        Parts(
            actions=actions(service),
            dispatcher=Dispatcher(store),
            verifier=People(),
            rates=rates,
            metrics=HttpMetrics(),
            ready=lambda: "",
            version="1.2.3",
        ),
        **changed,
    )


@contextmanager
def serving(folder: Path, *, tls: Tls | None = None, **changed: Any) -> Iterator[Serving]:
    """A server of the notes in a thread, with its files in the folder."""
    notes, stop, up = Notes(), threading.Event(), threading.Event()
    store = open_store(f"sqlite:///{folder / 'notes.db'}")
    parts = parts_of(notes, store, **changed)
    port = free_port()
    settings = ServerSettings(host="127.0.0.1", port=port, tls=tls, server=str(folder))
    thread = threading.Thread(
        target=serve,
        args=(application(parts), settings),
        kwargs={"locks": folder, "should_stop": stop.is_set, "beat": lambda: None,
                "listening": up.set},
    )  # fmt: skip
    thread.start()
    try:
        assert up.wait(20)
        yield Serving(port, notes, parts, stop)
    finally:
        stop.set()
        thread.join(20)
        store.close()
        assert not thread.is_alive()
