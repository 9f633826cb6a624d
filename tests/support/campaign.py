"""How long the campaigns of the tests are: kills, flipped bits, fuzzed bytes, random histories.

``CELLWRIGHT_CAMPAIGN`` is 1 where nobody sets it, as in ``make test``, and 10 in ``make campaign``.
What is asserted is the same at every scale; only the number of tries grows with it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import Any, Final, TypeVar

from hypothesis import HealthCheck, settings

SCALE: Final = int(os.environ.get("CELLWRIGHT_CAMPAIGN") or 1)
"""At least 1."""
EVERYTHING: Final = 10
"""From this scale on a loop over every place of a file leaves none out."""
EXAMPLES: Final = 50
"""Of a property, at scale 1, where nobody says otherwise."""

Place = TypeVar("Place")


def times(count: int) -> int:
    """How often a campaign does what it does ``count`` times at scale 1."""
    return count * SCALE


def sample(places: Sequence[Place], count: int) -> Sequence[Place]:
    """The places of a loop that would take all: ``count`` (2 or more) at scale 1, by a fixed seed.

    The first and the last are always among them. From scale 10 on there are all, in their order.
    """
    if SCALE >= EVERYTHING or times(count) >= len(places):
        return places
    inner = random.Random(4711).sample(range(1, len(places) - 1), times(count) - 2)
    return [places[number] for number in (0, *sorted(inner), len(places) - 1)]


def examples(count: int, **more: Any) -> settings:
    """Another number of examples than `EXAMPLES`, because one of them costs more or less."""
    return settings(max_examples=times(count), **more)


def load_profile() -> None:
    """What holds for every property: no limit of time, and the same examples in each run of CI.

    A machine that has other work to do is no finding: neither an example nor drawing it is timed.
    Benches and images are fixtures that the examples of one test share on purpose.
    """
    settings.register_profile(
        "cellwright",
        max_examples=times(EXAMPLES),
        deadline=None,
        derandomize=os.environ.get("CI", "").lower() == "true",
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    settings.load_profile("cellwright")
