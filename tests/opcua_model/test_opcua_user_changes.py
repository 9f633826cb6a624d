"""Users that are changed while the server runs: sessions, audit, and a file that is broken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import argon2
import pytest
from asyncua import ua

from cellwright.io.messages import UsersChanged, decode_event
from cellwright.opcua_model.security.users import add_user, remove_user

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
WRITTEN = ua.NodeId("BladeMarking.IO.Memory.recipe", 4)


def users_file(cell: Any) -> Path:
    return Path(cell.server._plan.folder) / "users.yaml"


def sessions(cell: Any) -> set[str | None]:
    return {session.user.name for session in cell.server._internal.sessions}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


def told(cell: Any) -> list[UsersChanged]:
    ring = cell.image.image.events["gateway"]
    events = [decode_event(data) for _, data in ring.peek()]
    return [event for event in events if isinstance(event, UsersChanged)]


async def test_a_removed_user_is_out_and_a_new_one_comes_in_without_a_restart(
    make_cell: Any,
) -> None:
    async with make_cell() as cell:
        file = users_file(cell)
        async with cell.client("planner") as kept, cell.client("op") as gone:
            assert sessions(cell) == {"planner", "op"}
            remove_user(file, "op")
            await until(lambda: sessions(cell) == {"planner"})
            with pytest.raises((ua.UaError, ConnectionError)):
                await gone.get_node(ua.ObjectIds.Server_ServerStatus_State).read_value()
            await kept.get_node(ua.ObjectIds.Server_ServerStatus_State).read_value()
        with pytest.raises(ua.UaError):
            async with cell.client("op"):
                pass
        add_user(file, "dora", "a new password", ["Planner"], hasher=CHEAP)
        async with cell.client("dora", "a new password"):
            pass
        removed, added = told(cell)
        assert (removed.removed, removed.added, removed.source) == (["op"], [], str(file))
        assert added.added == ["dora: Planner"]
        assert "argon2" not in repr((removed, added))


async def test_other_roles_count_at_once_and_a_new_password_ends_the_old_sessions(
    make_cell: Any,
) -> None:
    async with make_cell() as cell:
        file = users_file(cell)
        text = file.read_text()
        async with cell.client("super"):
            (session,) = cell.server._internal.sessions
            assert session.caller.user.roles == {"Supervisor"}
            file.write_text(text.replace("Supervisor", "Planner"))
            await until(lambda: session.caller.user.roles == {"Planner"})
            assert told(cell)[-1].roles == ["super: Planner"]
            add_user(file, "super", "another password", ["Planner"], hasher=CHEAP)
            await until(lambda: not sessions(cell))
            assert told(cell)[-1].passwords == ["super"]


async def test_a_broken_file_is_told_once_changes_nothing_and_is_read_when_it_is_mended(
    make_cell: Any,
) -> None:
    async with make_cell() as cell:
        file, gateway = users_file(cell), cell.image.image.gateway
        text = file.read_text()
        file.write_text("users: [")
        await until(lambda: "is not YAML" in gateway.users_error)
        async with cell.client("op"):
            assert sessions(cell) == {"op"}
        file.unlink()
        await until(lambda: "is gone" in gateway.users_error)
        async with cell.client("op"):
            pass
        file.write_text(text)
        await until(lambda: not gateway.users_error)
        assert told(cell) == []
