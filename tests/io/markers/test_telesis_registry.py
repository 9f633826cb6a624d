"""Finding drivers, markers, cameras and programs by name."""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import get_args

import pytest

from cellwright.io.markers.telesis import Telesis
from cellwright.io.registry import registry
from cellwright.io.registry.registry import Group, RegistryError, load, load_class, names

BUILT_IN = {
    group: {point.name: point.value for point in entry_points(group=f"cellwright.{group}")}
    for group in get_args(Group)
}


def test_a_built_in_marker_is_found_by_its_name() -> None:
    assert load("markers", "telesis") is Telesis
    assert "telesis" in names("markers")


def test_the_built_in_names_are_those_of_the_distribution() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    declared = project["project"]["entry-points"]
    assert {f"cellwright.{group}": table for group, table in BUILT_IN.items()} == declared


def test_an_unknown_name_comes_with_the_nearest_known_one() -> None:
    with pytest.raises(RegistryError, match="did you mean 'telesis'"):
        load("markers", "telesys")
    with pytest.raises(RegistryError, match="known are telesis"):
        load("markers", "zzz")


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("no_colon", "write module:Class"),
        ("not_a_module_of_ours:X", "cannot import"),
        ("cellwright.io.registry.registry:Nothing", "has no class Nothing"),
        ("cellwright.io.registry.registry:load", "has no class load"),
    ],
)
def test_a_target_that_leads_nowhere_says_why(target: str, complaint: str) -> None:
    with pytest.raises(RegistryError, match=complaint):
        load_class(target)


def test_a_third_party_is_found_and_a_clash_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("mine", "cellwright.io.markers.telesis:Telesis", "cellwright.markers"),
        EntryPoint("telesis", "somebody.else:Telesis", "cellwright.markers"),
    ]
    monkeypatch.setattr(
        registry, "entry_points", lambda *, group: [*entry_points(group=group), *points]
    )
    assert load("markers", "mine") is Telesis
    with pytest.raises(RegistryError, match="several distributions"):
        load("markers", "telesis")
