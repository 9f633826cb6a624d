"""Read rate, verdicts and times on drawn dot-peen marks, by stratum.

Run ``python tests/tasks/read_rate.py [frames per stratum]`` from the repository's root with the
package installed. Prints Markdown; the figures of the decision records come from here.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from cellwright.tasks.vision.reader import read_marks
from cellwright.tasks.vision.verify import MarkVerdict, verify
from tasks.marks import Look, draw, empty

STRATA: dict[str, list[Look]] = {
    f"fill {fill:.1f}": [Look(module=module, fill=fill) for module in (6, 9, 12, 16, 20, 26)]
    for fill in (0.7, 0.8, 0.9, 1.0)
}
STRATA |= {
    "light dots": [Look(module=m, invert=True, background=80) for m in (8, 14, 20)],
    "highlight in the dot": [Look(module=m, highlight=0.7) for m in (8, 14, 20)],
    "noise 12, texture 16": [Look(module=m, noise=12, texture=16) for m in (8, 14, 20)],
    "contrast 40": [Look(module=m, contrast=40) for m in (8, 14, 20)],
    "jitter 0.1": [Look(module=m, jitter=0.1) for m in (8, 14, 20)],
    "blur 3 px": [Look(module=m, blur=3.0) for m in (8, 14, 20)],
    "1 % of the dots missing": [Look(module=m, missing=0.01) for m in (8, 14, 20)],
    "3 % of the dots missing": [Look(module=m, missing=0.03) for m in (8, 14, 20)],
}


def percentiles(seconds: list[float]) -> str:
    """p50 and p99 in milliseconds."""
    ordered = np.percentile(np.array(seconds) * 1e3, [50, 99])
    return f"{ordered[0]:.1f} / {ordered[1]:.1f}"


def main(count: int) -> None:
    """Print one row a stratum."""
    print("| stratum | read | verdict right | read ms p50/p99 | verify ms p50/p99 |")
    print("|---|---|---|---|---|")
    wrong_reads = escapes = 0
    for name, looks in STRATA.items():
        reads = right = 0
        reading: list[float] = []
        verifying: list[float] = []
        for number in range(count):
            rng = np.random.default_rng(number)
            base = looks[number % len(looks)]
            look = Look(**{**vars(base), "rotation_deg": float(rng.uniform(-10, 10))})
            content = f"1AB23/B-17/S{number:06d}"
            # Every second mark has one wrong module, which must be found.
            bad = number % 2 == 1
            flip = ((int(rng.integers(0, 18)), int(rng.integers(0, 18))),) if bad else ()
            drawn = draw(content, look, number, flip=flip)
            start = time.perf_counter()
            found = read_marks(drawn.gray)
            reading.append(time.perf_counter() - start)
            start = time.perf_counter()
            verdict = verify(drawn.gray, found, content).verdict
            verifying.append(time.perf_counter() - start)
            reads += any(item.text == content for item in found)
            wrong_reads += any(item.text != content for item in found)
            good = bool((drawn.made == drawn.modules).all())
            right += (verdict is MarkVerdict.OK) == good
            escapes += verdict is MarkVerdict.OK and not good
        print(
            f"| {name} | {reads}/{count} | {right}/{count} "
            f"| {percentiles(reading)} | {percentiles(verifying)} |"
        )
    blank: list[float] = []
    false_reads = 0
    for number in range(count):
        gray = empty(Look(texture=4.0 + number % 16, noise=2.0 + number % 8), number)
        start = time.perf_counter()
        false_reads += bool(read_marks(gray))
        blank.append(time.perf_counter() - start)
    print(f"| no mark | {false_reads} false | | {percentiles(blank)} | |")
    print(
        f"\nwrong reads: {wrong_reads}; bad marks called ok: {escapes}; frames are 1280 x 1024; "
        "half of the marks have one wrong module"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
