"""The standard's nodes come from a file that only this user can have written, or are made anew."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from asyncua.server.address_space import AddressSpace, NodeData

from cellwright.opcua_model.address_space import standard_cache


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file as the first start leaves it."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        standard_cache.fill(AddressSpace())
    return folder


@pytest.fixture
def file(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it that a test may spoil."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (kept,) = (made / "cellwright").iterdir()
    found = standard_cache.cache_file()
    assert found is not None
    found.parent.mkdir(mode=0o700)
    found.write_bytes(kept.read_bytes())
    found.chmod(0o600)
    return found


def test_loaded_nodes_are_those_that_the_library_makes(file: Path) -> None:
    from asyncua.server.address_space import NodeManagementService  # noqa: PLC0415
    from asyncua.server.standard_address_space import (  # noqa: PLC0415
        standard_address_space,
    )

    loaded, made = AddressSpace(), AddressSpace()
    standard_cache.fill(loaded)
    standard_address_space.fill_address_space(NodeManagementService(made))
    assert list(loaded._nodes) == list(made._nodes)
    for node_id, node in made._nodes.items():
        other = loaded._nodes[node_id]
        assert other.references == node.references
        assert list(other.attributes) == list(node.attributes)
        for attribute, held in node.attributes.items():
            assert other.attributes[attribute].value == held.value, (node_id, attribute)


def spoil(file: Path, how: str) -> None:
    content = file.read_bytes()
    match how:
        case "cut":
            file.write_bytes(content[:-1000])
        case "flipped":
            file.write_bytes(content[:5000] + bytes([content[5000] ^ 1]) + content[5001:])
        case "empty":
            file.write_bytes(b"")
        case "other":
            other = pickle.dumps(["no nodes"])
            file.write_bytes(b"\0" * 32 + other)
        case "group":
            file.chmod(0o660)
        case "everybody":
            file.chmod(0o602)


@pytest.mark.parametrize("how", ["cut", "flipped", "empty", "other", "group", "everybody"])
def test_a_file_that_is_not_to_be_trusted_is_made_anew(tmp_path: Path, how: str) -> None:
    file, nodes = tmp_path / "nodes.pickle", {number: NodeData(number) for number in range(1000)}
    standard_cache._save(file, nodes)
    assert standard_cache._load(file) is not None
    spoil(file, how)
    assert standard_cache._load(file) is None
    standard_cache._save(file, nodes)
    assert standard_cache._load(file) is not None
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_cannot_be_written_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    standard_cache._save(tmp_path / "file" / "below" / "x.pickle", {})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_start_with_the_file_does_not_load_the_library_s_listing(file: Path) -> None:
    script = (
        "import sys; from asyncua.server.address_space import AddressSpace\n"
        "from cellwright.opcua_model.address_space import standard_cache\n"
        "standard_cache.fill(space := AddressSpace())\n"
        "print(len(space._nodes), any('standard_address_space_' in name for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True,
                          check=True,
                          env={**os.environ, "XDG_CACHE_HOME": str(file.parents[1])})  # fmt: skip
    nodes, listed = done.stdout.split()
    assert int(nodes) > 6000
    assert listed == "False"
