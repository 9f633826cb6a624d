"""Where every tag lies in the image, and the hash that proves two processes agree on it.

The compiler places the tags once; the hash covers everything that fixes a byte's place and
meaning, so that a process with another idea of the layout is refused instead of misled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from cellwright.io.plan.iec import TagType
from cellwright.io.plan.plan import Device, Tag, Task

LAYOUT_VERSION: Final = 2
"""Changes with every change of the image format; part of the hash."""


def place(types: Sequence[TagType]) -> tuple[list[int], int]:
    """Byte offsets for values of these types, in their order, and the size of the value area.

    Values of wide alignment come first, so that no padding is lost between them; the size is a
    multiple of 8.
    """
    order = sorted(range(len(types)), key=lambda index: (-types[index].alignment, index))
    offsets = [0] * len(types)
    position = 0
    for index in order:
        alignment = types[index].alignment
        position = -(-position // alignment) * alignment
        offsets[index] = position
        position += types[index].size
    return offsets, -(-position // 8) * 8


def layout_hash(tags: Iterable[Tag], devices: Iterable[Device], tasks: Iterable[Task]) -> bytes:
    """SHA-256 over places and meanings: tags, device areas, tasks. 32 bytes.

    Options that change no byte of the image (hosts, ports, descriptions, limits of a role) are
    left out on purpose: changing them needs no new layout.
    """
    content = [
        LAYOUT_VERSION,
        [
            (tag.name, str(tag.type), tag.direction, tag.offset, tag.address, tag.scale)
            for tag in tags
        ],
        [(device.name, device.groups, device.input_size, device.output_size) for device in devices],
        [(task.name, task.program, sorted(task.binding.items()), task.worker) for task in tasks],
    ]
    return hashlib.sha256(msgspec.msgpack.encode(content)).digest()
