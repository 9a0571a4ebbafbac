"""Trainings in processes of their own, forked from a server that has loaded torch."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tests.forks import FORKS, ended
from tests.waiting import PATIENCE

FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}


@dataclass
class Team:
    """Processes that train one run together, or one alone."""

    members: list[Any]
    folder: Path
    store: torch.distributed.TCPStore

    def wait(self) -> list[int | None]:
        """Exit codes by rank; None where one still runs when patience ends, as `err` then says."""
        deadline = time.monotonic() + PATIENCE
        return [ended(member, max(0.0, deadline - time.monotonic())) for member in self.members]

    def wait_for_steps(self, count: int) -> None:
        """Until so many updates are in the log."""
        deadline = time.monotonic() + PATIENCE
        file = self.folder / "metrics.jsonl"
        while True:
            at_work = all(member.is_alive() for member in self.members)
            if file.is_file() and file.read_bytes().count(b"\n") >= count:
                return
            assert at_work, f"ended before step {count}: {self.errors}"
            assert time.monotonic() < deadline, f"no step {count} yet: {self.wait()} {self.errors}"
            time.sleep(0.05)

    def send(self, number: int, *ranks: int) -> None:
        """A signal to these processes."""
        for rank in ranks:
            os.kill(self.members[rank].pid, number)

    def err(self, rank: int = 0) -> str:
        return self.folder.with_name(f"{self.folder.name}-{rank}.err").read_text()

    def out(self, rank: int = 0) -> str:
        return self.folder.with_name(f"{self.folder.name}-{rank}.out").read_text()

    @property
    def errors(self) -> str:
        return "".join(self.err(rank) for rank in range(len(self.members)))

    def read(self, name: str) -> list[dict]:
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]

    @property
    def result(self) -> dict:
        return json.loads((self.folder / "result.json").read_text())

    def figures(self) -> list[dict]:
        skip = {"time", "tokens_per_second"}
        return [
            {k: v for k, v in row.items() if k not in skip} for row in self.read("metrics.jsonl")
        ]


def train(command: list[str]) -> None:
    from app.trainer.__main__ import main

    raise SystemExit(main(command))


def start(
    command: list[str],
    folder: Path,
    *,
    processes: int = 2,
    what: Callable[[list[str]], None] = train,
    **env: str,
) -> Team:
    """Begin `app.trainer COMMAND --output FOLDER` in each process; `what`: one that is watched."""
    return together(what, [*command, "--output", str(folder)], folder, processes, **env)


def together(
    what: Callable[[Any], object], given: Any, folder: Path, processes: int = 2, **env: str
) -> Team:
    """Begin a function in each process; what they print lies beside the folder."""
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    members = []
    for rank in range(processes):
        ranked = env | {"OMP_NUM_THREADS": "1"}
        if processes > 1:
            ranked |= {
                "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes),
                "LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True",
                "TORCHELASTIC_RESTART_COUNT": "0",
            }  # fmt: skip
        printed = [str(folder.with_name(f"{folder.name}-{rank}.{name}")) for name in ("out", "err")]
        for file in printed:
            Path(file).touch()  # to be read from the first moment on
        member = FORKS.Process(target=_one, args=(what, given, printed, ranked), daemon=True)
        member.start()
        members.append(member)
    return Team(members, folder, store)


def _one(
    what: Callable[[Any], object], given: Any, printed: list[str], env: dict[str, str]
) -> None:
    os.environ.update(env)
    for number, file in enumerate(printed, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_TRUNC), number)
    torch.set_num_threads(1)
    what(given)
