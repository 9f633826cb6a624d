"""The part of the configuration reference that no model holds: rules across sections."""

from typing import Final

RULES: Final = """\
# Configuration reference

<!-- Written by `make docs` from the code; do not edit. -->

One YAML file describes a cell. `cellwright check` compiles it and reports every error at once, each
as `file:line:column: what; why; remedy`; `cellwright schema` prints a JSON Schema for editors;
`cellwright init DIR` writes a first cell.

## Rules that hold everywhere

- **YAML 1.2.** `off`, `no` and `none` are text, only `true` and `false` are truth values.
  Anchors, aliases and `<<` merge keys work, and sections whose name begins with `x-` are passed
  over, as a place for anchors; tags (`!!str`) do not work. A key stands once in its mapping. The
  file is UTF-8, at most 4 MiB and 24 levels deep.
- **Durations** are text with a unit: `500us`, `10ms`, `1.5s`, `2min`. A bare number is refused.
- **Sizes** are text with a unit, too: `512MiB` (1 MiB is 1,048,576 bytes) or `2GB`
  (1 GB is 1,000,000,000 bytes); kB and KiB are known as well.
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

## When a task runs

| kind | key | it runs |
|---|---|---|
| cyclic | `interval` | at every interval, shifted by `phase`; both are multiples of `scan.base` |
| event | `event` | in the cycle that sees an edge of a BOOL tag (also of `sys.clock_1s`) |
| freewheeling | `freewheeling` | last in a cycle, if its watchdog time and a margin fit in it |

Cyclic and event tasks of one cycle run in the order of their priorities, then in that of the file.
The tag of an event is looked at after inputs, commands and forces have come in, and compared with
the last cycle that ran: an edge during skipped ticks is seen by the next cycle, a pulse that is
over by then is not, and a level that is there at the start is no edge. Freewheeling tasks for which
a cycle has no time come first in the next one, among those of equal priority. The outputs of a
cycle are written after them: keep their watchdogs short.

A late cycle covers ticks, and what was due in them is missed and counted. `overrun` says what
follows: nothing (`skip`), one execution in the next cycle (`late`; none more if the task is due
there anyway), or FAULT with the code `task_overrun` (`fault`). The phase never shifts. With
`watchdog: {time: 5ms, omitted: 3}` the third missed execution in a row is a FAULT (`task_omitted`);
of a freewheeling task, the third cycle in a row without time for it.

## Deadlines of jobs

A program declares for each kind of job of its worker how many cycles the answer may take and what
stands for it then. `deadlines: {read: 80}` gives a task another number, and
`deadlines: {read: {cycles: 80, value: {text: "?"}}}` also another value, key by key.
Cycles are those of the scan in which tasks run, from the one that submitted the job.

## Intervals and watchdogs

A task's watchdog is a limit and not a budget, so nothing is refused because limits add up to more
than the base interval: that is a warning, and only where the file states the watchdogs. It is an
error when a task's watchdog, or the sum for tasks that fall due in one cycle, is longer than the
scan's own watchdog: the scan's would then trip although every task kept its limit. An event task
counts as due in every cycle, a freewheeling one in none.
"""
