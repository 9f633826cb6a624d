"""Serial numbers: patterns, who gets the next one, and never twice."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cellwright.io.messages import (
    SerialAssigned,
    SerialGranted,
    SerialRefused,
    SerialRequested,
    encode,
)
from cellwright.mes import audit, master_data, parts, serials, work_orders
from cellwright.mes.errors import MesError
from cellwright.mes.models import Counter, Serial, Unit
from cellwright.mes.serial_pattern import SerialPattern
from cellwright.mes.serials import Refusal, Reservation
from cellwright.mes.store import Store

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
    stores = [Store.open(database_url) for _ in range(3)]

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


def test_row_locks_alone_keep_allocation_safe_on_postgresql(postgresql):
    """Sessions that did not come from `Store.session` take no turns; the rows do."""
    url = postgresql.create()
    store = Store.open(url)
    with store.session() as session:
        one = {
            "part_number": "P",
            "serial_pattern": "P{n:03d}",
            "routing": [{"sequence": 10, "name": "Mark", "kind": "mark"}],
        }
        master_data.apply(
            session, master_data.MasterData.model_validate({"parts": [one]}), "planner"
        )
        work_orders.store_and_start(
            session, work_orders.JobOrder("J", "P", None, 25), actor="erp", reason=""
        )
    answers: list[Reservation | Refusal] = []
    failures: list[BaseException] = []

    def ask(number: int) -> None:
        try:
            for n in range(10):
                with Session(store._engine) as session, session.begin():
                    answers.append(
                        serials.reserve(
                            session, part_id=f"b-{number}-{n}", station="mark", actor="test"
                        )
                    )
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    with store.reading() as session:
        assert audit.verify(session).ok
    store.close()
    assert failures == []
    granted = [answer.serial for answer in answers if isinstance(answer, Reservation)]
    assert sorted(granted) == [f"P{n:03d}" for n in range(1, 26)]
    assert len(answers) == 40
