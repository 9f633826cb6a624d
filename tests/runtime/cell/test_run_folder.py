"""How running cells are found, joined, owned and cleared away."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cellwright.io.image import Image, ImageError
from cellwright.io.messages.scan_start import ScanStart
from cellwright.io.plan import Plan
from cellwright.io.plan import plan as plans
from cellwright.runtime.cell.lock import CellLock, RunError
from cellwright.runtime.cell.run_folder import RunFolder, find, folder_for, known_cells, run_base
from support.forked import process
from support.plans import make_plan, make_tag

BOOT = "0123abcd"


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CELLWRIGHT_RUN", str(tmp_path / "run"))
    return tmp_path / "run"


def running(folder: Path, name: str, *, file: str = "cell.yaml") -> RunFolder:
    """The run folder of a cell as the supervisor makes it."""
    folder.mkdir(parents=True, exist_ok=True)
    plan = make_plan(
        [make_tag("recipe", "INT")],
        cell=name,
        source=str(folder / file),
        folder=str(folder),
        data=str(folder / "data"),
    )
    run = RunFolder(folder_for(plan))
    run.path.mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / "data" / "lock").write_text(f"{os.getpid()}\n")
    run.plan_file.write_bytes(plans.dump(plan))
    Image.create(run.image, plan, BOOT).close()
    return run


# --- finding --------------------------------------------------------------------------------------


def test_the_only_cell_that_runs_needs_no_name(tmp_path: Path) -> None:
    one = running(tmp_path / "one", "One")
    assert find(None, tmp_path) == one
    assert [(folder, plan.cell) for folder, plan in known_cells()] == [(one, "One")]


@pytest.mark.parametrize("selector", ["Two", "two", "two/cell.yaml", "./two/../two"])
def test_a_cell_is_found_by_name_folder_or_file(tmp_path: Path, selector: str) -> None:
    running(tmp_path / "one", "One")
    two = running(tmp_path / "two", "Two")
    assert find(selector, tmp_path) == two
    assert find(str(tmp_path / "two" / "cell.yaml"), Path("/")) == two


def test_the_cell_of_the_present_folder_comes_before_the_others(tmp_path: Path) -> None:
    one = running(tmp_path / "one", "One")
    running(tmp_path / "two", "Two")
    assert find(None, tmp_path / "one") == one


@pytest.mark.parametrize("place", [".", "data", "programs/inner"])
@pytest.mark.parametrize("file", ["cell.yaml", "press.yml"])
def test_a_folder_with_a_cells_file_never_means_another_cell(
    tmp_path: Path, place: str, file: str
) -> None:
    running(tmp_path / "two", "FirstCell")
    stopped = tmp_path / "one"
    (stopped / place).mkdir(parents=True)
    (stopped / file).write_text("# mine\ncell:\n  name: FirstCell\n")
    with pytest.raises(RunError) as caught:
        find(None, stopped / place)
    assert str(caught.value) == (
        f"the cell in this folder ({stopped}) is not running; start it with 'cellwright run "
        f"{stopped}', or name another cell with --cell; running elsewhere: FirstCell "
        f"({tmp_path / 'two' / 'cell.yaml'})"
    )
    one = running(stopped, "FirstCell", file=file) if place != "data" else None
    if one is not None:
        assert find(None, stopped / place) == one


def test_a_yaml_file_without_a_cell_is_no_cells_file(tmp_path: Path) -> None:
    one = running(tmp_path / "one", "One")
    (tmp_path / "users.yaml").write_text("users: {}\n")
    assert find(None, tmp_path) == one


def test_the_present_folder_may_be_reached_by_a_link(tmp_path: Path) -> None:
    one = running(tmp_path / "one", "One")
    running(tmp_path / "two", "Two")
    (tmp_path / "link").symlink_to(tmp_path / "one")
    assert find(None, tmp_path / "link") == one


def test_several_cells_without_a_name_are_listed(tmp_path: Path) -> None:
    running(tmp_path / "one", "One")
    running(tmp_path / "two", "Two")
    with pytest.raises(RunError) as caught:
        find(None, tmp_path)
    text = str(caught.value)
    assert text.startswith("several cells run; name one with --cell: ")
    for name in ("One", "Two"):
        assert f"{name} ({tmp_path / name.lower() / 'cell.yaml'})" in text


def test_two_cells_of_one_name_are_told_apart_by_their_folder(tmp_path: Path) -> None:
    one = running(tmp_path / "one", "Same")
    running(tmp_path / "two", "Same")
    with pytest.raises(RunError, match="several cells run; name one with --cell"):
        find("Same", tmp_path)
    assert find("one", tmp_path) == one


@pytest.mark.parametrize("selector", [None, "Nothing"])
def test_no_cell_at_all_says_how_to_start_one(tmp_path: Path, selector: str | None) -> None:
    with pytest.raises(RunError) as caught:
        find(selector, tmp_path)
    wanted = "no cell is running" if selector is None else "no running cell matches 'Nothing'"
    assert str(caught.value) == (
        f"{wanted}; none is in {run_base()}, this user's folder; "
        "start one with 'cellwright run FOLDER'"
    )


def test_a_name_that_nothing_has_lists_what_runs(tmp_path: Path) -> None:
    running(tmp_path / "one", "One")
    with pytest.raises(RunError, match=r"no running cell matches 'Two'; running: One \("):
        find("Two", tmp_path)


@pytest.mark.parametrize("left", ["a dead owner", "no number", "nothing"])
def test_what_a_killed_supervisor_left_hides_no_running_cell(tmp_path: Path, left: str) -> None:
    running(tmp_path / "one", "One")
    lock = tmp_path / "one" / "data" / "lock"
    alive = running(tmp_path / "two", "Two")
    if left == "a dead owner":
        with process(lambda: None) as child:
            os.waitpid(child, 0)
        lock.write_text(f"{child}\n")
    elif left == "no number":
        lock.write_text("")
    else:
        lock.unlink()
    assert find(None, tmp_path) == alive
    assert find(None, tmp_path / "one") == alive
    with pytest.raises(RunError) as caught:
        find("One", tmp_path)
    assert str(caught.value) == (
        "cell 'One' is not running: its supervisor is gone without an orderly end; "
        f"start it again with 'cellwright run {tmp_path / 'one' / 'cell.yaml'}'"
    )
    with pytest.raises(RunError, match=r"no running cell matches 'Three'; running: Two \([^)]*\);"):
        find("Three", tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x00garbage", msgspec.msgpack.encode({"cell": 1})])
def test_a_plan_that_cannot_be_read_does_not_hide_the_other_cells(
    tmp_path: Path, base: Path, content: bytes
) -> None:
    """It may have been left by another version of the program."""
    one = running(tmp_path / "one", "One")
    (base / "Old-0123").mkdir()
    (base / "Old-0123" / "plan.msgpack").write_bytes(content)
    assert find("One", tmp_path) == one
    assert find(None, tmp_path) == one


def test_a_plan_that_cannot_be_read_is_named_by_whoever_wants_to_join_that_cell(
    tmp_path: Path, base: Path
) -> None:
    (base / "Old-0123").mkdir(parents=True)
    (base / "Old-0123" / "plan.msgpack").write_bytes(b"garbage")
    with pytest.raises(RunError, match="no cell is running"):
        find(None, tmp_path)
    with pytest.raises(RunError, match=r"Old-0123/plan\.msgpack: not a compiled plan"):
        RunFolder(base / "Old-0123").plan()


def test_without_a_setting_the_folders_lie_in_shared_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CELLWRIGHT_RUN")
    assert run_base() == Path(f"/dev/shm/cellwright-{os.getuid()}")


# --- joining --------------------------------------------------------------------------------------


def test_attaching_gives_plan_and_image_of_the_same_layout(tmp_path: Path) -> None:
    run = running(tmp_path / "one", "One")
    plan, image = run.attach()
    assert plan.cell == "One"
    assert image.boot_id == BOOT
    image.close()


def test_a_folder_whose_image_is_gone_says_so(tmp_path: Path) -> None:
    run = running(tmp_path / "one", "One")
    run.image.unlink()
    with pytest.raises(ImageError, match="cannot be opened: No such file or directory"):
        run.attach()


START = ScanStart(
    boot_id=BOOT + "00",
    retained={"recipe": 7, "rate": 0.5, "name": "ä", "list": [1, 2], "on": True},
    open_events=[b"one", b"two"],
    restarted=True,
    notes=["a note"],
)


def test_the_start_file_gives_back_what_was_written(tmp_path: Path) -> None:
    run = running(tmp_path / "one", "One")
    run.write_start(START)
    assert run.read_start() == START


@pytest.mark.parametrize(
    "content",
    [None, b"", b"\xc1", msgspec.msgpack.encode(START)[:-3], msgspec.msgpack.encode([1, 2])],
    ids=["missing", "empty", "damaged", "cut off", "something else"],
)
def test_a_broken_start_file_is_refused_with_its_name_and_a_remedy(
    tmp_path: Path, content: bytes | None
) -> None:
    run = running(tmp_path / "one", "One")
    if content is not None:
        run.start_file.write_bytes(content)
    with pytest.raises(RunError) as caught:
        run.read_start()
    assert str(run.start_file) in str(caught.value)
    assert str(caught.value).endswith("start the cell with 'run'")


def test_removing_leaves_nothing_not_even_what_a_killed_supervisor_left(tmp_path: Path) -> None:
    run = running(tmp_path / "one", "One")
    run.write_start(START)
    for leftover in (".image.x1y2", "plan.msgpack.new"):
        (run.path / leftover).write_bytes(b"half")
    run.remove()
    assert not run.path.exists()
    run.remove()


# --- owning ---------------------------------------------------------------------------------------


def lock_and_wait(data: Path) -> None:
    CellLock(data).acquire()
    (data / "taken").touch()
    os.read(os.pipe()[0], 1)


def until_exists(file: Path) -> None:
    deadline = time.monotonic() + 30
    while not file.exists():
        assert time.monotonic() < deadline, f"{file} did not appear"
        time.sleep(0.002)


def test_a_data_folder_belongs_to_one_supervisor_and_the_refusal_names_it(tmp_path: Path) -> None:
    with process(lambda: lock_and_wait(tmp_path)) as owner:
        until_exists(tmp_path / "taken")
        with pytest.raises(RunError) as caught:
            CellLock(tmp_path).acquire()
        assert str(caught.value) == (
            f"the cell that uses {tmp_path} already runs (pid {owner}); "
            f"stop it first, or give this one another data folder"
        )
    # The owner was killed: the system has given its lock back.
    lock = CellLock(tmp_path)
    lock.acquire()
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    lock.release()


def test_a_released_lock_can_be_taken_again_by_another_process(tmp_path: Path) -> None:
    lock = CellLock(tmp_path)
    lock.acquire()
    lock.release()
    lock.release()
    with process(lambda: CellLock(tmp_path).acquire()) as child:
        assert os.waitpid(child, 0)[1] == 0


def test_a_lock_held_by_somebody_who_wrote_no_number_is_refused_too(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RunError, match=r"already runs \(pid unknown\)"):
            CellLock(tmp_path).acquire()


def test_a_data_folder_that_is_no_folder_is_refused_with_a_remedy(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.touch()
    with pytest.raises(RunError, match=r"Not a directory; give the cell a writable data folder"):
        CellLock(file).acquire()


def test_cells_with_different_data_folders_have_different_run_folders(tmp_path: Path) -> None:
    def plan(name: str, data: str) -> Plan:
        fields: dict[str, Any] = {"cell": name, "data": data}
        return make_plan(**fields)

    assert folder_for(plan("A", "/d/1")) == folder_for(plan("A", "/d/1"))
    assert folder_for(plan("A", "/d/1")) != folder_for(plan("A", "/d/2"))
