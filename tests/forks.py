"""Processes of tests, forked from a server that has loaded what takes seconds to load."""

import multiprocessing
from functools import cache

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "app.worker.main",
        "tests.worker.processes",
        "app.trainer.sft",
        "app.trainer.reward",
        "app.trainer.dpo",
        "app.trainer.ppo",
    ]
)


@cache
def loaded() -> None:
    """Wait until the server is ready: nobody's patience with a process is meant for that."""
    first = FORKS.Process(target=int)
    first.start()
    first.join()
