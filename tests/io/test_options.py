"""Options as a file has them: nothing is converted silently, whoever declares them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from cellwright.io.options import Host, Options, from_file, from_plan
from cellwright.io.registry import registry
from cellwright.tasks.api.plant import PlantOptions
from cellwright.tasks.api.program import ProgramOptions


class Mode(StrEnum):
    FAST = "fast"


class ThirdParty(Options):
    """What somebody else's driver may have."""

    count: int = 1
    level: float = 1.0
    on: bool = False
    text: str = ""
    size: tuple[int, int] = (1, 1)
    mode: Mode = Mode.FAST
    file: Path = Path()


@pytest.mark.parametrize("group", ["drivers", "markers", "cameras", "programs"])
def test_every_model_of_options_that_is_installed_is_strict(group: registry.Group) -> None:
    for name in registry.names(group):
        options: type[BaseModel] = registry.load(group, name).Options  # type: ignore[attr-defined]
        assert options.model_config.get("strict"), name
    assert PlantOptions.model_config.get("strict")
    assert ProgramOptions.model_config.get("strict")


@pytest.mark.parametrize(
    "given",
    [
        {"count": True},
        {"count": "1"},
        {"count": 1.0},
        {"level": True},
        {"level": "1.5"},
        {"level": float("inf")},
        {"level": float("nan")},
        {"on": 1},
        {"on": "true"},
        {"text": 5},
        {"text": True},
        {"size": [True, 1]},
        {"size": ["1", 1]},
        {"mode": "slow"},
        {"unknown": 1},
    ],
    ids=str,
)
def test_what_has_another_type_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        from_file(ThirdParty, given)


def test_lists_and_texts_become_what_a_file_cannot_spell() -> None:
    given = {"size": [640, 480], "mode": "fast", "file": "a/b.csv", "level": 2}
    options = from_file(ThirdParty, given)
    assert (options.size, options.mode, options.file) == ((640, 480), Mode.FAST, Path("a/b.csv"))
    assert options.level == 2.0
    assert from_plan(ThirdParty, options.model_dump(mode="json")) == options


class Peer(Options):
    host: Host


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "::1", "fe80::1", "io-rack-1", "io_rack.plant.example.", "gerät", "10gate"],
)
def test_names_and_addresses_are_hosts(host: str) -> None:
    assert Peer(host=host).host == host


@pytest.mark.parametrize(
    ("host", "remedy"),
    [
        ("127.0.0.1:5020", "127.0.0.1 and port: 5020"),
        ("rack:502", "rack and port: 502"),
        ("[::1]:502", "::1 and port: 502"),
        ("tcp://rack:502", "rack and port: 502"),
        ("tcp://rack", "rack"),
        ("10.0.0.256", "neither a name nor an IP address"),
        ("10.0.0", "neither a name nor an IP address"),
        ("::1::2", "neither a name nor an IP address"),
        ("a/b", "neither a name nor an IP address"),
        (" rack", "neither a name nor an IP address"),
        ("", "neither a name nor an IP address"),
    ],
)
def test_what_is_more_than_a_host_or_none_is_refused(host: str, remedy: str) -> None:
    with pytest.raises(ValidationError, match=remedy):
        Peer(host=host)
