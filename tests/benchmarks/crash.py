"""Judgements while everything is killed: `python -m tests.benchmarks.crash [--judgements N]`.

People submit through `touchstone up`, as a person starts it. At random moments its web process,
its worker, the database or one connection's server gets SIGKILL. Afterwards every acknowledged
judgement must be there once (tests/history), the indexes must fit their tables and every page its
checksum. Prints; ends with 1 where something is wrong.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from app.db import SessionLocal, connect
from app.postgres import Cluster
from tests.benchmarks.history import show
from tests.conftest import free_port
from tests.history.integrity import check_indexes, check_pages
from tests.history.people import Habits
from tests.history.troubles import Troubles, kills
from tests.history.work import judge_history, make_work, set_to_work
from tests.setup.processes import up, wait_until

PEOPLE = 16


def run(folder: Path, arguments: argparse.Namespace) -> int:
    rng, goal = Random(arguments.seed), arguments.judgements
    home, port = folder / "home", free_port()
    with up(home, port) as process:
        cluster = Cluster(home)
        engine = connect(cluster.url(), pool_size=2)
        work = make_work(engine, people=PEOPLE, tasks=goal // 2 + PEOPLE, wanted=2)
        troubles = Troubles(kills(cluster, process.pid), rng=rng)
        print(f"{goal:,} judgements of {PEOPLE} annotators, {arguments.kills} kills", flush=True)
        habits = Habits(dream=0.0, hurry=0.0)
        crowd = set_to_work(work, ports=[port], folder=folder, goal=goal, habits=habits)
        begun = time.monotonic()
        moments = sorted(rng.sample(range(1, goal), arguments.kills))
        try:
            for moment in [*moments, goal]:
                wait_until(lambda moment=moment: crowd.judged >= moment, seconds=1800)
                if moment != goal:
                    troubles.make()
            wall = time.monotonic() - begun
            crowd.stop(seconds=120)
        finally:
            crowd.kill()
        verdict = judge_history(engine, work, folder)
        indexes = check_indexes(cluster)
        engine.dispose()
        SessionLocal.configure(bind=None)
    return show(
        verdict,
        seconds=round(wall, 1),
        kills=dict(sorted(troubles.made.items())),
        indexes=indexes,
        pages=check_pages(cluster),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--judgements", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="touchstone-crash-") as folder:
        Path(folder).chmod(0o755)
        return run(Path(folder), arguments)


if __name__ == "__main__":
    sys.exit(main())
