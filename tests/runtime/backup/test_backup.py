"""A cell as an archive and back: what is in it, what is refused, what an interruption leaves."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import threading
import time
import warnings
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cellwright.io.image import Image
from cellwright.io.journal.journal import JOURNAL_FILE, JournalReader
from cellwright.io.journal.retain import RetainStore
from cellwright.io.plan import Plan
from cellwright.io.plan import plan as plans
from cellwright.runtime.backup import contents, copies
from cellwright.runtime.backup import take as taking
from cellwright.runtime.backup.archive import SUFFIX, Archive
from cellwright.runtime.backup.manifest import FORMAT, BackupError
from cellwright.runtime.backup.restore import restore
from cellwright.runtime.backup.take import take
from cellwright.runtime.cell.run_folder import RunFolder, folder_for
from cellwright.runtime.config import compile_file
from support.small_cell import COMMAND, SmallCell


@pytest.fixture
def cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallCell:
    """A cell that has run once; its commands and this test look into one run folder."""
    small = SmallCell(tmp_path / "cell", tmp_path / "run")
    monkeypatch.setenv("CELLWRIGHT_RUN", str(small.run))
    return small


@pytest.fixture
def stopped(cell: SmallCell) -> SmallCell:
    """The same with a data folder as a run leaves one, without the run."""
    data = cell.folder / "data"
    pki = data / "pki" / "own"
    pki.mkdir(parents=True)
    (pki / "key.pem").write_text("secret")
    (pki / "key.pem").chmod(0o600)
    (data / "log").mkdir()
    (data / "log" / "scan.jsonl").write_text("{}\n")
    (data / "recordings").mkdir()
    (data / "recordings" / "one.rec").write_bytes(b"x" * 1000)
    with closing(sqlite3.connect(data / "notes.db")) as database:
        database.execute("CREATE TABLE t (x)")
        database.execute("INSERT INTO t VALUES (7)")
        database.commit()
    return cell


def plan_of(cell: SmallCell) -> Plan:
    return compile_file(cell.file)


def names(archive: Path) -> set[str]:
    with Archive(archive) as opened:
        opened.verify()
        return {entry.name for entry in opened.manifest.entries}


# --- what is in it --------------------------------------------------------------------------------


def test_a_running_cell_is_saved_with_what_its_forces_cover(
    cell: SmallCell, tmp_path: Path
) -> None:
    usb = tmp_path / "usb"
    usb.mkdir()
    with cell.running():
        assert cell.type("tags", "set", "clamp_setpoint", "6.5").returncode == 0
        assert cell.type("force", "clamp_setpoint", "1.0").returncode == 0
        said = cell.type("backup", str(usb))
        assert said.returncode == 0, said.stderr
        assert "verified" in said.stdout
        (archive,) = usb.iterdir()
        assert archive.name.startswith("FirstCell-")
        assert stat.S_IMODE(archive.stat().st_mode) == 0o600
        assert cell.type("backup", "--verify", str(archive)).returncode == 0
        sequence = JournalReader(cell.folder / "data" / JOURNAL_FILE)
        with sequence:
            identity = sequence.identity
        refused = cell.type("restore", str(archive), str(cell.folder))
        assert (refused.returncode, "runs in" in refused.stderr) == (1, True), refused.stderr
    place = tmp_path / "other" / "cell"
    said = cell.type("restore", str(archive), str(place))
    assert said.returncode == 0, said.stderr
    kept = RetainStore(place / "data").load()
    assert kept.values["clamp_setpoint"].value == 6.5
    assert kept.notes == ()
    with JournalReader(place / "data" / JOURNAL_FILE) as journal:
        assert journal.identity == identity
        assert journal.last_sequence > 0
    assert (place / "cell.yaml").read_bytes() == cell.file.read_bytes()
    # It waits in STOP until somebody has looked.
    other = SmallCell.__new__(SmallCell)
    other.folder, other.run = place, tmp_path / "other run"
    other.environment = {**cell.environment, "CELLWRIGHT_RUN": str(other.run)}
    supervisor = other.launch()
    try:
        other.until_said(supervisor, "waits in STOP")
        deadline = time.monotonic() + 60
        while (said := other.type("start")).returncode:  # its scan may not beat yet
            assert time.monotonic() < deadline, said.stderr
            time.sleep(0.2)
        assert other.type("tags", "get", "clamp_setpoint").stdout.strip() == "6.5"
    finally:
        supervisor.send_signal(signal.SIGINT)
        supervisor.communicate(timeout=30)


def test_keys_keep_their_modes_and_what_belongs_to_this_pc_stays(
    stopped: SmallCell, tmp_path: Path
) -> None:
    saved = take(plan_of(stopped), tmp_path)
    held = names(saved.path)
    assert {"cell/cell.yaml", "cell/clamp.py", "data/pki/own/key.pem", "data/notes.db"} <= held
    assert not any("log" in name or "recordings" in name or "lock" in name for name in held)
    time.sleep(1.1)  # the name has a second
    assert "data/recordings/one.rec" in names(
        take(plan_of(stopped), tmp_path, recordings=True).path
    )
    place = tmp_path / "restored"
    restore(saved.path, place)
    assert stat.S_IMODE((place / "data/pki/own/key.pem").stat().st_mode) == 0o600
    with closing(sqlite3.connect(place / "data" / "notes.db")) as database:
        assert database.execute("SELECT x FROM t").fetchall() == [(7,)]
    assert compile_file(place / "cell.yaml").layout_hash == plan_of(stopped).layout_hash


def test_what_the_file_names_elsewhere_comes_along_and_is_found_again(
    stopped: SmallCell, tmp_path: Path
) -> None:
    away = tmp_path / "away"
    away.mkdir()
    (away / "users.yaml").write_text("users: {}\n")
    (away / "parts.yaml").write_text("parts: []\n")
    shutil.move(stopped.folder / "data", away / "records")
    with closing(sqlite3.connect(away / "blade #1.db")) as database:
        database.execute("CREATE TABLE t (x)")
        database.commit()
    text = stopped.file.read_text(encoding="utf-8").replace(
        "data: ./data", f"data: {away / 'records'}"
    )
    text += (
        "opcua:  # who may\n  users: ../away/users.yaml  # these\n"
        f"mes: {{database: 'sqlite:///{away}/blade%20%231.db', master_data: {away}/parts.yaml}}\n"
    )
    stopped.file.write_text(text, encoding="utf-8")
    link = stopped.folder / "shared.py"
    link.symlink_to(away / "users.yaml")
    saved = take(plan_of(stopped), tmp_path)
    place = tmp_path / "pc" / "two"
    done = restore(saved.path, place)
    assert len(done.notes) == 4
    shutil.rmtree(away)
    plan = compile_file(place / "cell.yaml")
    assert plan.data == str(place / "data")
    assert plan.database is not None
    assert (place / "data" / "blade #1.db").is_file()
    assert plan.database.startswith("sqlite:///")
    assert Path(str(plan.master_data)).read_text() == "parts: []\n"
    assert plan.opcua is not None
    assert plan.opcua.users_file == str(place / "outside" / "users.yaml")
    assert not (place / "shared.py").is_symlink()
    assert "# these" in (place / "cell.yaml").read_text(encoding="utf-8")


def test_a_database_is_copied_while_others_write_it(tmp_path: Path) -> None:
    source, stop = tmp_path / "busy.db", threading.Event()
    with closing(sqlite3.connect(source)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE pair (a, b)")

    def work() -> None:
        with closing(sqlite3.connect(source)) as database:
            number = 0
            while not stop.is_set():
                number += 1
                with database:
                    database.execute("INSERT INTO pair VALUES (?, NULL)", (number,))
                    database.execute("UPDATE pair SET b = a WHERE a = ?", (number,))

    writer = threading.Thread(target=work)
    writer.start()
    try:
        counts = []
        for n in range(20):
            copies.copy_sqlite(source, tmp_path / f"copy-{n}.db")
            with closing(sqlite3.connect(tmp_path / f"copy-{n}.db")) as copy:
                assert copy.execute("SELECT count(*) FROM pair WHERE b IS NOT a").fetchone() == (0,)
                counts.append(copy.execute("SELECT count(*) FROM pair").fetchone()[0])
    finally:
        stop.set()
        writer.join()
    assert counts == sorted(counts)
    assert not list(tmp_path.glob("copy-*-wal"))


def test_a_journal_that_lost_rows_the_copied_database_has_not_taken_is_copied_again(
    cell: SmallCell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cell.running():
        pass
    looks = iter([1, 50, 50, 50])
    monkeypatch.setattr(copies, "first_sequence", lambda _: next(looks))
    assert "data/journal.db" in names(take(plan_of(cell), tmp_path).path)
    assert list(looks) == []
    endless = iter(range(100))
    monkeypatch.setattr(copies, "first_sequence", lambda _: 10 * next(endless) + 10)
    with pytest.raises(BackupError, match="try again in a few minutes"):
        take(plan_of(cell), tmp_path / "cell")


def test_the_database_comes_before_the_journal_and_the_retained_values_come_last(
    cell: SmallCell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cell.file.open("a", encoding="utf-8") as file:
        file.write('mes: {database: "sqlite:///mes.db"}\n')
    order: list[str] = []
    copy, keep = copies.copy_sqlite, copies.save_retained

    def copied(source: Path, target: Path) -> None:
        order.append(source.name)
        copy(source, target)

    def kept(plan: Plan, image: Image, folder: Path) -> bool:
        order.append("retained")
        return keep(plan, image, folder)

    monkeypatch.setattr(copies, "copy_sqlite", copied)
    monkeypatch.setattr(copies, "save_retained", kept)
    with cell.running():
        deadline = time.monotonic() + 60
        while not (cell.folder / "data" / "mes.db").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        take(plan_of(cell), tmp_path)
    assert order[:3] == ["mes.db", JOURNAL_FILE, "retained"]


def test_retained_values_are_of_a_cycle_that_came_later(cell: SmallCell, tmp_path: Path) -> None:
    with cell.running():
        plan, image = RunFolder(folder_for(plan_of(cell))).attach()
        before = image.scan.cycle
        assert copies.save_retained(plan, image, tmp_path)
        assert image.scan.cycle >= before + copies.CYCLES
        image.close()
    assert RetainStore(tmp_path).load().generation == 1


def test_a_cell_that_was_killed_with_events_in_memory_is_started_first(
    cell: SmallCell, tmp_path: Path
) -> None:
    plan = plan_of(cell)
    (cell.folder / "data").mkdir()
    folder = RunFolder(folder_for(plan))
    folder.path.mkdir(parents=True)
    folder.plan_file.write_bytes(plans.dump(plan))
    image = Image.create(folder.image, plan, "deadbeef")
    image.events["scan"].put(b"an event")
    image.close()
    with pytest.raises(BackupError, match=r"start the cell once .'cellwright run .*cell.yaml'."):
        take(plan, tmp_path)
    assert not list(tmp_path.glob("*.zip"))


# --- what is refused ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of a small cell."""
    place = tmp_path_factory.mktemp("whole")
    small = SmallCell(place / "cell", place / "run")
    (small.folder / "data").mkdir()
    return take(compile_file(small.file), place).path


Item = tuple[zipfile.ZipInfo, bytes]


def rewritten(
    archive: Path, to: Path, change: Callable[[list[Item], dict[str, Any]], None]
) -> Path:
    """The archive with other content; ``change`` gets its files and its manifest."""
    with zipfile.ZipFile(archive) as old:
        items = [(info, old.read(info)) for info in old.infolist()]
    manifest = json.loads(items.pop()[1])
    change(items, manifest)
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as new, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name twice is what some of them want
        for info, data in items:
            new.writestr(info, data)
        new.writestr("manifest.json", json.dumps(manifest))
    return to


def _other_bytes(items: list[Item], manifest: dict[str, Any]) -> None:
    items[0] = (items[0][0], items[0][1].replace(b"FirstCell", b"OtherCell"))


def _more(items: list[Item], manifest: dict[str, Any]) -> None:
    items.append((zipfile.ZipInfo("cell/evil.py"), b"x"))


def _less(items: list[Item], manifest: dict[str, Any]) -> None:
    items.pop()


def _twice(items: list[Item], manifest: dict[str, Any]) -> None:
    items.append(items[0])


def _named(name: str) -> Callable[[list[Item], dict[str, Any]], None]:
    def change(items: list[Item], manifest: dict[str, Any]) -> None:
        info, data = items[0]
        manifest["entries"][0]["name"] = name
        other = zipfile.ZipInfo(name)
        other.external_attr = info.external_attr
        items[0] = (other, data)

    return change


def _link(items: list[Item], manifest: dict[str, Any]) -> None:
    items[0][0].external_attr = (stat.S_IFLNK | 0o777) << 16


def _size(items: list[Item], manifest: dict[str, Any]) -> None:
    manifest["entries"][0]["size"] += 1


def _bomb(items: list[Item], manifest: dict[str, Any]) -> None:
    info = zipfile.ZipInfo("cell/zeros")
    info.compress_type = zipfile.ZIP_DEFLATED
    data = bytes(120 << 20)
    items.append((info, data))
    entry = {"name": "cell/zeros", "size": len(data), "sha256": "0" * 64, "mode": 0o644}
    manifest["entries"].append(entry)


def _field(key: str, value: Any) -> Callable[[list[Item], dict[str, Any]], None]:
    return lambda _, manifest: manifest.update({key: value})


HOSTILE: dict[str, tuple[Callable[[list[Item], dict[str, Any]], None], str]] = {
    "other bytes": (_other_bytes, "is not what was saved"),
    "a file more": (_more, "does not hold the files that its manifest names"),
    "a file less": (_less, "does not hold the files that its manifest names"),
    "a file twice": (_twice, "does not hold the files"),
    "a way up": (_named("cell/../../evil.py"), "would lie outside"),
    "a way up by folders": (_field("folders", {"cell/..": 0o755}), "would lie outside"),
    "an absolute way": (_named("/etc/evil"), "belongs to no part of a cell"),
    "a backslash": (_named("cell/..\\evil"), "would lie outside"),
    "the cell's file elsewhere": (_field("file", "../cell.yaml"), "would lie outside"),
    "the data folder elsewhere": (_field("data", "/tmp/x"), "would lie outside"),
    "a link": (_link, "is a link or a device"),
    "another size": (_size, "has another size than its manifest says"),
    "a bomb": (_bomb, "no archive of a cell does that"),
    "a newer format": (_field("format", FORMAT + 1), "written by Cellwright"),
    "no format": (_field("format", "x"), "is not understood"),
    "nonsense": (_field("entries", 5), "is not understood"),
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_an_archive_that_is_not_what_it_was_is_refused_before_anything_is_written(
    name: str, whole: Path, tmp_path: Path
) -> None:
    change, why = HOSTILE[name]
    bad = rewritten(whole, tmp_path / "bad.zip", change)
    with pytest.raises(BackupError, match=why) as refusal:
        restore(bad, tmp_path / "place")
    assert str(refusal.value).startswith(str(bad))
    assert [path.name for path in tmp_path.iterdir()] == ["bad.zip"]


def test_an_archive_that_is_cut_off_or_damaged_anywhere_is_refused(
    whole: Path, tmp_path: Path
) -> None:
    data, bad = whole.read_bytes(), tmp_path / "bad.zip"
    for length in (0, 1, len(data) // 2, len(data) - 1):
        bad.write_bytes(data[:length])
        with pytest.raises(BackupError):
            restore(bad, tmp_path / "place")
    original = names(whole)
    for place in range(0, len(data), max(1, len(data) // 150)):
        bad.write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
        try:
            assert names(bad) == original  # a date or a comment, which means nothing
        except BackupError:
            continue
    assert [path.name for path in tmp_path.iterdir()] == ["bad.zip"]


def test_only_a_new_or_empty_folder_is_filled(whole: Path, tmp_path: Path) -> None:
    full, empty, file, link = (tmp_path / name for name in ("full", "empty", "file", "link"))
    full.mkdir()
    (full / "mine").write_text("mine")
    empty.mkdir()
    file.write_text("")
    link.symlink_to(empty)
    for place, why in (
        (full, "is not empty .it has mine"),
        (file, "no folder"),
        (link, "no folder"),
    ):
        with pytest.raises(BackupError, match=why):
            restore(whole, place)
    assert (full / "mine").read_text() == "mine"
    restore(whole, empty)
    assert (empty / "cell.yaml").is_file()
    with pytest.raises(BackupError, match="not empty"):
        restore(whole, empty)


def test_a_disk_without_room_is_refused_beforehand(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 8, 1))  # type: ignore[attr-defined]
    with pytest.raises(BackupError, match="make room"):
        restore(whole, tmp_path / "place")
    assert not list(tmp_path.iterdir())


def test_the_commands_say_what_is_missing(cell: SmallCell, whole: Path, tmp_path: Path) -> None:
    for words, code, why in (
        (["backup"], 2, "name the folder to write the archive into"),
        (["backup", "nowhere"], 1, "there is no folder nowhere"),
        (["backup", ".", "--cell", "other"], 1, "give the file or the folder with --cell"),
        (["backup", "--verify", "nothing.zip"], 1, "nothing.zip: No such file"),
        (["backup", "--verify", "cell.yaml"], 1, "is not an archive of Cellwright"),
        (["backup", ".", "--verify", str(whole)], 2, "leave DIR out"),
        (["restore", str(whole), "new", "--keep-database"], 1, "has no PostgreSQL database"),
        (["restore", str(whole), "new", "--database", "x"], 2, "write postgresql://"),
        (["restore", str(whole), "new", "--newer", "."], 1, "there is no journal.db"),
    ):
        said = cell.type(*words)
        assert (said.returncode, why in said.stderr) == (code, True), (words, said.stderr)
    left = {path.name for path in cell.folder.iterdir()} - {"__pycache__"}
    assert left == {"cell.yaml", "clamp.py"}


def test_the_journal_of_another_cell_is_no_newer_one(
    cell: SmallCell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cell.running():
        pass
    saved = take(plan_of(cell), tmp_path)
    former = tmp_path / "former"
    shutil.copytree(cell.folder / "data", former)
    with closing(sqlite3.connect(former / JOURNAL_FILE)) as journal:
        journal.execute("DELETE FROM sqlite_sequence")
        journal.execute("INSERT INTO sqlite_sequence VALUES ('events', 1)")
        journal.commit()
        with pytest.raises(BackupError, match="is older than the archive"):
            restore(saved.path, tmp_path / "new", newer=former)
        journal.execute("UPDATE identity SET id = 'other'")
        journal.commit()
    with pytest.raises(BackupError, match="it is another cell's"):
        restore(saved.path, tmp_path / "new", newer=former)
    assert not (tmp_path / "new").exists()


# --- interruptions --------------------------------------------------------------------------------


def test_a_disk_that_is_full_leaves_no_archive(stopped: SmallCell, tmp_path: Path) -> None:
    (stopped.folder / "noise.bin").write_bytes(os.urandom(3 << 20))
    usb = tmp_path / "usb"
    usb.mkdir()

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))

    done = subprocess.run(
        [*COMMAND, "backup", str(usb)],
        cwd=stopped.folder,
        env=dict(stopped.environment),
        capture_output=True,
        text=True,
        preexec_fn=limit,
        check=False,
    )
    assert done.returncode == 1, done
    assert "no backup was made" in done.stderr
    assert "free space" in done.stderr
    assert list(usb.iterdir()) == []


def test_a_backup_that_is_killed_leaves_no_archive_and_the_next_one_tidies_up(
    stopped: SmallCell, tmp_path: Path
) -> None:
    (stopped.folder / "noise.bin").write_bytes(os.urandom(60 << 20))
    usb = tmp_path / "usb"
    usb.mkdir()
    for number in (signal.SIGINT, signal.SIGKILL):
        process = subprocess.Popen(
            [*COMMAND, "backup", str(usb)],
            # Ignored where the tests run in the background of a script.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
            cwd=stopped.folder,
            env=dict(stopped.environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not any(file.stat().st_size > 1 << 20 for file in usb.glob(".*/archive")):
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(number)
        process.wait(30)
        assert list(usb.glob(f"[!.]*{SUFFIX}")) == []
        assert bool(list(usb.iterdir())) is (number == signal.SIGKILL)
    (stopped.folder / "noise.bin").unlink()
    take(plan_of(stopped), usb)
    assert len(list(usb.iterdir())) == 1


def test_a_file_that_cannot_be_read_is_named(
    stopped: SmallCell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usb = tmp_path / "usb"
    usb.mkdir()

    def refuse(self: Any, path: Path, name: str, mode: int | None = None) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(taking._Work, "_add", refuse)
    with pytest.raises(BackupError, match=r"key\.pem|cell\.yaml"):
        take(plan_of(stopped), usb)
    assert list(usb.iterdir()) == []


def test_a_restore_that_fails_in_the_middle_leaves_nothing(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BackupError, match=r"nothing was restored into .*No space left"):
        restore(whole, tmp_path / "place")
    assert list(tmp_path.iterdir()) == []


def test_a_restore_that_was_killed_is_tidied_up_by_the_next(whole: Path, tmp_path: Path) -> None:
    (tmp_path / ".place.1.restoring").mkdir()
    (tmp_path / ".place.1.restoring" / "half").write_text("x")
    restore(whole, tmp_path / "place")
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


def test_a_cell_that_ran_with_another_data_folder_is_saved_with_that(
    stopped: SmallCell, tmp_path: Path
) -> None:
    """What lies in the configured one is none of it."""
    shutil.copytree(stopped.folder / "data", tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "mine").write_text("mine")
    said = stopped.type("backup", str(tmp_path), "--data", str(tmp_path / "elsewhere"))
    assert said.returncode == 0, said.stderr
    assert "there is no journal in it" in said.stderr
    (archive,) = tmp_path.glob(f"*{SUFFIX}")
    assert not any(name.startswith("cell/data") for name in names(archive))
    restore(archive, tmp_path / "new")
    assert (tmp_path / "new" / "data" / "mine").is_file()
    assert compile_file(tmp_path / "new" / "cell.yaml").data == str(tmp_path / "new" / "data")


def test_a_cell_whose_data_folder_is_its_own_folder_comes_back_so(
    cell: SmallCell, tmp_path: Path
) -> None:
    text = cell.file.read_text(encoding="utf-8").replace("./data", ".")
    cell.file.write_text(text, encoding="utf-8")
    with cell.running():
        saved = take(compile_file(cell.file), tmp_path)
    restore(saved.path, tmp_path / "new")
    present = {path.name for path in (tmp_path / "new").iterdir()}
    assert {"cell.yaml", "clamp.py", "journal.db", "running"} <= present
    assert "log" not in present
    with JournalReader(tmp_path / "new" / JOURNAL_FILE) as journal:
        assert journal.last_sequence > 0


def test_what_a_cell_is_made_of_is_found_by_its_folder(tmp_path: Path) -> None:
    for name in ("a.py", "lua/t.lua", "__pycache__/a.pyc", ".git/x", "venv/pyvenv.cfg", "old.new"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "lua" / "loop").symlink_to(tmp_path)
    (tmp_path / "dead").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe")
    found = {one.name for one in contents.cell_files(tmp_path, frozenset())}
    assert found == {"a.py", "lua", "lua/t.lua"}
