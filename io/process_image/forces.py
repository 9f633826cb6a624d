"""What the scan shows of its forces: tag to forced value, live.

`cellwright.io.process_image.process_image` hands it out; it changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cellwright.io.plan import Value


class Forces(Mapping[int, Value]):
    """A live, read-only view of the forces."""

    def __init__(self, readers: Mapping[int, Any]) -> None:
        self._readers = readers

    def __getitem__(self, index: int) -> Value:
        value: Value = self._readers[index]()
        return value

    def __iter__(self) -> Iterator[int]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)
