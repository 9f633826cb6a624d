"""Serial numbers: patterns, who gets the next one, and never twice."""

from __future__ import annotations

import re
import threading
from contextlib import closing
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from cellwright.io.messages import (
    SerialAssigned,
    SerialGranted,
    SerialRefused,
    SerialRequested,
    encode,
)
from cellwright.mes import audit
from cellwright.mes.definitions import master_data
from cellwright.mes.definitions.serial_pattern import SerialPattern
from cellwright.mes.kernel.errors import MesError
from cellwright.mes.kernel.scope import Scope
from cellwright.mes.kernel.tables import Counter
from cellwright.mes.orders import work_orders
from cellwright.mes.service.catalogue import open_store
from cellwright.mes.shopfloor import parts, serials
from cellwright.mes.shopfloor.serials import Refusal, Reservation
from cellwright.mes.shopfloor.tables import Serial, Unit

LONGEST_COMMAND = 4_080
"""Bytes; that of a cell with short tags (`cellwright.io.image`)."""
PI_DAY = datetime(2026, 3, 14, tzinfo=UTC)


def reserve(store, part_id):
    with store.session() as session:
        return serials.reserve(session, part_id=part_id, station="mark", actor="test")


def pause(store, job_order_id, service=work_orders.pause):
    with store.session() as session:
        service(session, job_order_id, actor="ann", reason="r")


@pytest.mark.parametrize(
    ("text", "serial"),
    [
        ("SN{year:02d}{n:06d}", "SN26000042"),
        ("{year:04d}-{month:02d}-{day:02d}/{n:03d}A", "2026-03-14/042A"),
        ("{{{n:02d}}}", "{42}"),
    ],
)
def test_a_pattern_renders_date_and_number(text, serial):
    assert SerialPattern.parse(text).render(PI_DAY, 42) == serial


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("SN", "has no running number"),
        ("SN{n}", "needs a width"),
        ("SN{n:6d}", "needs a width"),
        ("SN{n:019d}", "needs a width"),
        ("{n:02d}{n:02d}", "two running numbers"),
        ("{year}{n:02d}", "{year} is not known"),
        ("{week:02d}{n:02d}", "{week:02d} is not known"),
        ("{n!r:02d}", "is not known"),
        ("{n:02d", "is not a serial pattern"),
        ("SN\n{n:02d}", "printable ASCII"),
        ("Ä{n:02d}", "printable ASCII"),
    ],
)
def test_a_wrong_pattern_is_refused_with_what_is_wrong(text, complaint):
    with pytest.raises(ValueError, match=re.escape(complaint)):
        SerialPattern.parse(text)


@given(st.text(st.sampled_from("SN{}:02dnyearmothx! -"), max_size=25))
def test_any_text_is_either_a_pattern_that_renders_or_a_clear_refusal(text):
    try:
        pattern = SerialPattern.parse(text)
    except ValueError as error:
        message = str(error)
    else:
        first, last = pattern.render(PI_DAY, 1), pattern.render(PI_DAY, pattern.last)
        assert len(first) == len(last) == pattern.length
        assert first != last
        message = text
    assert text in message


@given(st.integers(1, 6), st.integers(1, 999_999), st.integers(1, 999_999), st.sampled_from("AB-"))
def test_different_numbers_of_a_pattern_are_different_serials(width, first, second, letter):
    pattern = SerialPattern.parse(f"{letter}{{n:0{width}d}}{{year:02d}}")
    first, second = min(first, pattern.last), min(second, pattern.last)
    assert (pattern.render(PI_DAY, first) == pattern.render(PI_DAY, second)) == (first == second)


def test_a_part_gets_the_same_serial_however_often_it_asks(store, run_order, content):
    order = run_order()
    first = reserve(store, "b-1")
    assert first == Reservation(
        part_id="b-1",
        serial="SN26000001",
        order=order.number,
        part_number="TB-4711",
        revision="C",
        fields={"cage": "1A2B3", "heat": ""},
    )
    before = content(store)
    assert reserve(store, "b-1") == first
    assert content(store) == before
    assert reserve(store, "b-2").serial == "SN26000002"


def test_the_parameters_of_an_order_fill_the_fields_that_the_part_names(store, run_order):
    run_order(parameters={"heat": "H-77", "other": "ignored"})
    assert reserve(store, "b-1").fields == {"cage": "1A2B3", "heat": "H-77"}


def test_the_longest_grant_that_the_rules_allow_fits_a_command_of_the_cell(empty_store, cell):
    long = {
        "part_number": "Ä" * 200,
        "revision": "Ö" * 200,
        "serial_pattern": "x" * 34 + "{n:06d}",
        "fields": {"heat": ""},
        "routing": [{"sequence": 10, "name": "Mark", "kind": "mark"}],
    }
    parameters = {"heat": "x" * 1_996}
    with empty_store.session() as session:
        data = master_data.MasterData.model_validate({"parts": [long]})
        master_data.apply(session, data, "test")
        job = work_orders.JobOrder("LONG", "Ä" * 200, None, 1, parameters=parameters)
        work_orders.store_and_start(session, job, actor="erp", reason="")
    (command,) = cell.event(SerialRequested, "p" * 40)
    assert isinstance(command.body, SerialGranted)
    assert len(command.body.serial) == 40
    assert len(encode(command)) <= LONGEST_COMMAND


def test_an_order_whose_fields_reach_no_station_is_refused(store, content):
    before = content(store)
    job = work_orders.JobOrder("LONG", "TB-4711", None, 1, parameters={"heat": "x" * 2_000})
    with pytest.raises(MesError, match="at most 2000 reach a station"), store.session() as session:
        work_orders.store(session, job, actor="erp", reason="")
    assert content(store) == before


def test_the_running_order_of_highest_priority_is_served_first_then_the_oldest(
    store, clock, run_order
):
    run_order("LOW", quantity=1, priority=1)
    clock.advance(1)
    old = run_order("OLD", quantity=1, priority=5)
    clock.advance(1)
    new = run_order("NEW", quantity=1, priority=5)
    given = [reserve(store, f"b-{n}").order for n in range(2)]
    assert given == [old.number, new.number]


def test_without_a_running_order_the_refusal_says_what_to_do(store, run_order):
    refusal = reserve(store, "b-1")
    assert refusal == Refusal("b-1", "no work order is running; start one")
    order = run_order()
    pause(store, "JOB-1")
    assert reserve(store, "b-1").reason == (
        f"no work order is running, {order.number} is interrupted; resume it"
    )
    pause(store, "JOB-1", work_orders.resume)
    assert isinstance(reserve(store, "b-1"), Reservation)


def test_a_refusal_fits_a_command_of_the_cell_however_many_orders_it_speaks_of(
    store, cell, run_order
):
    for number in range(70):
        run_order(f"FULL-{number}", quantity=1)
        assert isinstance(reserve(store, f"b-{number}"), Reservation)
    (command,) = cell.event(SerialRequested, "b-70")
    assert isinstance(command.body, SerialRefused)
    assert "has all of its 1 parts; start another" in command.body.reason
    assert len(encode(command)) <= LONGEST_COMMAND
    assert cell.request("b-70") == command.body


def test_an_order_whose_quantity_is_covered_gives_no_further_serial(store, run_order):
    order = run_order(quantity=2)
    reserve(store, "b-1")
    reserve(store, "b-2")
    assert reserve(store, "b-3").reason == (
        f"work order {order.number} has all of its 2 parts; start another"
    )


def test_an_order_that_counts_attempts_does_not_replace_a_rejected_part(store, cell, run_order):
    run_order(quantity=2)
    cell.make("b-1", verdict="rejected")
    assert isinstance(cell.request("b-2"), SerialGranted)
    assert isinstance(cell.request("b-3"), SerialRefused)


def test_an_order_that_counts_good_parts_replaces_only_rejected_ones(store, cell, run_order):
    run_order(quantity=2, parameters={"quantity_counts": "good"})
    first, second = cell.request("b-1"), cell.request("b-2")
    assert isinstance(cell.request("b-3"), SerialRefused)
    cell.mark(first)
    cell.release("b-1", first.serial, "rejected")
    third = cell.request("b-3")
    assert isinstance(third, SerialGranted)
    assert isinstance(cell.request("b-4"), SerialRefused)
    assert len({first.serial, second.serial, third.serial}) == 3


def test_a_serial_of_an_order_that_was_interrupted_is_not_confirmed_until_it_runs_again(
    store, run_order
):
    run_order()
    granted = reserve(store, "b-1")
    pause(store, "JOB-1")
    assert "is HELD" in reserve(store, "b-1").reason
    pause(store, "JOB-1", work_orders.resume)
    assert reserve(store, "b-1") == granted


def test_a_part_whose_marking_was_authorised_is_told_that_its_serial_is_spent(cell, run_order):
    run_order()
    granted = cell.request("b-1")
    cell.mark(granted)
    refused = cell.request("b-1")
    assert isinstance(refused, SerialRefused)
    assert f"serial {granted.serial} of this part is spent" in refused.reason


def test_a_rejected_part_keeps_its_serial_and_nobody_else_gets_it(store, cell, run_order):
    run_order(quantity=3)
    granted = cell.request("b-1")
    cell.event(
        SerialAssigned,
        "b-1",
        serial=granted.serial,
        order=granted.order,
        part_number=granted.part_number,
    )
    cell.release("b-1", granted.serial, "rejected", "scan restarted")
    others = [cell.request(f"b-{n}").serial for n in (2, 3)]
    assert granted.serial not in others
    with store.reading() as session:
        unit = parts.units(session)[0]
    assert (unit.serial, unit.verdict, unit.reason) == (
        granted.serial,
        "rejected",
        "scan restarted",
    )
    refused = cell.request("b-1")
    assert "released already as rejected" in refused.reason


def test_a_new_year_begins_at_one_again(store, clock, run_order):
    run_order(quantity=3)
    assert reserve(store, "b-1").serial == "SN26000001"
    clock.advance(366 * 86_400)
    assert reserve(store, "b-2").serial == "SN27000001"


def test_serials_are_unique_across_parts_whose_patterns_meet(store, run_order):
    meeting = [
        {
            "part_number": name,
            "serial_pattern": pattern,
            "routing": [{"sequence": 10, "name": "Mark", "kind": "mark"}],
        }
        for name, pattern in (("P1", "A1{n:02d}"), ("P2", "A{n:03d}"))
    ]
    with store.session() as session:
        master_data.apply(
            session, master_data.MasterData.model_validate({"parts": meeting}), "planner"
        )
        session.add(Counter(name=SerialPattern.parse("A{n:03d}").counter(PI_DAY), value=100))
    run_order("ONE", quantity=2, part_number="P1", priority=1)
    run_order("TWO", quantity=2, part_number="P2")
    given = [reserve(store, f"b-{n}").serial for n in range(4)]
    assert given == ["A101", "A102", "A103", "A104"]


def test_a_pattern_that_is_used_up_is_refused_with_its_remedy(store, run_order):
    tiny = {
        "part_number": "TINY",
        "serial_pattern": "T{n:01d}",
        "routing": [{"sequence": 10, "name": "Mark", "kind": "mark"}],
    }
    with store.session() as session:
        master_data.apply(
            session, master_data.MasterData.model_validate({"parts": [tiny]}), "planner"
        )
    run_order("TINY", quantity=20, part_number="TINY")
    given = [reserve(store, f"b-{n}") for n in range(10)]
    assert [answer.serial for answer in given[:9]] == [f"T{n}" for n in range(1, 10)]
    assert "is used up; give the part a wider number" in given[9].reason


def test_the_database_itself_refuses_a_serial_twice(store, run_order):
    run_order()
    taken = reserve(store, "b-1").serial

    def duplicate() -> None:
        with store.session() as session:
            unit = parts.find_or_add(session, "b-2", PI_DAY)
            row = session.scalars(select(Serial)).one()
            session.add(
                Serial(
                    serial=taken,
                    unit=unit,
                    station="mark",
                    state=row.state,
                    reserved_utc=PI_DAY,
                )
            )

    with pytest.raises(IntegrityError):
        duplicate()


def test_concurrent_sessions_never_share_a_serial_nor_exceed_the_quantity(
    store, database_url, run_order
):
    run_order("A", quantity=15)
    run_order("B", quantity=15)
    answers: list[Reservation | Refusal] = []
    failures: list[BaseException] = []
    stores = [open_store(database_url) for _ in range(3)]

    def ask(number: int) -> None:
        try:
            for n in range(12):
                # Every second part is asked for by two threads at once.
                part = f"b-{n}" if n % 2 else f"b-{number}-{n}"
                answers.append(reserve(stores[number % 3], part))
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    for opened in stores:
        opened.close()
    assert failures == []
    granted = {
        (answer.part_id, answer.serial) for answer in answers if isinstance(answer, Reservation)
    }
    assert len(granted) == 30
    assert len({serial for _, serial in granted}) == 30
    assert len({part for part, _ in granted}) == 30
    assert len(answers) == 48
    with store.reading() as session:
        assert len(session.scalars(select(Serial)).all()) == 30
        assert len(session.scalars(select(Unit)).all()) == 30


def skip(store, wanted="TB-4711", scope=None, **how):
    with store.session(scope) as session:
        return serials.skip(session, wanted, **{"actor": "ann", "reason": "restored"} | how)


def test_skipped_numbers_never_come_and_it_is_in_the_audit(store, run_order):
    run_order()
    assert reserve(store, "b-1").serial == "SN26000001"
    done = skip(store, to=41)
    assert (done.former, done.last, done.next_serial) == (1, 41, "SN26000042")
    assert reserve(store, "b-1").serial == "SN26000001", "what was given stays"
    assert reserve(store, "b-2").serial == "SN26000042"
    done = skip(store, "SN{year:02d}{n:06d}", by=7)
    assert (done.former, done.last, done.next_serial) == (42, 49, "SN26000050")
    assert reserve(store, "b-3").serial == "SN26000050"
    with store.reading() as session:
        records = audit.trail(session, entity_type="serial_counter", entity_id="SN26#6")
        assert [(r.actor, r.action, r.reason) for r in records] == [
            ("ann", "serial.skip", "restored")
        ] * 2
        assert (records[0].old, records[0].new) == (
            '{"last":1}',
            '{"last":41,"next":"SN26000042","pattern":"SN{year:02d}{n:06d}"}',
        )
        assert audit.verify(session).ok


def test_numbers_are_skipped_before_the_first_serial_and_up_to_the_last(store, run_order):
    assert skip(store, "TB-0000", to=9_998).next_serial == "X9999"
    assert skip(store, "TB-0000", by=1).next_serial == ""
    run_order(job_order_id="P", part_number="TB-PREP")
    assert skip(store, "TB-PREP", by=3).next_serial == "P0004"


@pytest.mark.parametrize(
    ("wanted", "how", "refused"),
    [
        ("TB-4711", {"to": 5}, ("invalid_state", "stands at 5 and never moves back")),
        ("TB-4711", {"to": 4}, ("invalid_state", "stands at 5 and never moves back")),
        ("TB-4711", {"to": -1}, ("invalid_state", "never moves back")),
        ("TB-4711", {"by": 0}, ("invalid_request", "not forward")),
        ("TB-4711", {"by": -3}, ("invalid_request", "not forward")),
        ("TB-4711", {"to": 1_000_000}, ("invalid_request", "ends at 999999")),
        ("TB-4711", {"by": 10**30}, ("invalid_request", "ends at 999999")),
        ("TB-4711", {}, ("invalid_request", "either")),
        ("TB-4711", {"to": 9, "by": 4}, ("invalid_request", "either")),
        ("TB-4711", {"to": 9, "reason": " "}, ("invalid_request", "give a reason")),
        ("TB-4711", {"to": 9, "reason": "\0"}, ("invalid_request", "give a reason")),
        ("TB-9999", {"to": 9}, ("unknown_entity", "patterns in use are .*X")),
        ("SN{year:02d}{n:05d}", {"to": 9}, ("unknown_entity", "neither a part .* nor a pattern")),
        ("", {"to": 9}, ("unknown_entity", "neither")),
        ("\ud800", {"to": 9}, ("invalid_request", "valid text")),
    ],
)
def test_what_moves_no_counter_forward_is_refused(store, run_order, wanted, how, refused):
    run_order()
    skip(store, to=5)
    with pytest.raises(MesError, match=refused[1]) as refusal:
        skip(store, wanted, **how)
    assert refusal.value.code == refused[0]
    assert reserve(store, "b-1").serial == "SN26000006"
    with store.reading() as session:
        assert len(audit.trail(session, entity_type="serial_counter")) == 1
        assert session.get(Counter, (1, "serial/X#4")) is None


def test_a_part_whose_open_orders_have_another_pattern_is_not_guessed(store, run_order):
    run_order()
    changed = {"part_number": "TB-4711", "revision": "C", "serial_pattern": "N{n:04d}"}
    with store.session() as session:
        master_data.apply(
            session, master_data.MasterData.model_validate({"parts": [changed]}), "planner"
        )
    with pytest.raises(MesError, match=r"several patterns.*N\{n:04d\}, SN.*name the pattern"):
        skip(store, to=9)
    assert skip(store, "SN{year:02d}{n:06d}", to=9).next_serial == "SN26000010"
    assert reserve(store, "b-1").serial == "SN26000010"


def test_a_skip_and_requests_at_once_share_no_number(store, database_url, run_order):
    run_order(quantity=60)
    granted: list[str] = []
    moved: list[tuple[int, int]] = []
    other = open_store(database_url, utc_ns=store._utc_ns)

    def ask() -> None:
        granted.extend(reserve(store, f"b-{n}").serial for n in range(30))

    def move() -> None:
        for _ in range(10):
            done = skip(other, by=5)
            moved.append((done.former, done.last))

    threads = [threading.Thread(target=ask), threading.Thread(target=move)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    other.close()
    numbers = [int(serial[4:]) for serial in granted]
    assert len(set(numbers)) == 30
    assert len(moved) == 10
    assert not [n for n in numbers for former, last in moved if former < n <= last]
    assert max(*numbers, moved[-1][1]) == 30 + 50


def test_another_tenants_counter_stays_where_it_is(empty_url, clock):
    part = {
        "part_number": "TB-4711",
        "serial_pattern": "SN{year:02d}{n:06d}",
        "routing": [{"sequence": 10, "name": "Mark", "kind": "mark", "station": "mark"}],
    }
    opened, second = open_store(empty_url, utc_ns=clock), Scope(2, 2)

    def define(scope):
        with opened.session(scope) as session:
            master_data.apply(
                session, master_data.MasterData.model_validate({"parts": [part]}), "planner"
            )

    with closing(opened):
        define(None)
        with pytest.raises(MesError, match="patterns in use are none"):
            skip(opened, scope=second, to=70)
        define(second)
        done = skip(opened, scope=second, to=70)
        assert (done.former, done.next_serial) == (0, "SN26000071")
        assert skip(opened, by=1).next_serial == "SN26000002"
