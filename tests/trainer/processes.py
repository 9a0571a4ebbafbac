"""Training by several processes on this machine, forked from a server that has loaded torch."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tests.forks import FORKS

FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}


@dataclass
class Team:
    """Processes that train one run together."""

    members: list[Any]
    folder: Path
    store: torch.distributed.TCPStore

    def wait(self, seconds: float = 120) -> list[int | None]:
        """Exit codes by rank; None where one still runs, which is then ended."""
        for member in self.members:
            member.join(seconds)
        codes = [member.exitcode for member in self.members]
        for member in self.members:
            if member.is_alive():
                member.kill()
                member.join()
        return codes

    def err(self, rank: int = 0) -> str:
        return self.folder.with_name(f"{self.folder.name}-{rank}.err").read_text()

    def out(self, rank: int = 0) -> str:
        return self.folder.with_name(f"{self.folder.name}-{rank}.out").read_text()

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


def start(command: list[str], folder: Path, *, processes: int = 2, **env: str) -> Team:
    """Begin `app.trainer COMMAND --output FOLDER` in each process."""
    return together(_train, [*command, "--output", str(folder)], folder, processes, **env)


def together(
    what: Callable[[Any], object], given: Any, folder: Path, processes: int = 2, **env: str
) -> Team:
    """Begin a function in each process; what they print lies beside the folder."""
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    members = []
    for rank in range(processes):
        ranked = env | {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes),
            "LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True",
            "TORCHELASTIC_RESTART_COUNT": "0", "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        member = FORKS.Process(target=_one, args=(what, given, folder, ranked), daemon=True)
        member.start()
        members.append(member)
    return Team(members, folder, store)


def _one(what: Callable[[Any], object], given: Any, folder: Path, env: dict[str, str]) -> None:
    os.environ.update(env)
    for number, name in ((1, "out"), (2, "err")):
        file = folder.with_name(f"{folder.name}-{env['RANK']}.{name}")
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    torch.set_num_threads(1)
    what(given)


def _train(command: list[str]) -> None:
    from app.trainer.__main__ import main

    raise SystemExit(main(command))
