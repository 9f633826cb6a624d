"""Channels over time, from a running cell or a recording, for the terminal and as an HTML page.

Called by the command line. Reads snapshots or files only; the page stands alone, without network.
"""

from __future__ import annotations

import html
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from cellwright.io.image import Image
from cellwright.io.plan import Code, Plan, Tag
from cellwright.io.recording.cycle import CycleRecord, Shadow
from cellwright.io.recording.file import Batch, Keyframe, Recording
from cellwright.io.recording.values import ImageView
from cellwright.runtime.cell.tag_lookup import unknown_tag
from cellwright.runtime.recorder.provenance import plan_of

MOST_POINTS: Final = 4000
"""Points of a channel on a page; what is more is thinned to each interval's extremes."""
MOST_SAMPLES: Final = 2_000_000
"""Samples kept of a channel."""
_DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Dots of a braille character, row by row (Unicode 2800 to 28FF)."""
_COLOURS: Final = ("#0b63ce", "#c2410c", "#15803d", "#7e22ce", "#b91c1c", "#0e7490")
_STYLES: Final = ("cyan", "yellow", "green", "magenta", "red", "blue")


class ScopeError(ValueError):
    """A channel that cannot be shown; the sentence says why and what to do."""


@dataclass
class Trace:
    """One channel: seconds from the first sample, and values. BOOL counts as 0 and 1."""

    name: str
    unit: str
    digital: bool
    times: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    @property
    def span(self) -> tuple[float, float]:
        """Smallest and largest finite value; (0, 1) when there is none or for BOOL."""
        finite = [value for value in self.values if math.isfinite(value)]
        if self.digital or not finite:
            return 0.0, 1.0
        return min(finite), max(finite)

    def add(self, seconds: float, value: float) -> None:
        """One sample; the last of equal values moves along, so that steps stay steps."""
        if len(self.values) > 1 and self.values[-1] == value == self.values[-2]:
            self.times[-1] = seconds
        elif len(self.values) < MOST_SAMPLES:
            self.times.append(seconds)
            self.values.append(value)


def channels(plan: Plan, names: Sequence[str]) -> list[Tag]:
    """The tags; raises ScopeError for one that is unknown or not one number."""
    tags = []
    for name in names:
        try:
            tag = plan.tag(name)
        except KeyError:
            raise ScopeError(unknown_tag(plan, name)) from None
        if tag.type.is_array or tag.type.code is Code.STRING:
            raise ScopeError(f"tag '{name}' is {tag.type}; the scope shows BOOL and numbers")
        tags.append(tag)
    return tags


def _traces(tags: Sequence[Tag]) -> list[Trace]:
    return [Trace(tag.name, tag.unit, tag.type.code is Code.BOOL) for tag in tags]


def from_recording(path: Path, names: Sequence[str], last_s: float | None = None) -> list[Trace]:
    """One sample a cycle, times from the first one; ``last_s`` keeps only the end.

    Raises ScopeError, RecordingError, RecordError.
    """
    with Recording(path) as recording:
        tags = channels(plan_of(recording), names)
        traces = _traces(tags)
        first_ns: int | None = None
        for now_ns, view in _images(recording):
            first_ns = now_ns if first_ns is None else first_ns
            for tag, trace in zip(tags, traces, strict=True):
                trace.add((now_ns - first_ns) / 1e9, float(view.value(tag)))  # type: ignore[arg-type]
    if last_s is not None:
        end = max((trace.times[-1] for trace in traces if trace.times), default=0.0)
        traces = [_since(trace, end - last_s) for trace in traces]
    return traces


def _images(recording: Recording) -> Iterator[tuple[int, ImageView]]:
    plan = plan_of(recording)
    shadow: Shadow | None = None
    view: ImageView | None = None
    for part in recording.parts():
        if isinstance(part, Keyframe):
            shadow = Shadow(part.image.region)
            view = ImageView(plan, shadow.region)
        elif isinstance(part, Batch) and shadow is not None and view is not None:
            for data in part.records:
                record = CycleRecord(data)
                shadow.apply(record.latched)
                shadow.apply(record.settled)
                yield record.now_ns, view
        else:
            shadow = None


def _since(trace: Trace, begin: float) -> Trace:
    """The part from ``begin`` on, with the value that held there."""
    part = Trace(trace.name, trace.unit, trace.digital)
    before: float | None = None
    for at, value in zip(trace.times, trace.values, strict=True):
        if at < begin:
            before = value
            continue
        if before is not None and not part.times and at > begin:
            part.add(0.0, before)
        part.add(at - max(begin, 0.0), value)
    return part


def from_cell(
    plan: Plan,
    image: Image,
    names: Sequence[str],
    *,
    seconds: float,
    interval_s: float,
) -> list[Trace]:
    """Look at a running cell for so long; a channel that changes faster is not seen whole.

    Raises ScopeError.
    """
    tags = channels(plan, names)
    traces = _traces(tags)
    reader = image.snapshot_reader()
    first_ns = last_ns = 0
    begin = time.monotonic()
    while (last_ns - first_ns) / 1e9 < seconds and time.monotonic() - begin < 2 * seconds + 5:
        if reader.read():
            first_ns, last_ns = first_ns or reader.mono_ns, reader.mono_ns
            for tag, trace in zip(tags, traces, strict=True):
                value = reader.value(tag.index)
                trace.add((last_ns - first_ns) / 1e9, float(value))  # type: ignore[arg-type]
        time.sleep(interval_s)
    return traces


# --- terminal -------------------------------------------------------------------------------------


def plot(traces: Sequence[Trace], width: int, height: int = 8) -> RenderableType:
    """Each channel as lines of braille characters, ``width`` columns; all on one time axis."""
    end = max((trace.times[-1] for trace in traces if trace.times), default=0.0)
    parts: list[RenderableType] = []
    for number, trace in enumerate(traces):
        low, high = trace.span
        unit = f" {trace.unit}" if trace.unit else ""
        head = f"{trace.name}  {low:.6g} to {high:.6g}{unit}"
        if not trace.times:
            parts.append(Text(f"{trace.name}  no samples"))
            continue
        parts.append(Text(head, style="bold"))
        rows = braille(trace, end, width, 2 if trace.digital else height)
        style = _STYLES[number % len(_STYLES)]
        parts += [Text(row, style=style, no_wrap=True) for row in rows]
    right = f"{end:.3f} s"
    parts.append(Text("0 s" + right.rjust(max(0, width - 3))))
    return Group(*parts)


def braille(trace: Trace, end: float, width: int, height: int) -> list[str]:
    """``height`` strings of ``width`` characters; the channel holds its value until the next."""
    columns, rows = 2 * width, 4 * height
    low, high = trace.span
    scale = (rows - 1) / (high - low) if high > low else 0.0
    cells = [[0] * width for _ in range(height)]
    extremes = _by_column(trace, end, columns)
    before: tuple[int, int] | None = None
    for column, (least, most) in enumerate(extremes):
        if not (math.isfinite(least) and math.isfinite(most)):
            before = None
            continue
        bottom, top = round((least - low) * scale), round((most - low) * scale)
        lower, upper = bottom, top
        if before is not None:  # join with the column before, so that a jump is a line
            lower, upper = min(bottom, before[1]), max(top, before[0])
        before = bottom, top
        for level in range(lower, upper + 1):
            row = rows - 1 - level
            cells[row // 4][column // 2] |= _DOTS[row % 4][column % 2]
    return ["".join(chr(0x2800 + cell) for cell in line) for line in cells]


def _by_column(trace: Trace, end: float, columns: int) -> list[tuple[float, float]]:
    """Least and largest value in each of so many equal intervals of time."""
    width = end / columns if end > 0 else 1.0
    found: list[list[float]] = [[] for _ in range(columns)]
    for at, value in zip(trace.times, trace.values, strict=True):
        found[min(columns - 1, int(at / width))].append(value)
    result = []
    held = trace.values[0] if trace.values else math.nan
    for values in found:
        finite = [value for value in values if math.isfinite(value)]
        every = finite or ([held] if math.isfinite(held) and not values else [])
        result.append((min(every), max(every)) if every else (math.nan, math.nan))
        held = values[-1] if values else held
    return result


# --- page -----------------------------------------------------------------------------------------


def thinned(trace: Trace) -> list[tuple[float, float]]:
    """At most `MOST_POINTS` points; of each interval its least and largest value, in order."""
    points = list(zip(trace.times, trace.values, strict=True))
    if len(points) <= MOST_POINTS:
        return points
    group = -(-2 * len(points) // MOST_POINTS)
    kept: list[tuple[float, float]] = []
    for at in range(0, len(points), group):
        some = points[at : at + group]
        pair = {min(some, key=lambda p: p[1]), max(some, key=lambda p: p[1])}
        kept += sorted(pair)
    return kept


def page(traces: Sequence[Trace], title: str) -> str:
    """A page of its own: one SVG a channel, a cursor that shows the values under it."""
    end = max((trace.times[-1] for trace in traces if trace.times), default=0.0) or 1.0
    charts = "".join(
        _chart(trace, end, _COLOURS[number % len(_COLOURS)]) for number, trace in enumerate(traces)
    )
    data = json.dumps(
        {
            "end": end,
            "channels": [
                {"t": [p[0] for p in points], "v": [_finite(p[1]) for p in points]}
                for points in map(thinned, traces)
            ],
        }
    ).replace("<", "\\u003c")
    safe = html.escape(title)
    return _PAGE.format(title=safe, charts=charts, data=data, end=f"{end:.3f}")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _chart(trace: Trace, end: float, colour: str) -> str:
    low, high = trace.span
    height = 40 if trace.digital else 120
    scale = (height - 10) / (high - low) if high > low else 0.0
    path: list[str] = []
    level = 0.0
    pen = False
    for at, value in thinned(trace):
        x = 1000 * at / end
        if not math.isfinite(value):
            pen = False
            continue
        y = height - 5 - (value - low) * scale
        path.append(f"M{x:.1f} {y:.1f}" if not pen else f"L{x:.1f} {level:.1f}L{x:.1f} {y:.1f}")
        level, pen = y, True
    if pen:
        path.append(f"L1000 {level:.1f}")
    unit = f" {trace.unit}" if trace.unit else ""
    head = html.escape(f"{trace.name}")
    span = html.escape(f"{low:.6g} to {high:.6g}{unit}")
    return (
        f"<section><h2>{head} <small>{span}</small> <output></output></h2>"
        f'<svg viewBox="0 0 1000 {height}" preserveAspectRatio="none" height="{height}">'
        f'<path d="{"".join(path)}" stroke="{colour}"/><line y2="{height}"/></svg></section>\n'
    )


_PAGE: Final = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 14px system-ui, sans-serif; margin: 1.5em; color: #111; background: #fff }}
h1 {{ font-size: 1.2em }}
h2 {{ font-size: 1em; margin: 1em 0 .2em }}
small {{ font-weight: normal; color: #555 }}
output {{ float: right; font-variant-numeric: tabular-nums }}
svg {{ width: 100%; background: #f6f7f9; display: block }}
path {{ fill: none; stroke-width: 1.5; vector-effect: non-scaling-stroke }}
line {{ stroke: #999; vector-effect: non-scaling-stroke; visibility: hidden }}
</style></head><body>
<h1>{title} <small>0 to {end} s</small> <output id="at"></output></h1>
{charts}<script type="application/json" id="data">{data}</script>
<script>
const data = JSON.parse(document.getElementById("data").textContent);
const sections = [...document.querySelectorAll("section")];
function valueAt(channel, t) {{
  let low = 0, high = channel.t.length - 1;
  if (high < 0 || channel.t[0] > t) return null;
  while (low < high) {{
    const middle = (low + high + 1) >> 1;
    if (channel.t[middle] <= t) low = middle; else high = middle - 1;
  }}
  return channel.v[low];
}}
document.addEventListener("mousemove", event => {{
  const box = document.querySelector("svg").getBoundingClientRect();
  const part = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  document.getElementById("at").textContent = (part * data.end).toFixed(3) + " s";
  sections.forEach((section, number) => {{
    const line = section.querySelector("line");
    line.setAttribute("x1", part * 1000);
    line.setAttribute("x2", part * 1000);
    line.style.visibility = "visible";
    const value = valueAt(data.channels[number], part * data.end);
    section.querySelector("output").textContent = value === null ? "" : value;
  }});
}});
</script></body></html>
"""
