"""The web application: a route for each action, and the few that are not about the MES itself.

Made once in each worker process by `web.server`. Actions run in threads, because they wait for a
database; nothing else here waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

import msgspec
import structlog
from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from cellwright.mes.kernel.actions import Access, Action, Actions, Caller, Rest
from cellwright.mes.kernel.errors import MesError
from cellwright.mes.service.dispatcher import Answered, permit
from cellwright.web.api.bodies import BODY_S, ClientGoneError, read_body
from cellwright.web.api.frame import EXCHANGE, Application, Exchange, Frame
from cellwright.web.api.openapi import document
from cellwright.web.api.operations import JSON, PLACEHOLDER, Headers, Operation, Reply
from cellwright.web.api.problems import RefusalError, of_mes, unexpected
from cellwright.web.identity.callers import Credentials, caller_of, credentials_of
from cellwright.web.identity.verifier import Verifier
from cellwright.web.limits.rates import Rates
from cellwright.web.metrics.http import HttpMetrics

THREADS: Final = 4
"""Actions that one worker runs at once. More wait for each other's interpreter lock and not for the
database; fewer let two slow ones hold up all others."""
MAX_WAITING: Final = 256
"""Requests that wait for a thread; beyond, a client is told to come back."""
MEGABYTE: Final = 1_000_000

T = TypeVar("T")
Anything = Request[Any, Any, Any]


class Dispatch(Protocol):
    """What the door asks of the dispatcher."""

    def call(
        self,
        action: Action[Any, Any],
        request: Any,
        caller: Caller,
        *,
        correlation_id: str = "",
        idempotency_key: str = "",
    ) -> Answered[Any]:
        """Run the action; raises MesError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the application is made of."""

    actions: Actions
    dispatcher: Dispatch
    verifier: Verifier | None
    """None: nobody can log in."""
    rates: Rates
    metrics: HttpMetrics
    ready: Callable[[], str]
    """Empty when the store answers, else why not, in words for outside. Called in a thread."""
    version: str
    max_body_bytes: int = 10 * MEGABYTE
    body_s: float = BODY_S
    threads: int = THREADS
    unlimited: frozenset[str] = field(
        default_factory=lambda: frozenset({"/health", "/ready", "/metrics"})
    )
    """Paths that machines ask over and over, and that no limit counts."""


def application(parts: Parts) -> Application:
    """The ASGI application. Raises ValueError for an action whose route cannot be."""
    return Frame(_Api(parts).litestar(), parts.metrics)


def operations(actions: Actions) -> tuple[Operation, ...]:
    """The REST operation of each action that has one."""
    found = tuple(
        Operation(action, action.rest)
        for action in actions.values()
        if isinstance(action.rest, Rest)
    )
    for operation in found:
        operation.find_location(found)
    return found


class _Pool:
    """The threads that actions run in."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="action")
        self._waiting = 0

    async def run(self, call: Callable[..., T], *arguments: Any) -> T:
        """What the call returns. Raises RefusalError 503 when too many wait."""
        if self._waiting >= MAX_WAITING:
            raise RefusalError(
                503,
                "overloaded",
                "the server has more requests than it can answer; send this one again later",
                headers=[("Retry-After", "1")],
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)


class _Api:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._operations = operations(parts.actions)
        self._pool = _Pool(parts.threads)
        self._openapi = b""
        self._log = structlog.get_logger(__name__)

    def litestar(self) -> Litestar:
        """The router with everything in it."""
        plain = {
            "/health": self._health,
            "/ready": self._ready,
            "/metrics": self._metrics,
            "/openapi.json": self._document,
            "/.well-known/jwks.json": self._keys,
        }
        methods: dict[str, set[str]] = {path: {"GET"} for path in plain}
        for operation in self._operations:
            methods.setdefault(operation.rest.path, set()).add(operation.rest.method)
        # First, or Litestar adds one of its own that knows the path's first method alone.
        handlers = [self._options(path, found) for path, found in methods.items()]
        handlers += [self._route(operation) for operation in self._operations]
        handlers += [self._plain(path, call) for path, call in plain.items()]
        return Litestar(
            route_handlers=handlers,
            openapi_config=None,
            logging_config=None,
            exception_handlers={HTTPException: self._unrouted, Exception: self._failed},
            lifespan=[self._living],
            debug=False,
        )

    @asynccontextmanager
    async def _living(self, _: Litestar) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.to_thread(self._pool.close)

    # --- routes ---------------------------------------------------------------------------------

    def _route(self, operation: Operation) -> HTTPRouteHandler:
        async def handle(request: Anything) -> ASGIResponse:
            return await self._answered(
                request, operation.rest.path, lambda: self._act(operation, request)
            )

        return _handler(_routed(operation.rest.path), operation.rest.method, handle)

    def _plain(self, path: str, call: Callable[[Anything], Awaitable[Reply]]) -> HTTPRouteHandler:
        async def handle(request: Anything) -> ASGIResponse:
            return await self._answered(request, path, lambda: self._told(path, call, request))

        return _handler(path, "GET", handle)

    def _options(self, path: str, methods: set[str]) -> HTTPRouteHandler:
        head = {"HEAD"} if "GET" in methods else set()
        allowed = [("Allow", ", ".join(sorted({*methods, *head, "OPTIONS"})))]

        async def tell(_: Anything) -> Reply:
            return Reply(204, headers=allowed)

        async def handle(request: Anything) -> ASGIResponse:
            return await self._answered(request, path, lambda: self._told(path, tell, request))

        return _handler(_routed(path), "OPTIONS", handle)

    async def _told(
        self, path: str, call: Callable[[Anything], Awaitable[Reply]], request: Anything
    ) -> Reply:
        if path not in self._parts.unlimited:
            self._limit_nobody(request)
        return await call(request)

    async def _answered(
        self, request: Anything, route: str, call: Callable[[], Awaitable[Reply]]
    ) -> ASGIResponse:
        """The answer to anything, refusals and failures included."""
        exchange: Exchange = request.scope[EXCHANGE]  # type: ignore[typeddict-item]
        exchange.route = route
        try:
            return _response(await call())
        except RefusalError as error:
            return _refused(error, exchange)
        except MesError as error:
            refusal = of_mes(error)
            if refusal.status >= 500:
                self._log.warning("a request was not answered", route=route, code=error.code,
                                  error=error.message, trace_id=exchange.trace_id)  # fmt: skip
            return _refused(refusal, exchange)

    # --- actions --------------------------------------------------------------------------------

    async def _act(self, operation: Operation, request: Anything) -> Reply:
        scope, headers = request.scope, _headers(request)
        # Who wants a new token often sends the old one along: where nobody must prove anything,
        # nothing is looked at.
        public = operation.action.permission == Access.PUBLIC
        credentials = Credentials()
        if not public:
            credentials = credentials_of(headers, scope.get("extensions") or {})
        if not credentials.given:
            self._limit_nobody(request)
            if not public:
                raise MesError("unauthenticated", "Unauthorized: log in first")
        body = b""
        if operation.takes_body:
            body = await read_body(
                request.receive, headers, self._parts.max_body_bytes, self._parts.body_s
            )
        return await self._pool.run(self._work, operation, request, credentials, body)

    def _work(
        self, operation: Operation, request: Anything, credentials: Credentials, body: bytes
    ) -> Reply:
        """In a thread: prove, decode, run, encode."""
        scope, parts = request.scope, self._parts
        address = _address(request)
        try:
            caller = caller_of(credentials, parts.verifier, address)
        except MesError as error:
            if error.code == "unauthenticated":
                parts.rates.check_address(address)
            raise
        if credentials.given:
            parts.rates.check_user(f"{caller.scope.tenant_id}/{caller.username}")
        try:
            made = operation.request(
                scope["path_params"], scope["query_string"], _headers(request), body
            )
        except RefusalError:
            permit(operation.action, caller)  # who may not ask is not told how to ask
            raise
        answered = parts.dispatcher.call(
            operation.action,
            made,
            caller,
            correlation_id=scope[EXCHANGE].trace_id,  # type: ignore[typeddict-item]
            idempotency_key=_idempotency_key(operation, request),
        )
        return operation.reply(answered.answer, repeated=answered.repeated)

    def _limit_nobody(self, request: Anything) -> None:
        self._parts.rates.check_address(_address(request))

    # --- what is not about the MES itself -------------------------------------------------------

    async def _health(self, _: Anything) -> Reply:
        return Reply(200, b'{"status":"ok"}')

    async def _ready(self, _: Anything) -> Reply:
        why = await self._pool.run(self._parts.ready)
        if why:
            raise RefusalError(503, "not_ready", why, headers=[("Retry-After", "5")])
        return Reply(200, b'{"status":"ready"}')

    async def _metrics(self, _: Anything) -> Reply:
        media_type, page = await self._pool.run(self._parts.metrics.page)
        return Reply(200, page, media_type=media_type)

    async def _document(self, _: Anything) -> Reply:
        if not self._openapi:
            made = await self._pool.run(document, self._operations, self._parts.version)
            self._openapi = msgspec.json.encode(made)
        return Reply(200, self._openapi)

    async def _keys(self, _: Anything) -> Reply:
        verifier = self._parts.verifier
        keys = {"keys": []} if verifier is None else await self._pool.run(verifier.jwks)
        return Reply(200, msgspec.json.encode(keys), [("Cache-Control", "public, max-age=300")])

    # --- what no route answers ------------------------------------------------------------------

    def _unrouted(self, request: Anything, error: HTTPException) -> Response[bytes]:
        exchange: Exchange = request.scope[EXCHANGE]  # type: ignore[typeddict-item]
        try:
            if not credentials_of(_headers(request), {}).given:
                self._limit_nobody(request)
        except MesError as limited:
            return _handled(of_mes(limited), exchange)
        return _handled(_of_router(request, error), exchange)

    def _failed(self, request: Anything, error: Exception) -> Response[bytes]:
        if isinstance(error, ClientGoneError):
            raise error
        exchange: Exchange = request.scope[EXCHANGE]  # type: ignore[typeddict-item]
        self._log.error("a request failed", route=exchange.route, trace_id=exchange.trace_id,
                        exc_info=error)  # fmt: skip
        return _handled(unexpected(), exchange)


def _routed(path: str) -> str:
    """The template of a route as Litestar writes it."""
    return PLACEHOLDER.sub(r"{\1:str}", path)


def _handler(
    path: str, method: str, handle: Callable[[Anything], Awaitable[ASGIResponse]]
) -> HTTPRouteHandler:
    methods: Sequence[Any] = ["GET", "HEAD"] if method == "GET" else [method]
    return HTTPRouteHandler(path, http_method=methods, status_code=200)(handle)


def _response(reply: Reply) -> ASGIResponse:
    if reply.status == 204:
        return ASGIResponse(status_code=204, headers=dict(reply.headers), media_type="")
    return ASGIResponse(
        body=reply.body,
        status_code=reply.status,
        headers=dict(reply.headers),
        media_type=reply.media_type,
    )


def _handled(refusal: RefusalError, exchange: Exchange) -> Response[bytes]:
    """A refusal as Litestar wants it from handlers of exceptions."""
    return Response(
        refusal.body(exchange.trace_id),
        status_code=refusal.status,
        headers=dict(refusal.headers),
        media_type=JSON,
    )


def _refused(refusal: RefusalError, exchange: Exchange) -> ASGIResponse:
    reply = Reply(refusal.status, refusal.body(exchange.trace_id), refusal.headers)
    return _response(reply)


def _of_router(request: Anything, error: HTTPException) -> RefusalError:
    method, path = request.scope["method"], request.scope["path"][:200]
    if error.status_code == 405:
        allowed = (error.headers or {}).get("allow", "")
        return RefusalError(405, "method_not_allowed", f"{path} takes {allowed}, not {method}",
                       headers=[("Allow", allowed)])  # fmt: skip
    if error.status_code == 404:
        return RefusalError(404, "not_found", f"there is nothing at {path}; see /openapi.json")
    return RefusalError(error.status_code, "bad_request", "the head of the request cannot be read")


def _headers(request: Anything) -> Headers:
    return request.scope["headers"]  # type: ignore[return-value]  # uvicorn's is a list


def _address(request: Anything) -> str:
    client = request.scope.get("client")
    return str(client[0]) if client else ""


def _idempotency_key(operation: Operation, request: Anything) -> str:
    """Nobody's answers are kept: another nobody with the same key would be given them."""
    if operation.rest.method == "GET" or operation.action.permission == Access.PUBLIC:
        return ""
    for name, value in _headers(request):
        if name == b"idempotency-key":
            return value.decode("latin-1")
    return ""
