"""Many people over bad lines, with kills and changes of mind: `python -m tests.benchmarks.history`.

Annotators in processes of their own judge over HTTP through several web processes. Meanwhile web
processes and the database are killed, leases run out, the overlap changes and people are paused.
Afterwards the checker (tests/history) looks for any promise that was not kept. Prints; ends with 1
where there is a violation.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

from tests.history.events import Recorder
from tests.history.troubles import Admin, Troubles, place
from tests.history.work import Verdict, judge_history, make_work, set_to_work
from tests.setup.processes import wait_until

TROUBLES = 60  # in the course of the work, whatever its size


def show(verdict: Verdict, **more: Any) -> int:
    """Print what came of it; answers the exit code."""
    for name, figure in {**more, **verdict.figures()}.items():
        text = f"{figure:,}" if isinstance(figure, int) else figure
        print(f"  {name:24} {text}")
    for violation in verdict.violations[:20]:
        print(f"  {violation.kind}: {violation.what}")
    return 1 if verdict.violations else 0


def run(home: Path, arguments: argparse.Namespace) -> int:
    rng, goal = Random(arguments.seed), arguments.judgements
    with place(home / "home", webs=arguments.webs) as here:
        # So few tasks that the last places are fought for; changes of the overlap add some.
        tasks = goal * 51 // 100 + arguments.annotators
        work = make_work(here.engine, people=arguments.annotators, tasks=tasks, wanted=2)
        recorder = Recorder(home / "admin.jsonl")
        admin = Admin(work, recorder)
        troubles = Troubles(
            {
                "leases run out": admin.let_leases_run_out,  # and beside each other trouble
                "web process killed": here.kill_web,
                "connection killed": here.kill_backend,
                "database killed": here.restart_database,
                "overlap changed": admin.change_overlap,
                "person paused": admin.pause_somebody,
                "all resumed": admin.resume_everybody,
            },
            rng=rng,
        )
        ports = [web.port for web in here.webs]
        print(f"{goal:,} judgements of {arguments.annotators} annotators", flush=True)
        crowd = set_to_work(
            work, ports=ports, folder=home, goal=goal, processes=arguments.processes
        )
        begun = time.monotonic()
        try:
            for number in range(1, TROUBLES + 2):
                reached = goal * number // (TROUBLES + 1)
                wait_until(lambda reached=reached: crowd.judged >= reached, seconds=3600)
                if number <= TROUBLES:
                    troubles.make("leases run out")
                    troubles.make()
            wall = time.monotonic() - begun
            crowd.stop(seconds=120)
        finally:
            crowd.kill()
            recorder.close()
        verdict = judge_history(here.engine, work, home)
    return show(verdict, seconds=round(wall, 1), troubles=dict(sorted(troubles.made.items())))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--annotators", type=int, default=200)
    parser.add_argument("--judgements", type=int, default=100_000)
    parser.add_argument("--webs", type=int, default=2, help="web processes")
    parser.add_argument("--processes", type=int, default=4, help="of annotators")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="touchstone-history-") as folder:
        Path(folder).chmod(0o755)
        return run(Path(folder), arguments)


if __name__ == "__main__":
    sys.exit(main())
