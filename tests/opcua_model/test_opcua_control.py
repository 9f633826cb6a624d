"""The cell is started and stopped by a client's method call, which the scan decides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from asyncua import Client, ua

from cellwright.io.messages import ReplyCode, SetMode
from cellwright.opcua_model.errors import CommandUnavailableError

pytestmark = pytest.mark.asyncio(loop_scope="session")

METHODS = "ns=3;s=BladeMarking.Controller.Resources.PLC1.MethodSet"


@pytest.fixture(autouse=True)
def fresh_scan(cell: Any) -> Iterator[None]:
    """Every test begins with an obliging scan that has received nothing, and leaves one behind."""
    cell.scan.received.clear()
    answer = cell.scan.answer
    cell.scan.answer = lambda command: (ReplyCode.OK, "")
    yield
    cell.scan.answer = answer


async def call(client: Client, method: str, reason: str = "shift begins") -> list[Any]:
    answer: list[Any] = await client.get_node(METHODS).call_method(
        f"3:{method}", ua.Variant(reason, ua.VariantType.String)
    )
    return answer


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("Start", "start"),
        ("ColdStart", "cold_start"),
        ("Pause", "pause"),
        ("Resume", "hot_start"),
        ("Stop", "stop"),
        ("Reset", "reset"),
    ],
)
async def test_a_method_is_a_request_with_the_user_as_actor(
    cell: Any, method: str, request_: str
) -> None:
    async with cell.client("op") as client:
        assert await call(client, method) == [True, ""]
    assert cell.scan.received == [SetMode(request=request_, actor="op", reason="shift begins")]


async def test_a_refusal_is_answered_in_words(cell: Any) -> None:
    why = "'start' refused: keyswitch is in RUN (local)"
    cell.scan.answer = lambda command: (ReplyCode.INVALID_STATE, why)
    async with cell.client("op") as client:
        assert await call(client, "Start") == [False, why]


async def test_a_user_without_the_role_reaches_no_scan(cell: Any) -> None:
    async with cell.client("planner") as client:
        with pytest.raises(ua.uaerrors.BadUserAccessDenied):
            await call(client, "Start")
    assert cell.scan.received == []


async def test_a_scan_that_does_not_answer_is_told(cell: Any) -> None:
    def away(command: Any) -> Any:
        raise CommandUnavailableError("the scan does not take commands")

    cell.scan.answer = away
    async with cell.client("op") as client:
        with pytest.raises(ua.uaerrors.BadResourceUnavailable):
            await call(client, "Stop")
