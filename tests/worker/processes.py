"""Real worker processes, and a model that is small enough to train in them."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from app.config import settings

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start_worker(concurrency_engine: Engine, tmp_path: Path) -> Iterator[Start]:
    """Start worker processes that take over from each other after two seconds."""
    url = concurrency_engine.url.render_as_string(hide_password=False)
    script = (
        "from datetime import timedelta; from app.worker import lease; from app.worker.main import"
        " run; lease.SILENCE = 3.0;"
        f"run({url!r}, stalled=timedelta(seconds=2))"
    )
    started: list[subprocess.Popen[bytes]] = []

    def start(**variables: str) -> "subprocess.Popen[bytes]":
        own = {"TOUCHSTONE_HOME": str(settings.home_path), "OMP_NUM_THREADS": "1"}
        with (tmp_path / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", script],
                stdout=log,
                stderr=log,
                env=os.environ | own | variables,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def tiny_lm(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A language model from scratch that has seen next to nothing, in a folder."""
    folder = tmp_path_factory.mktemp("tiny")
    corpus = folder / "corpus.txt"
    corpus.write_text("\n\n".join(f"There are {n} eggs in box {n}, thank you." for n in range(40)))
    command = [sys.executable, "-m", "app.trainer", "new", "--size", "tiny", "--steps", "2"]
    subprocess.run(
        [*command, "--corpus", str(corpus), "--output", str(folder / "model")],
        check=True,
        capture_output=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    return str(folder / "model")
