"""A project to judge, the people who will, in processes of their own, and the verdict after."""

import multiprocessing
import multiprocessing.synchronize
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from app.accounts import service as accounts
from app.accounts.models import Role
from app.db import database_now, transaction
from tests.factories import make_many_tasks, make_member, make_project, make_user
from tests.history import journal
from tests.history.checker import Violation, check
from tests.history.events import FAIL, OK, UNKNOWN, Call, Recorder, read_calls
from tests.history.people import Habits, Person
from tests.setup.processes import wait_until

Tally = Any  # of multiprocessing, which has no type of its own for it


@dataclass(frozen=True, slots=True)
class Work:
    """A project and who may work in it: (user id, token) of each person."""

    project_id: UUID
    boss_id: UUID
    people: list[tuple[str, str]]


@dataclass
class Crowd:
    """Processes full of people; `tally` counts new judgements, `goal` is when they stop."""

    processes: Sequence[multiprocessing.process.BaseProcess]
    tally: Tally
    ends: multiprocessing.synchronize.Event

    @property
    def judged(self) -> int:
        return int(self.tally.value)

    def stop(self, *, seconds: float) -> None:
        self.ends.set()
        for process in self.processes:
            process.join(seconds)

    def kill(self) -> None:
        for process in self.processes:
            if process.is_alive():
                process.kill()


def make_work(engine: Engine, *, people: int, tasks: int, wanted: int) -> Work:
    """Everything before the first claim; from here on the database keeps a journal."""
    with transaction() as session:
        boss = make_user(session, f"Boss {uuid4()}")
        project = make_project(
            session, f"History {uuid4()}", by=boss, overlap_min=wanted, overlap_max=wanted
        )
        make_member(session, project, boss, Role.ADMIN)
        make_many_tasks(session, project, count=tasks, wanted=wanted)
        made, now = [], database_now(session)
        for number in range(people):
            user = make_user(session, f"Person {number} {uuid4()}")
            make_member(session, project, user, Role.ANNOTATOR)
            token = accounts.create_token(session, user=user, name="history", now=now)
            made.append((str(user.id), token))
        work = Work(project.id, boss.id, made)
    with engine.connect() as connection:
        journal.install(connection)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    return work


def set_to_work(
    work: Work,
    *,
    ports: Sequence[int],
    folder: Path,
    goal: int,
    processes: int = 2,
    habits: Habits | None = None,
) -> Crowd:
    """Let them begin; each process writes what its people did into a file in `folder`."""
    context = multiprocessing.get_context("spawn")
    tally, ends = context.Value("i", 0), context.Event()
    started = []
    for number in range(processes):
        arguments = (
            work.people[number::processes],
            str(work.project_id),
            list(ports),
            folder / f"people-{number}.jsonl",
            goal,
            habits or Habits(),
            tally,
            ends,
        )
        process = context.Process(target=_work, args=arguments, daemon=True)
        process.start()
        started.append(process)
    return Crowd(started, tally, ends)


def _work(
    people: Sequence[tuple[str, str]],
    project_id: str,
    ports: Sequence[int],
    path: Path,
    goal: int,
    habits: Habits,
    tally: Tally,
    ends: multiprocessing.synchronize.Event,
) -> None:
    recorder = Recorder(path)

    def judged() -> None:
        with tally.get_lock():
            tally.value += 1

    def enough() -> bool:
        return tally.value >= goal or ends.is_set()

    crowd = [
        Person(user_id, token, project_id, ports, recorder, enough, judged, habits)
        for user_id, token in people
    ]
    for person in crowd:
        person.start()
    for person in crowd:
        person.join()
    recorder.close()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of it."""

    violations: list[Violation]
    calls: list[Call]
    state: journal.State

    def figures(self) -> dict[str, Any]:
        submits = [call for call in self.calls if call.op == "submit"]
        took = [
            (call.ended - call.sent) * 1000
            for call in submits
            if call.outcome == OK and call.status == 201
        ]
        cuts = quantiles(took, n=100) if len(took) > 1 else [0.0] * 99
        sent = Counter((call.person, call.key) for call in submits)
        refused = Counter(call.status for call in self.calls if call.outcome == FAIL)
        return {
            "judgements": len({each["assignment_id"] for each in self.state.annotations}),
            "revisions": sum(each["revision"] > 1 for each in self.state.annotations),
            "requests": len(self.calls),
            "without an answer": sum(call.outcome == UNKNOWN for call in self.calls),
            "sent again": sum(number - 1 for number in sent.values()),
            "answered as before": sum(call.status == 200 for call in submits),
            "refused": dict(sorted(refused.items())),
            "changes in the journal": len(self.state.journal),
            "leases run out": sum(
                change.kind == "assignment"
                and (change.after or {}).get("state") == "expired"
                and (change.before or {}).get("state") == "open"
                for change in self.state.journal
            ),
            "surplus": sum(
                not each["counted"] and each["is_current"] for each in self.state.annotations
            ),
            "submit p50 ms": round(cuts[49], 1),
            "submit p95 ms": round(cuts[94], 1),
            "violations": len(self.violations),
        }


def judge_history(engine: Engine, work: Work, folder: Path) -> Verdict:
    """Read what everybody wrote down and what the database has, and look for contradictions."""
    wait_until(lambda: _answers(engine), seconds=120)
    with engine.connect() as connection:
        state = journal.read_state(connection, project_id=work.project_id)
    calls = read_calls(folder)
    return Verdict(check(calls, state), calls, state)


def _answers(engine: Engine) -> bool:
    """Whether the database does; it may just be recovering."""
    with suppress(DBAPIError), engine.connect() as connection:
        return connection.scalar(text("SELECT 1")) == 1
    return False
