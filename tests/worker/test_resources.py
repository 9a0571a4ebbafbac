"""What a training takes and says is told while it runs, by the attempt that holds it alone."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app.db import transaction
from app.runs import queries, service
from app.runs.models import Run, RunEvent, RunLog, RunUsage
from app.worker.process import Child
from app.worker.resources import Watcher, gpu_usage
from tests.waiting import PATIENCE, until
from tests.worker.conftest import Workshop

pytestmark = pytest.mark.concurrency

# A process that leaves the work to a child of its own, as a launcher does.
BUSY = """
import subprocess, sys
print("step 1/9", flush=True)
subprocess.run([sys.executable, "-c", "x = bytearray(50_000_000)\\nwhile True: pass"])
"""


def rows(table: Any) -> list[Any]:
    with transaction() as session:
        found = list(session.scalars(select(table)))
        session.expunge_all()
        return found


@pytest.fixture
def lease(workshop: Workshop) -> service.Lease:
    run_id = workshop.launch()
    with transaction() as session:
        lease = service.start(session, run_id=run_id)
    assert lease is not None
    return lease


def test_use_log_and_warnings_are_told_as_they_come(lease: service.Lease, tmp_path: Path) -> None:
    warnings = tmp_path / "warnings.jsonl"
    command = [sys.executable, "-c", BUSY]
    with (
        Child(command, log=tmp_path / "log.txt") as child,
        Watcher(lease, child.process.pid, log=tmp_path / "log.txt", output=tmp_path, every=0.2),
    ):
        until(lambda: any(row.values["cpu"] > 0.02 for row in rows(RunUsage)))
        until(lambda: any(row.values["rss"] > 50_000_000 for row in rows(RunUsage)))
        until(lambda: rows(RunLog)[0].tail == "step 1/9")
        line = json.dumps({"step": 3, "message": "Step 3: it repeats itself."}) + "\n"
        warnings.write_text(line + line)  # a resumed attempt says it again
        until(lambda: any(row.kind == "warning" for row in rows(RunEvent)))
    with transaction() as session:
        service.succeed(
            session,
            lease=lease,
            path="runs/x",
            files=[],
            result={"steps": 9, "warnings": ["Step 3: it repeats itself.", "Step 5: and again."]},
        )
    told = [row.message for row in rows(RunEvent) if row.kind == "warning"]
    assert told == ["Step 3: it repeats itself.", "Step 5: and again."]
    with transaction() as session:
        run = session.get_one(Run, lease.id)
        usage = queries.usage_of(session, run=run, points=1)
        assert len(usage) == 1
        assert usage[0]["rss"] == max(row.values["rss"] for row in rows(RunUsage))
        assert queries.log_tail(session, run=run) == "step 1/9"


def test_what_comes_last_is_told_before_the_attempt_ends(
    lease: service.Lease, tmp_path: Path
) -> None:
    with (
        Child([sys.executable, "-c", "print('the end')"], log=tmp_path / "log.txt") as child,
        Watcher(lease, child.process.pid, log=tmp_path / "log.txt", output=tmp_path, every=600),
    ):
        until(lambda: child.poll() is not None)
    assert [row.tail for row in rows(RunLog)] == ["the end"]


def test_an_attempt_that_lost_its_run_tells_nothing(lease: service.Lease, tmp_path: Path) -> None:
    with transaction() as session:
        service.release(session, lease=lease, reason="Lost.")
    with (
        Child([sys.executable, "-c", BUSY], log=tmp_path / "log.txt") as child,
        Watcher(
            lease, child.process.pid, log=tmp_path / "log.txt", output=tmp_path, every=0.1
        ) as watcher,
    ):
        watcher._thread.join(PATIENCE)
        assert not watcher._thread.is_alive()
    assert rows(RunUsage) == rows(RunLog) == []


def test_what_a_gpu_gives_is_read_of_these_processes_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = {
        "--query-compute-apps": "11, GPU-a, 2000\\n12, GPU-a, 500\\n99, GPU-b, 7000\\n",
        "--query-gpu": "GPU-a, 75, 81920\\nGPU-b, 10, 81920\\n",
    }
    fake = tmp_path / "nvidia-smi"
    cases = "\n".join(f"  {query}=*) printf '{lines}';;" for query, lines in said.items())
    fake.write_text(f'#!/bin/sh\ncase "$1" in\n{cases}\nesac\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found = gpu_usage([11, 12])
    megabyte = 1 << 20
    assert found == {
        "gpu_memory": 2500 * megabyte,
        "gpu": 0.75,
        "gpu_total": 81920 * megabyte,
    }
    assert gpu_usage([5]) == {}
