"""Are planted faults found, and careful people left alone? `python -m tests.benchmarks.crowd`.

Simulated crowds over many seeds, judged by the rules alone; prints one line per kind of person and
crowd: how often anything was found, and what. Asserts nothing.
"""

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.quality.rules.findings import Evidence, Finding, Level, findings_of
from app.quality.rules.health import annotator_health
from app.quality.rules.intervals import wilson
from app.tasks.rules import standing
from tests.crowds import Kind, SimulatedCrowd, crowd

FAULTS = [kind for kind in Kind if kind is not Kind.GOOD]
THRESHOLD = 0.7
CROWDS: Mapping[str, tuple[Sequence[Kind], int]] = {
    "12 careful people, 300 judgements each": ([Kind.GOOD] * 12, 1_200),
    "12 careful people, 3,000 each": ([Kind.GOOD] * 12, 12_000),
    "40 careful people, 90 each": ([Kind.GOOD] * 40, 1_200),
    "5 careful people, 300 each": ([Kind.GOOD] * 5, 500),
    "12 careful and one of each fault, 360 each": ([Kind.GOOD] * 12 + FAULTS, 2_400),
    **{f"11 careful and: {kind}": ([Kind.GOOD] * 11 + [kind], 1_200) for kind in FAULTS},
}


@dataclass(frozen=True, slots=True)
class Tally:
    """people: by kind; blamed: with a finding that is no mere note; kinds: of findings."""

    people: Counter[Kind]
    blamed: Counter[Kind]
    kinds: Mapping[Kind, Counter[str]]


def look(found: SimulatedCrowd) -> list[list[Finding]]:
    """What the people page would say of everybody."""
    health = annotator_health(found.judgements, n_annotators=len(found.kinds))
    return findings_of(
        [
            Evidence(
                figures=row.as_json(),
                standing=standing(seen=seen, passed=passed, threshold=THRESHOLD),
                gold_seen=seen,
                gold_passed=passed,
                gold_low=wilson(passed, seen)[0],
                threshold=THRESHOLD,
            )
            for row, (seen, passed) in zip(health, found.gold, strict=True)
        ]
    )


def tally(kinds: Sequence[Kind], *, seeds: Sequence[int], tasks: int) -> Tally:
    people: Counter[Kind] = Counter()
    blamed: Counter[Kind] = Counter()
    found: dict[Kind, Counter[str]] = defaultdict(Counter)
    for seed in seeds:
        said = look(crowd(kinds, seed=seed, tasks=tasks))
        for kind, findings in zip(kinds, said, strict=True):
            people[kind] += 1
            blamed[kind] += any(each.level is not Level.INFO for each in findings)
            found[kind].update(each.kind.value for each in findings)
    return Tally(people, blamed, found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    arguments = parser.parse_args()
    for name, (kinds, tasks) in CROWDS.items():
        begun = time.perf_counter()
        result = tally(kinds, seeds=range(arguments.seeds), tasks=tasks)
        print(f"{name} ({arguments.seeds} seeds, {time.perf_counter() - begun:.1f} s)", flush=True)
        for kind, number in result.people.items():
            parts = result.kinds[kind].most_common()
            words = ", ".join(f"{what} {100 * n / number:.1f} %" for what, n in parts)
            blamed = 100 * result.blamed[kind] / number
            print(f"  {kind:<28} {number:>6} blamed {blamed:5.1f} %   {words}", flush=True)


if __name__ == "__main__":
    main()
