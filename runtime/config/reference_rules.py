"""The part of the configuration reference that no model holds: rules across sections."""

from typing import Final

RULES: Final = """\
# Configuration reference

<!-- Printed by: python -m cellwright.runtime.config.reference > docs/reference/configuration.md -->

One YAML file describes a cell. `cellwright check` compiles it and tells every error at once, each
as `file:line:column: what; why; remedy`; `cellwright schema` prints a JSON Schema for editors;
`cellwright init DIR` writes a first cell.

## Rules that hold everywhere

- **YAML 1.2.** `off`, `no` and `none` are text, only `true` and `false` are truth values.
  Anchors, aliases and `<<` merge keys work, and sections whose name begins with `x-` are passed
  over, as a place for anchors; tags (`!!str`) do not work. A key stands once in its mapping. The
  file is UTF-8, at most 4 MiB and 24 levels deep.
- **Durations** are text with a unit: `500us`, `10ms`, `1.5s`, `2min`. A bare number is refused.
- **Names** of devices and tasks are letters, digits and `_`; names of tags may also have dots
  between parts. Two tags must differ in more than case (IEC 61131-3). `sys.` belongs to the
  runtime.
- **Relative paths** (data folder, users, master data, templates) start at the folder of this
  file; the file of a relative SQLite URL lies in the data folder.

## Addresses

`device.area[index]`, or `device.area[index].bit` for a BOOL in a word (bit 0 is the lowest). The
areas of a device follow from its driver. A value of 32 or 64 bits takes two or four words from
the index on, an array consecutive ones; one value always travels in one request. Two inputs may
share an address, two outputs may not. A STRING lies in words, two bytes to a word, ended by a
zero byte; TIME lives in memory only.

Consecutive addresses are read in one request, also across gaps of up to 16 words or 64 bits.
Outputs are never written across a gap: an address that no tag owns is never touched. The one
exception is a word of which only some bits are tags: it is written whole, the other bits as 0.

A scaled tag is a straight line through two points: `scale: {raw: [0, 65535], eng: [0, 10]}`.
Outputs take the inverse, rounded and clamped to the raw span. `wire` gives the type of the raw
value when it is not a UINT or INT of one word.

## Variables and tags

Every variable of a program is one tag. Which one, in this order:

1. what `bind` says: a declared tag, a system tag, or another task's automatic tag (`mark.start`);
2. a declared tag called `task.variable`;
3. a declared tag called like the variable, if type and direction fit (a warning if they do not);
4. an automatic memory tag `task.variable`, which takes initial value, unit and description from
   the variable and is retained if the variable is.

A tag has one writer: one task, or the roles in `write`, or its device. A variable and its tag
have the same type. A retained variable needs a memory tag with `retain: true`.

## Intervals and watchdogs

An interval is a multiple of `scan.base`; a phase too, and it lies below the interval. A task's
watchdog is a limit and not a budget, so nothing is refused because limits add up to more than the
base interval: that is a warning, and only where the file states the watchdogs. It is an error
when a task's watchdog, or the sum for tasks that fall due in one cycle, is longer than the scan's
own watchdog: the scan's would then trip although every task kept its limit.
"""
