"""What adaptive overlap saves: `python -m tests.benchmarks.overlap [--tasks N] [--seed N]`.

Simulated people judge pairs through the real claims and submissions on a PostgreSQL of its own
(service level, no HTTP). With fixed overlap every task gets K judgements, with adaptive overlap
between one and nine, as the project's confidence has it. The answers are then what Dawid and
Skene's model says, in both ways, and are compared with the truth. Gold counts as work in both.

Savings are judgements of fixed overlap, at the same share of right answers, per judgement of
adaptive overlap; between the measured points of the fixed curve the line is straight.

Tasks differ in difficulty and people in skill, P(right) = 1 / (1 + exp(−skill · gap)), which is the
model of Bradley and Terry (1952) with a scale per person; some people guess. Two people agree in
about 63 % of the pairs.
"""

import argparse
import math
import tempfile
import time
from pathlib import Path

from app.db import connect
from app.postgres import running
from app.schema import migrate
from tests.conftest import psycopg_url
from tests.simulation import Judged, Overlap, World, share_right, simulate, work_for

MOST = 9
CONFIDENCES = (0.8, 0.9, 0.95, 0.98)


def line(name: str, judged: Judged, right: float, world: World, saving: float = math.nan) -> None:
    each = len(judged.votes) / world.n_tasks
    times = "" if math.isnan(saving) else f"{saving:5.2f} ×"
    bar = "█" * round((right - 0.5) * 80)
    print(
        f"  {name:16} {each:5.2f} {len(judged.votes):8,} {judged.gold:6,} {judged.work:8,}"
        f" {right * 100:6.1f} % {times:8} {bar}",
        flush=True,
    )


def compare(world: World, *, confidences: tuple[float, ...], gold_rate: float) -> None:
    """A table and a curve: fixed 1 … 9, then adaptive by confidence."""
    print("                    per    judge-                      right   saved")
    print("  overlap          task     ments   gold     work    answers   against fixed")
    fixed = simulate(world, Overlap(MOST, MOST), gold_rate=gold_rate)
    curve = []
    for overlap in range(1, MOST + 1):
        judged = fixed.first(overlap)
        right = share_right(world, judged)
        curve.append((right, float(judged.work)))
        line(f"fixed {overlap}", judged, right, world)
    for confidence in confidences:
        judged = simulate(world, Overlap(1, MOST, confidence), gold_rate=gold_rate)
        right = share_right(world, judged)
        saving = work_for(curve, right) / judged.work
        line(f"adaptive {confidence}", judged, right, world, saving)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=2_000)
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--gold", type=int, default=80, help="gold tasks")
    parser.add_argument("--gold-rate", type=float, default=0.08)
    parser.add_argument("--confidence", type=float, nargs="+", default=list(CONFIDENCES))
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    world = World(
        seed=arguments.seed, tasks=arguments.tasks, people=arguments.people, gold=arguments.gold
    )
    with tempfile.TemporaryDirectory(prefix="touchstone-overlap-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        with running(home) as address:
            engine = connect(psycopg_url(address), pool_size=2)
            migrate(engine)
            begun = time.perf_counter()
            print(
                f"{world.n_tasks:,} tasks, {len(world.skills)} people, who agree in"
                f" {world.agreement():.3f} of the pairs"
            )
            compare(world, confidences=tuple(arguments.confidence), gold_rate=arguments.gold_rate)
            print(f"  {time.perf_counter() - begun:.0f} s")
            engine.dispose()


if __name__ == "__main__":
    main()
