"""A strict reader of Prometheus' text exposition format 0.0.4, written from its description.

It fails on whatever the format does not allow and on what is odd, where a scraper would be lenient.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (-?\d+(?:\.\d+)?)")
UNESCAPED = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


@dataclass
class Parsed:
    """One family as a strict reader of text format 0.0.4 sees it."""

    kind: str
    help: str
    samples: dict[tuple[str, tuple[tuple[str, str], ...]], Decimal] = field(default_factory=dict)

    def value(self, name: str, **labels: str) -> Decimal:
        """The sample with that name and these labels, in the page's order; KeyError."""
        return self.samples[name, tuple(labels.items())]


def parse(text: str) -> dict[str, Parsed]:
    """All families; fails on whatever the format does not allow, and on what is odd."""
    assert text.endswith("\n")
    families: dict[str, Parsed] = {}
    helped = current = ""
    for line in text.removesuffix("\n").split("\n"):
        if line.startswith("# HELP "):
            helped, _, told = line.removeprefix("# HELP ").partition(" ")
            assert helped not in families
            assert told
            continue
        if line.startswith("# TYPE "):
            current, kind = line.removeprefix("# TYPE ").split(" ")
            assert current == helped
            assert kind in ("counter", "gauge", "histogram")
            families[current] = Parsed(kind, told)
            continue
        match = SAMPLE.fullmatch(line)
        assert match is not None, line
        family = families[current]
        suffix = match[1].removeprefix(current)
        assert match[1].startswith(current)
        assert suffix in (("_bucket", "_sum", "_count") if family.kind == "histogram" else ("",))
        labels = tuple((name, unescape(value)) for name, value in re.findall(LABEL, match[2] or ""))
        assert len({name for name, _ in labels}) == len(labels)
        assert (match[1], labels) not in family.samples, f"twice: {line}"
        family.samples[match[1], labels] = Decimal(match[match.lastindex or 0])
    for name, family in families.items():
        assert family.samples, f"{name} has no sample"
        assert (family.kind == "counter") == name.endswith("_total")
        if family.kind == "histogram":
            check_histogram(name, family)
    return families


def check_histogram(name: str, family: Parsed) -> None:
    """Buckets ascend, end with +Inf, and agree with the count."""
    series: dict[tuple[tuple[str, str], ...], list[tuple[Decimal, Decimal]]] = {}
    for (sample, labels), value in family.samples.items():
        if sample == f"{name}_bucket":
            rest = tuple(pair for pair in labels if pair[0] != "le")
            series.setdefault(rest, []).append((Decimal(dict(labels)["le"]), value))
    assert series
    for labels, buckets in series.items():
        bounds, counts = [b for b, _ in buckets], [c for _, c in buckets]
        assert bounds == sorted(set(bounds))
        assert bounds[-1] == Decimal("Infinity")
        assert counts == sorted(counts)
        assert family.samples[f"{name}_count", labels] == counts[-1]
        assert (f"{name}_sum", labels) in family.samples


def unescape(text: str) -> str:
    """A label's value as it was before it was escaped."""
    return re.sub(r"\\.", lambda match: UNESCAPED[match[0]], text)
