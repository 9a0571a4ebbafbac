"""Processes of tests, forked from a server that has loaded what takes seconds to load."""

import multiprocessing

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
