"""A simulated crowd: careful people of varied skill, and some with a planted fault."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert
from sqlalchemy.orm import Session

from app.accounts.models import Role, User
from app.annotation.models import Annotation
from app.corpus.models import Prompt, Response
from app.db import Base
from app.projects.models import Project, Standing
from app.quality.rules.judgements import Judgements
from app.tasks.models import Assignment, AssignmentState, Task, TaskKind, TaskResponse
from app.tasks.rules import standing
from tests.factories import make_member, make_user

DAY, HOUR = 86_400, 3_600
MONDAY = 1_772_409_600.0  # 2026-03-02, a Monday
GOLD = 25  # questions per person
WORKDAYS = 20


class Kind(StrEnum):
    """Who a simulated person is."""

    GOOD = "careful, of varied skill"
    SPAMMER = "spammer: throws a coin"
    LEFT = "left-clicker"
    LONGER = "longer wins"
    MINORITY = "careful minority"
    TIRED = "tired afternoon"
    FALLEN = "careless since week three"
    FAST = "too fast"
    TIES = "always a tie"


GOLD_ACCURACY = {
    Kind.SPAMMER: 0.5,
    Kind.LEFT: 0.5,
    Kind.LONGER: 0.55,
    Kind.MINORITY: 0.95,
    Kind.TIRED: 0.85,
    Kind.FALLEN: 0.82,
    Kind.FAST: 0.85,
    Kind.TIES: 0.15,
}


@dataclass(frozen=True, slots=True)
class SimulatedCrowd:
    """kinds: by annotator code; gold: (seen, passed) of each."""

    judgements: Judgements
    kinds: Sequence[Kind]
    gold: Sequence[tuple[int, int]]


def crowd(
    kinds: Sequence[Kind], *, seed: int, tasks: int = 1_200, votes: int = 3, repeats: float = 0.04
) -> SimulatedCrowd:
    """Pairs judged by `votes` people each, some twice by the same person with other sides."""
    chance = np.random.default_rng(seed)
    people = len(kinds)
    who = np.argsort(chance.random((tasks, people)), axis=1)[:, :votes]
    task = np.repeat(np.arange(tasks), votes)
    annotator = who.ravel().astype(np.int64)
    again = np.flatnonzero(chance.random(len(task)) < repeats)
    task = np.concatenate([task, task[again]])
    annotator = np.concatenate([annotator, annotator[again]])
    repeat = np.arange(len(task)) >= tasks * votes
    order = np.argsort(task, kind="stable")
    task, annotator, repeat = task[order], annotator[order], repeat[order]
    kind = np.array([list(Kind).index(each) for each in kinds])[annotator]

    lengths = np.round(np.exp(chance.normal(6.2, 0.5, (tasks, 2)))).astype(np.int64) + 20
    log_ratio = np.log(lengths[:, 0] / lengths[:, 1])
    better = chance.normal(size=tasks) + 0.4 * log_ratio  # the longer is a little better indeed
    otherwise = chance.normal(size=tasks)  # what only the minority looks at
    first = np.where(chance.random(len(task)) < 0.5, 0, 1)  # which response is shown first
    moments = _moments(chance, annotator, people)
    clock = moments % DAY / HOUR

    noise = chance.uniform(0.3, 0.8, people)
    threshold = chance.uniform(0.05, 0.25, people)
    seen = better[task] + noise[annotator] * chance.normal(size=len(task))
    sign = np.where(np.abs(seen) < threshold[annotator], 0, np.sign(seen)).astype(np.int64)
    coin = np.where(chance.random(len(task)) < 0.5, 1, -1)
    left = np.where(first == 0, 1, -1)
    longer = np.where(lengths[task, 0] >= lengths[task, 1], 1, -1)

    def some(which: Kind, share: float) -> NDArray[np.bool_]:
        return (kind == list(Kind).index(which)) & (chance.random(len(task)) < share)

    sign = np.where(some(Kind.SPAMMER, 1), np.where(chance.random(len(task)) < 0.1, 0, coin), sign)
    sign = np.where(some(Kind.LEFT, 0.85), left, sign)
    sign = np.where(some(Kind.LONGER, 0.85), longer, sign)
    mine = otherwise[task] + 0.3 * chance.normal(size=len(task)) + 0.3 * better[task]
    sign = np.where(some(Kind.MINORITY, 1), np.sign(mine).astype(np.int64), sign)
    sign = np.where(some(Kind.TIRED, 0.85) & (clock > 14), coin, sign)
    late = moments > MONDAY + 14 * DAY
    sign = np.where(some(Kind.FALLEN, 0.85) & late, coin, sign)
    sign = np.where(some(Kind.TIES, 0.8), 0, sign)

    total = lengths.sum(axis=1).astype(np.float64)
    reading = total[task] / chance.uniform(8, 18, people)[annotator]
    seconds = 4 + reading * np.exp(chance.normal(0, 0.35, len(task)))
    hurried = some(Kind.FAST, 0.9)
    seconds = np.where(hurried, chance.uniform(1.5, 6, len(task)), seconds)
    accuracy = [GOLD_ACCURACY.get(each, chance.uniform(0.86, 0.98)) for each in kinds]
    return SimulatedCrowd(
        Judgements(
            task=task,
            annotator=annotator,
            ranks=np.stack([np.where(sign < 0, 2, 1), np.where(sign > 0, 2, 1)], axis=1).astype(
                np.int16
            ),
            display=np.stack([first, 1 - first], axis=1).astype(np.int16),
            lengths=lengths[task],
            strength=np.full(len(task), np.nan),
            seconds=seconds,
            submitted=moments,
            repeat=repeat,
            version=np.ones(len(task), np.int64),
            characters=total[task],
        ),
        kinds,
        [(GOLD, int(chance.binomial(GOLD, share))) for share in accuracy],
    )


def store(session: Session, project: Project, found: SimulatedCrowd) -> list[User]:
    """The crowd in a project of the database, one user per person, named after what she is."""
    judgements = found.judgements
    users = [
        make_user(session, f"{kind.name.title()} {code}") for code, kind in enumerate(found.kinds)
    ]
    for user, (seen, passed) in zip(users, found.gold, strict=True):
        verdict = standing(seen=seen, passed=passed, threshold=project.gold_threshold)
        make_member(
            session, project, user, Role.ANNOTATOR,
            gold_seen=seen, gold_passed=passed, standing=Standing(verdict),
        )  # fmt: skip
    tasks, first = np.unique(judgements.task, return_index=True)
    counted = np.bincount(judgements.task, weights=~judgements.repeat)
    rows: dict[type[Base], list[dict[str, Any]]] = {
        model: [] for model in (Prompt, Response, Task, TaskResponse, Assignment, Annotation)
    }
    ids = {int(task): uuid4() for task in tasks}
    for task, row in zip(tasks.tolist(), first.tolist(), strict=True):
        prompt = uuid4()
        rows[Prompt].append(
            {
                "id": prompt,
                "project_id": project.id,
                "content_hash": prompt.bytes * 2,
                "messages": [
                    {"role": "user", "content": f"Question {task}: which way is shorter?"}
                ],
            }
        )
        rows[Task].append(
            {
                "id": ids[task],
                "project_id": project.id,
                "prompt_id": prompt,
                "identity": prompt.bytes * 2,
                "kind": TaskKind.ORDINARY,
                "wanted": int(counted[task]),
                "counted": int(counted[task]),
            }
        )
        for position in range(2):
            response = uuid4()
            length = int(judgements.lengths[row, position])
            rows[Response].append(
                {
                    "id": response,
                    "prompt_id": prompt,
                    "content_hash": response.bytes * 2,
                    "text": ("a few words " * (length // 12 + 1))[:length],
                }
            )
            rows[TaskResponse].append(
                {"task_id": ids[task], "position": position, "response_id": response}
            )
    for row in range(len(judgements)):
        at = datetime.fromtimestamp(float(judgements.submitted[row]), UTC)
        given = {
            "id": uuid4(),
            "project_id": project.id,
            "task_id": ids[int(judgements.task[row])],
            "user_id": users[int(judgements.annotator[row])].id,
            "is_repeat": bool(judgements.repeat[row]),
        }
        order = np.argsort(judgements.display[row]).tolist()
        rows[Assignment].append(
            given | {"state": AssignmentState.SUBMITTED, "display_order": order, "finished_at": at}
        )
        rows[Annotation].append(
            given
            | {
                "assignment_id": given["id"],
                "guidelines_version": 1,
                "counted": not given["is_repeat"],
                "ranks": judgements.ranks[row].tolist(),
                "active_ms": int(1000 * judgements.seconds[row]),
                "submitted_at": at,
            }
        )
    for model, values in rows.items():
        session.execute(insert(model), values)
    session.flush()
    return users


def _moments(
    chance: np.random.Generator, annotator: NDArray[np.int64], people: int
) -> NDArray[np.float64]:
    """Workdays from nine to five or so, in four weeks, each person at her own hours."""
    n = len(annotator)
    begins = chance.uniform(7, 10, people)[annotator]
    day = chance.integers(0, WORKDAYS, n)
    calendar = day + 2 * (day // 5)  # no weekends
    within: NDArray[np.float64] = begins + 8 * chance.random(n)
    return MONDAY + calendar * DAY + within * HOUR
