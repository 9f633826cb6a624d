"""Master data files: what they may say, how complaints read, and that applying is idempotent."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from cellwright.mes import audit
from cellwright.mes.audit.chain import AuditRecord
from cellwright.mes.definitions import master_data
from cellwright.mes.definitions.tables import PartDefinition, Routing
from cellwright.mes.kernel.errors import MasterDataError, MesError
from cellwright.mes.orders import operations, work_orders
from cellwright.mes.orders.tables import WorkOrder
from cellwright.mes.shopfloor import serials

GOOD = """\
# Blades of stage 1
parts:
  - part_number: "TB-4711"
    revision: C
    description: Turbine blade
    serial_pattern: "SN{year:02d}{n:06d}"
    fields: {cage: "1A2B3", heat: ""}
    routing:
      - {sequence: 10, name: Mark, kind: mark, station: mark}
      - {sequence: 20, name: Inspect, kind: inspect, station: inspect}
      - {sequence: 30, name: Pack, kind: manual, sequential: true}
"""


@pytest.fixture
def load(tmp_path):
    def write_and_load(text):
        path = tmp_path / "parts.yaml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return master_data.load_file(path)

    return write_and_load


def problems(load, text):
    with pytest.raises(MasterDataError) as caught:
        load(text)
    assert caught.value.code == "invalid_master_data"
    assert caught.value.message == "\n".join(caught.value.problems)
    return [problem.rpartition("parts.yaml:")[2] for problem in caught.value.problems]


def put(store, data, actor="planner"):
    with store.session() as session:
        return master_data.apply(session, data, actor)


def audited(store):
    with store.reading() as session:
        return session.scalars(select(AuditRecord).order_by(AuditRecord.sequence)).all()


def test_a_file_is_read_as_written(load):
    (part,) = load(GOOD).parts
    assert (part.part_number, part.revision, part.fields["cage"]) == ("TB-4711", "C", "1A2B3")
    assert [(step.sequence, step.kind, step.sequential) for step in part.routing] == [
        (10, "mark", False),
        (20, "inspect", False),
        (30, "manual", True),
    ]


def test_applying_the_same_file_again_changes_nothing(empty_store, load, content):
    data = load(GOOD)
    assert put(empty_store, data).created == ("TB-4711/C",)
    before = content(empty_store)
    again = put(empty_store, data)
    assert (again.created, again.changed, again.unchanged) == ((), (), ("TB-4711/C",))
    assert content(empty_store) == before


def test_changed_content_makes_a_new_version_and_a_new_audit_record(empty_store, load):
    put(empty_store, load(GOOD))
    assert put(empty_store, load(GOOD.replace("1A2B3", "9Z9Z9"))).changed == ("TB-4711/C",)
    first, second = audited(empty_store)
    assert (first.action, first.entity_version) == ("part_definition.create", 1)
    assert (second.action, second.entity_version) == ("part_definition.change", 2)
    assert (first.actor, first.entity_id) == ("planner", "TB-4711/C")
    assert '"cage":"1A2B3"' in second.old
    assert '"cage":"9Z9Z9"' in second.new
    assert second.old == first.new
    with empty_store.reading() as session:
        assert audit.verify(session).ok


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Turbine blade", "Another blade"),
        ("{n:06d}", "{n:07d}"),
        ("name: Mark", "name: Peen"),
        ("kind: inspect, station: inspect", "kind: inspect, station: inspect, required: false"),
        ("sequential: true", "sequential: false"),
        ("      - {sequence: 30, name: Pack, kind: manual, sequential: true}\n", ""),
    ],
)
def test_every_part_of_the_content_counts_as_a_change(empty_store, load, old, new):
    put(empty_store, load(GOOD))
    data = load(GOOD.replace(old, new))
    assert put(empty_store, data).changed == ("TB-4711/C",)
    assert put(empty_store, data).unchanged == ("TB-4711/C",)


def test_content_that_an_earlier_version_took_is_replaced_not_stumbled_over(empty_store, load):
    text = "parts:\n- {part_number: A, serial_pattern: 'A{n:02d}'}\n"
    with empty_store.session() as session:
        master_data.apply(session, load(text), "test")
        known = session.scalars(select(PartDefinition)).one()
        known.serial_pattern, known.fields = "x" * 50 + "{n:06d}", {"f": "x" * 5_000}
    with empty_store.session() as session:
        assert master_data.apply(session, load(text), "test").changed == ("A/",)


def test_a_new_revision_stands_beside_the_old_one(empty_store, load):
    put(empty_store, load(GOOD))
    put(empty_store, load(GOOD.replace("revision: C", "revision: D")))
    with empty_store.reading() as session:
        assert session.scalars(select(PartDefinition.revision)).all() == ["C", "D"]
    ambiguous = work_orders.JobOrder("J", "TB-4711", None, 1)
    with (
        pytest.raises(MesError, match="revisions 'C', 'D'; name one"),
        empty_store.session() as session,
    ):
        work_orders.store(session, ambiguous, actor="erp", reason="")
    with empty_store.session() as session:
        exact = work_orders.JobOrder("J", "TB-4711", "D", 1)
        assert work_orders.store(session, exact, actor="erp", reason="").revision == "D"


def test_an_order_keeps_what_it_was_stored_with(empty_store, load):
    put(empty_store, load(GOOD))
    with empty_store.session() as session:
        job = work_orders.JobOrder("J", "TB-4711", None, 2)
        work_orders.store_and_start(session, job, actor="erp", reason="")
    changed = GOOD.replace("name: Mark", "name: Peen").replace("SN{", "XX{")
    put(empty_store, load(changed.replace("1A2B3", "9Z9Z9")))
    with empty_store.session() as session:
        assert operations.operations(session, "J")[0].name == "Mark"
        granted = serials.reserve(session, part_id="b-1", station="mark", actor="test")
        assert isinstance(granted, serials.Reservation)
        assert (granted.serial[:2], granted.fields["cage"]) == ("SN", "1A2B3")
        first, second = session.scalars(select(Routing).order_by(Routing.revision))
        assert [step.name for step in first.operations] == ["Mark", "Inspect", "Pack"]
        assert [step.name for step in second.operations] == ["Peen", "Inspect", "Pack"]
        order = session.scalars(select(WorkOrder)).one()
        assert order.routing is first


def test_a_routing_can_be_taken_away(empty_store, load):
    put(empty_store, load(GOOD))
    put(empty_store, load(GOOD.partition("    routing:")[0]))
    with empty_store.reading() as session:
        part = session.scalars(select(PartDefinition)).one()
        assert part.routing.operations == []
        assert part.routing.revision == 2


def test_all_complaints_of_a_file_come_at_once_with_their_places(load):
    found = problems(
        load,
        """\
        parts:
          - part_number: 4711
            serial_pattern: "SN{n}"
            colour: red
          - part_number: X
            fields: {cage: 12}
            routing:
              - {sequence: 0, name: Mark, kind: etch}
        """,
    )
    assert [problem.split(": ")[0:2] for problem in found] == [
        ["2:5", "parts.0.part_number"],
        ["3:5", "parts.0.serial_pattern"],
        ["4:5", "parts.0.colour"],
        ["5:5", "parts.1.serial_pattern"],
        ["6:14", "parts.1.fields.cage"],
        ["8:10", "parts.1.routing.0.sequence"],
        ["8:35", "parts.1.routing.0.kind"],
    ]
    text = "\n".join(found)
    assert "put the value in quotes" in text
    assert "the running number needs a width" in text
    assert "remove it or correct its spelling" in text
    assert "add it" in text


@pytest.mark.parametrize(
    ("text", "place", "complaint"),
    [
        ("", "1:1", "file"),
        ("[]", "1:1", "file"),
        ("parts: [", "1:9", "not valid YAML"),
        ("parts:\n  - a: 1\n    a: 2\n", "3:5", "duplicate key"),
        ("parts:\n\t- x", "2:1", "not valid YAML"),
        ("parts: 7", "1:1", "parts"),
        ("a: &x 1\nparts: *y", "2:8", "not valid YAML"),
        ("\x01", "1:1", "not valid YAML"),
        (
            "parts:\n- {part_number: A, serial_pattern: 'A{n:02d}'}\n" * 1
            + "- {part_number: A, serial_pattern: 'B{n:02d}'}\n",
            "1:1",
            "defined twice",
        ),
        (
            "parts:\n- part_number: A\n  serial_pattern: 'A{n:02d}'\n  routing:\n"
            "  - {sequence: 20, name: B, kind: mark}\n  - {sequence: 10, name: C, kind: mark}\n",
            "2:3",
            "rising order",
        ),
        (
            f"parts:\n- {{part_number: A, serial_pattern: '{'x' * 35}{{n:06d}}'}}\n",
            "2:20",
            "at most 40 can be marked",
        ),
        (
            "parts:\n- {part_number: A, serial_pattern: 'A{n:02d}', fields: {f: %s}}\n"
            % ("x" * 2000),
            "2:48",
            "at most 2000 reach a station",
        ),
        ("parts:\n- {part_number: 'A\\nB', serial_pattern: 'A{n:02d}'}\n", "", ""),
        ('parts:\n- {part_number: "A\\nB", serial_pattern: "A{n:02d}"}\n', "2:4", "printed"),
    ],
)
def test_a_broken_file_is_refused_at_the_place_of_the_fault(load, text, place, complaint):
    if not complaint:
        assert load(text).parts[0].part_number == "A\\nB"
        return
    found = problems(load, text)
    assert any(problem.startswith(f"{place}: ") and complaint in problem for problem in found), (
        found
    )


def test_a_missing_file_and_a_file_that_is_no_text_are_named(tmp_path):
    with pytest.raises(MasterDataError, match=r"absent\.yaml:1:1: cannot read the file"):
        master_data.load_file(tmp_path / "absent.yaml")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MasterDataError, match="not UTF-8"):
        master_data.load_file(binary)


@given(st.text(st.sampled_from("parts:-{}[]&*!|>\"'\n\t #0a~?%,"), max_size=40) | st.binary())
def test_any_text_is_either_master_data_or_a_list_of_problems(tmp_path, text):
    path = tmp_path / "fuzz.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    try:
        found = master_data.load_file(path)
    except MasterDataError as error:
        found = error
        assert error.problems  # noqa: PT017 - both outcomes are right
    assert isinstance(found, MasterDataError | master_data.MasterData)
