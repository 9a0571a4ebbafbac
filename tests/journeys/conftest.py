"""Journeys use real worker processes."""

import tempfile
from functools import partial
from pathlib import Path

import pytest

from app.worker import beginning, contestants, generation, process
from tests.worker.processes import start_worker, tiny_lm, workers
from tests.worker.ready_trainer import ready_trainer

__all__ = ["start_worker", "tiny_lm"]  # fixtures


@pytest.fixture
def start_ready_worker(concurrency_engine, tmp_path):
    """Start workers whose trainers need not load what takes seconds."""
    with (
        tempfile.TemporaryDirectory() as folder,  # the path of a socket is short
        ready_trainer(Path(folder)) as command,
        workers(
            concurrency_engine, tmp_path / "worker.log", prepare=partial(take, command)
        ) as start,
    ):
        yield start


def take(command):
    """What a worker does first in its process: from now on it starts trainers by `command`."""
    for module in (process, beginning, generation, contestants):
        module.TRAINER = command
