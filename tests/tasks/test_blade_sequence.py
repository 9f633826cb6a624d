"""The example's control program by itself: what its records rely on."""

from __future__ import annotations

from blade_marking.sequence import Sequence, SequenceOptions
from cellwright.io.messages import PartArrived
from cellwright.tasks.api import ScanContext
from tasks.harness import FakeImage


def test_a_cold_start_gives_no_part_a_number_that_another_had() -> None:
    arrived: list[PartArrived] = []

    def emit(event: object) -> int:
        assert isinstance(event, PartArrived)
        arrived.append(event)
        return len(arrived)

    for cycle in (17, 230):
        # A cold start: new program, initial values, the same boot.
        image = FakeImage()
        binding: dict[str, int] = {}
        for index, (name, variable) in enumerate(Sequence.variables().items()):
            binding[name] = index
            image.add(index, variable.type, variable.initial)
        image.set(binding["part_present"], True)
        image.set(binding["clamp_open"], True)
        program = Sequence(image, binding, SequenceOptions())
        program.scan(ScanContext("sequence", cycle, cycle * 10_000_000, boot_id="b", _emit=emit))
    first, second = (event.part_id for event in arrived)
    assert first != second
