"""Real worker processes, and a model that is small enough to train in them."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine

from app.config import settings

Start = Callable[..., "subprocess.Popen[bytes]"]


FAKE = (sys.executable, str(Path(__file__).with_name("fake_trainer.py")))


@pytest.fixture
def start_worker(concurrency_engine: Engine, tmp_path: Path) -> Iterator[Start]:
    """Start worker processes that take over from each other after two seconds."""
    with workers(concurrency_engine, tmp_path / "worker.log") as start:
        yield start


@contextmanager
def workers(engine: Engine, log_file: Path, *, prelude: str = "") -> Iterator[Start]:
    """The same over any database, each after the statements of `prelude`; gone at the end."""
    url = engine.url.render_as_string(hide_password=False)
    script = (
        "from datetime import timedelta; from app.worker import lease; from app.worker.main import"
        f" run; lease.SILENCE = 3.0; {prelude};"
        f"run({url!r}, stalled=timedelta(seconds=2))"
    )
    started: list[subprocess.Popen[bytes]] = []

    def start(**variables: str) -> "subprocess.Popen[bytes]":
        own = {"TOUCHSTONE_HOME": str(settings.home_path), "OMP_NUM_THREADS": "1"}
        with log_file.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", script],
                stdout=log,
                stderr=log,
                env=os.environ | own | variables,
            )
        started.append(process)
        return process

    try:
        yield start
    finally:
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
