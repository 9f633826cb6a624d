"""The recorder on a recorded bench cell: which causes it sees, how it names and bounds them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cellwright.io.plan import quality
from cellwright.io.recording.listing import KeptRecording, kept_recordings
from cellwright.io.recording.store import Policy, RecordingStore
from cellwright.runtime.recorder.replay import Replay
from cellwright.runtime.recorder.triggers import ConditionError, ImageWatch, asked_for
from support.alarm_bench import HEAD, Quiet, RecordedAlarms

FULL = """
recorder:
  window: 2s
  after: 500ms
  pause: 10s
  triggers:
    tank_full: "level > 90"
    no_air: "not air_ok"
"""
BAD_ON_LOSS = HEAD.replace(
    'input_registers[0]", on_loss: hold', 'input_registers[0]", on_loss: fault'
)
assert BAD_ON_LOSS != HEAD
STOPS = 'alarms: {estop: {when: "not estop_ok", text: Emergency stop, consequence: fault}}\n'


class WatchedCell(RecordedAlarms):
    """Recorded as its configuration says."""

    def new_store(self) -> RecordingStore:
        """A store and a watch, as a recorder process makes them."""
        self.policy = Policy.of(self.plan.recorder)
        self.watched = ImageWatch(self.plan)
        self.watch = self.watched
        return super().new_store()

    def seconds(self, count: float) -> None:
        """Cycles, looked at by the recorder ten times a second."""
        for _ in range(round(count * 10)):
            self.cycle(10)
            self.pump()

    def image_quality(self, name: str) -> int:
        """Status code of a tag in the scan's image."""
        return self.scan.process_image.quality(self.plan.tag(name).index)

    def kept_now(self) -> list[KeptRecording]:
        """The recordings, oldest first."""
        return kept_recordings(self.recordings)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[type[WatchedCell]]:
    """Makes cells in RUN that have been recorded for two seconds."""
    made: list[WatchedCell] = []

    class Made(WatchedCell):
        def __init__(self, section: str, head: str = HEAD) -> None:
            super().__init__(tmp_path / str(len(made)), section, head=head)
            made.append(self)
            self.inputs(level=50, beat_in=0)
            self.run()
            self.seconds(2)

    yield Made  # type: ignore[misc]
    for cell in made:
        cell.close()


def test_a_trigger_that_becomes_true_keeps_a_recording_of_its_name(make) -> None:
    cell = make(FULL)
    cell.inputs(level=95)
    cell.seconds(0.3)
    assert cell.kept_now() == []
    cell.seconds(0.5)
    (kept,) = cell.kept_now()
    assert (kept.name, kept.cause) == ("tank_full", "tank_full: level > 90")
    assert kept.path.name.endswith("-tank_full.cwrec")
    assert kept.size == kept.path.stat().st_size
    with Replay(kept.path, programs=[Quiet]) as replay:
        outcome = replay.run()
    assert outcome.identical
    assert outcome.recorded_ns >= 2.4e9


def test_a_trigger_that_comes_again_within_the_pause_is_kept_once(make) -> None:
    cell = make(FULL)
    for _ in range(4):
        cell.inputs(level=95)
        cell.seconds(0.7)
        cell.inputs(level=50)
        cell.seconds(0.7)
    assert [kept.name for kept in cell.kept_now()] == ["tank_full"]
    cell.seconds(10)
    cell.inputs(level=95)
    cell.seconds(1)
    assert [kept.name for kept in cell.kept_now()] == ["tank_full"] * 2


def test_each_trigger_has_a_pause_of_its_own(make) -> None:
    cell = make(FULL)
    cell.inputs(level=95)
    cell.seconds(1)
    cell.inputs(air_ok=False)
    cell.seconds(1)
    assert {kept.name for kept in cell.kept_now()} == {"tank_full", "no_air"}


def test_triggers_of_one_cycle_share_a_recording_that_names_both(make) -> None:
    cell = make(FULL)
    cell.inputs(level=95, air_ok=False)
    cell.seconds(1)
    (kept,) = cell.kept_now()
    assert kept.cause == "tank_full: level > 90; also no_air: not air_ok"


def test_what_is_true_when_the_recorder_begins_is_no_trigger(make) -> None:
    cell = make('recorder: {after: 0s, triggers: {air: "air_ok"}}')
    cell.seconds(1)
    assert cell.kept_now() == []
    cell.inputs(air_ok=False)
    cell.seconds(0.2)
    cell.inputs(air_ok=True)
    cell.seconds(0.2)
    assert [kept.name for kept in cell.kept_now()] == ["air"]


def test_while_a_value_is_bad_its_trigger_stays_as_it_was(make) -> None:
    section = 'recorder: {after: 100ms, faults: false, triggers: {empty: "level < 10"}}'
    cell = make(section, BAD_ON_LOSS)
    cell.inputs(level=5)
    cell.lose("input_registers")
    cell.seconds(1)
    assert quality.is_bad(cell.image_quality("level"))
    assert cell.kept_now() == []
    cell.lose()
    cell.seconds(1)
    assert [kept.name for kept in cell.kept_now()] == ["empty"]


def test_a_trigger_on_quality_sees_a_lost_device(make) -> None:
    section = 'recorder: {after: 100ms, faults: false, triggers: {blind: "bad(level)"}}'
    cell = make(section, BAD_ON_LOSS)
    cell.lose("input_registers")
    cell.seconds(0.5)
    assert [kept.name for kept in cell.kept_now()] == ["blind"]


def test_an_alarm_s_tag_can_trigger(make) -> None:
    sections = "alarms: {tank: {tag: level, high: 90, text: Full, delay: 200ms}}\n"
    cell = make(f"{sections}recorder: {{after: 0s, triggers: {{alarmed: alarm.tank.active}}}}")
    cell.inputs(level=95)
    cell.seconds(0.1)
    assert cell.kept_now() == []
    cell.seconds(0.4)
    assert [kept.name for kept in cell.kept_now()] == ["alarmed"]


@pytest.mark.parametrize(("wanted", "names"), [("true", ["fault"]), ("false", [])])
def test_faults_are_kept_unless_the_section_says_no(make, wanted: str, names: list[str]) -> None:
    cell = make(f"{STOPS}recorder: {{after: 100ms, faults: {wanted}}}")
    cell.inputs(estop_ok=False)
    cell.seconds(0.5)
    assert [kept.name for kept in cell.kept_now()] == names


@pytest.mark.parametrize(("wanted", "names"), [("true", ["overrun"]), ("false", [])])
def test_skipped_ticks_are_kept_unless_the_section_says_no(
    make, wanted: str, names: list[str]
) -> None:
    cell = make(f"recorder: {{after: 100ms, overruns: {wanted}}}")
    cell.skip(3)
    cell.seconds(0.5)
    assert [kept.name for kept in cell.kept_now()] == names


def test_no_more_recordings_are_kept_than_declared_also_after_a_restart_with_fewer(make) -> None:
    section = "recorder: {after: 0s, pause: 0s, files: 3, triggers: {no_air: not air_ok}}"
    cell = make(section)

    def five_times() -> None:
        for _ in range(5):
            for air_ok in (False, True):
                cell.inputs(air_ok=air_ok)
                cell.seconds(0.1)

    five_times()
    kept = cell.kept_now()
    assert len(kept) == 3
    assert cell.store is not None
    cell.store.close()
    fewer = Policy(kept_files=1)
    newest = max(kept, key=lambda one: one.path.stat().st_mtime_ns)
    cell.store = RecordingStore(cell.recordings, cell.store._header, fewer, ImageWatch(cell.plan))
    assert [one.path for one in cell.kept_now()] == [newest.path]
    assert cell.store.figures.kept_files == 1


def test_conditions_that_somebody_waits_for_are_all_kept_and_only_once(make) -> None:
    cell = make("recorder: {after: 0s, pause: 10s}")
    for text in ("level > 60", "level > 70 and air_ok"):
        cell.watched.add(asked_for(cell.plan, text))
    cell.seconds(0.1)
    for level in (65, 75, 50, 75):
        cell.inputs(level=level)
        cell.seconds(0.2)
    causes = [kept.cause for kept in cell.kept_now()]
    assert sorted(causes) == ["condition level > 60", "condition level > 70 and air_ok"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("levle > 5", "column 1: no tag is called 'levle'"),
        ("level >> 5", "column 8: '>' is not expected here"),
        ("level", "compare it, for example `level > 5`"),
        ("", "the condition ends too early"),
    ],
)
def test_a_condition_that_cannot_be_waited_for_is_refused(make, text: str, words: str) -> None:
    with pytest.raises(ConditionError) as refused:
        asked_for(make("").plan, text)
    assert words in str(refused.value)


def test_a_damaged_recording_is_listed_with_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "kept-20260101T000000-no_air-2.cwrec").write_bytes(b"nothing")
    (tmp_path / "kept-mine.cwrec").write_bytes(b"")
    first, second = kept_recordings(tmp_path)
    assert (first.at, first.name) == ("2026-01-01T00:00:00Z", "no_air")
    assert "is not a recording" in first.cause
    assert (second.at, second.name) == ("", "")
