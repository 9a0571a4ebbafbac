"""Real worker processes, and a model that is small enough to train in them."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from app.config import Settings, settings
from tests.forks import FORKS, loaded


class WorkerProcess:
    """A worker in a process of its own, with what `subprocess.Popen` can do."""

    def __init__(
        self, url: str, environment: Mapping[str, str], log: Path, prepare: Callable[[], object]
    ) -> None:
        given = (url, dict(environment), str(log), prepare)
        self._process = FORKS.Process(target=_work, args=given)
        self._process.start()
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, seconds: float | None = None) -> int | None:
        self._process.join(seconds)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self._process.is_alive():
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _work(
    url: str, environment: Mapping[str, str], log: str, prepare: Callable[[], object]
) -> None:
    """What the process does, as if it had been started in this environment."""
    from app.worker import lease
    from app.worker.main import run

    os.environ.clear()
    os.environ.update(environment)
    settings.__dict__.clear()  # read when the server was started that this was forked from
    settings.__dict__.update(Settings().__dict__)
    for number in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    lease.SILENCE = 3.0
    prepare()
    run(url, stalled=timedelta(seconds=2))


FAKE = (sys.executable, str(Path(__file__).with_name("fake_trainer.py")))

Start = Callable[..., WorkerProcess]


@pytest.fixture
def start_worker(concurrency_engine: Engine, tmp_path: Path) -> Iterator[Start]:
    """Start worker processes that take over from each other after two seconds."""
    with workers(concurrency_engine, tmp_path / "worker.log") as start:
        yield start


@contextmanager
def workers(
    engine: Engine, log_file: Path, *, prepare: Callable[[], object] = dict
) -> Iterator[Start]:
    """The same over any database, each after `prepare` in its process; gone at the end."""
    loaded()
    url = engine.url.render_as_string(hide_password=False)
    started: list[WorkerProcess] = []

    def start(**variables: str) -> WorkerProcess:
        own = {"TOUCHSTONE_HOME": str(settings.home_path), "OMP_NUM_THREADS": "1"}
        started.append(WorkerProcess(url, os.environ | own | variables, log_file, prepare))
        return started[-1]

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
    command = ["new", "--size", "tiny", "--steps", "2", "--corpus", str(corpus)]
    maker = FORKS.Process(target=_train, args=([*command, "--output", str(folder / "model")],))
    maker.start()
    maker.join()
    assert maker.exitcode == 0
    return str(folder / "model")


def _train(command: list[str]) -> None:
    import torch

    from app.trainer.__main__ import main

    torch.set_num_threads(1)
    raise SystemExit(main(command))
