"""Rounds for tests: what each step made is ended by hand, as a worker would end it."""

from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.corpus.models import Prompt
from app.datasets.models import Snapshot
from app.db import JobState, database_now
from app.evaluation.models import Evaluation, EvaluationPrompt
from app.generation.models import Generation
from app.projects.models import Project
from app.rounds import service
from app.rounds.models import Round, RoundEvent, RoundState
from app.rounds.rules import Step
from app.rounds.schemas import Policy
from app.runs import service as runs
from app.tasks.models import TaskResponse
from tests.factories import make_annotation, make_task
from tests.runs.factories import ROWS

QUICK = {"train": {"kinds": ["sft", "reward", "dpo"]}}


def make_round(
    session: Session, project: Project, by: User, *, policy: dict[str, Any] | None = None
) -> Round:
    """A round of the project, opened by `by` under this policy."""
    if policy is not None:
        service.set_policy(session, project=project, policy=Policy.model_validate(policy), by=by)
    return service.open_round(session, project=project, by=by, now=database_now(session))


def look(session: Session, round_: Round) -> int:
    """Let a worker look until nothing moves; how often it moved."""
    moves = 0
    while service.look(session, round_id=round_.id):
        moves += 1
        assert moves < 20
    session.flush()
    session.refresh(round_)
    return moves


def judge_everything(session: Session, project: Project, *people: User) -> None:
    """Two tasks that all of `people` agree on."""
    for number in range(2):
        task = make_task(session, project, prompt=f"Question {number}?", wanted=len(people))
        for person in people:
            make_annotation(session, task, person, ranks=[1, 2])


def finish_snapshot(session: Session, round_: Round) -> Snapshot:
    snapshot = session.get_one(Snapshot, round_.snapshot_id)
    files = [
        {"path": f"{name}/train.jsonl.gz", "bytes": 1, "sha256": "0" * 64, "rows": rows}
        for name, rows in ROWS.items()
    ]
    _end(session, Snapshot, snapshot.id, path=f"snapshots/{snapshot.id}", files=files)
    session.refresh(snapshot)
    return snapshot


def finish_runs(session: Session, round_: Round, *, but: str = "") -> None:
    """Every training of the round succeeds in turn, but the kind `but`, which fails."""
    for kind in ("sft", "reward", "dpo", "ppo"):
        if kind not in round_.run_ids:
            continue
        lease = runs.start(session, run_id=UUID(round_.run_ids[kind]))
        assert lease is not None
        if kind == but:
            runs.fail(session, lease=lease, error="Out of memory.")
        else:
            runs.succeed(
                session, lease=lease, path=f"runs/{lease.id}/attempt-1", files=[], result={}
            )
    session.expire_all()


def finish_generation(session: Session, round_: Round, *, tasks: int = 3) -> Generation:
    generation = session.get_one(Generation, round_.generation_id)
    _end(session, Generation, generation.id, done=tasks, total=tasks, tasks_opened=tasks)
    session.refresh(generation)
    return generation


def _end(session: Session, table: Any, row_id: UUID, **values: Any) -> None:
    ended = {"state": JobState.SUCCEEDED, "finished_at": func.now()} | values
    session.execute(update(table).where(table.id == row_id).values(ended))
    session.expire_all()


def judge_evaluation(session: Session, round_: Round, *people: User, wins: int) -> Evaluation:
    """Both models have written, and people judge all: the new one wins `wins` prompts."""
    row = session.get_one(Evaluation, round_.evaluation_id)
    project = session.get_one(Project, round_.project_id)
    mine = select(EvaluationPrompt).where(EvaluationPrompt.evaluation_id == row.id)
    drawn = session.scalars(mine.order_by(EvaluationPrompt.place)).all()
    asked = len(drawn)
    for each in drawn:
        prompt = session.get_one(Prompt, each.prompt_id)
        task = make_task(session, project, prompt=prompt, wanted=len(people))
        each.task_id = task.id
        each.a_response_id, each.b_response_id = session.scalars(
            select(TaskResponse.response_id)
            .where(TaskResponse.task_id == task.id)
            .order_by(TaskResponse.position)
        ).all()
        for person in people:
            is_win = each.place * wins % asked < wins  # evenly among the others
            make_annotation(session, task, person, ranks=[1, 2] if is_win else [2, 1])
    _end(session, Evaluation, row.id, opened_at=func.now())
    return row


def make_told_rounds(session: Session, project: Project, by: User) -> Round:
    """Two rounds with all figures, the second of which stands still; it is returned."""

    def share(value: float) -> dict[str, float]:
        return {"value": value, "low": value - 0.1, "high": value + 0.1}

    figures = {
        "judgements": 1207,
        "agreement": share(0.52),
        "cost": {"judgements": 1300, "minutes": 431.5, "total": 1234.5, "currency": "EUR"},
        "accuracy": share(0.68) | {"n": 120},
        "people": {"people": 0.8, "best": 0.86, "votes": 3.0, "model": share(0.64)},
        "training_seconds": 412.0,
        "win": share(0.55) | {"n": 40, "of": "prompts", "by": "people"},
    }
    first = Round(project_id=project.id, number=1, step=Step.PROMOTE, state=RoundState.SUCCEEDED)
    second = Round(project_id=project.id, number=2, step=Step.TRAIN, state=RoundState.FAILED)
    first.finished_at, first.is_promoted = database_now(session), True
    second.error = "“PPO, round 2” failed. " + "w" * 90
    for round_ in (first, second):
        round_.policy = Policy().model_dump(mode="json")
        round_.figures, round_.created_by = figures, by.id
        session.add(round_)
        session.flush()
        for step in (Step.RANK, Step.FREEZE):
            told = {"step": step, "message": f"Done. {'x' * 90}", "user_id": by.id}
            session.add(RoundEvent(round_id=round_.id, kind="done", **told))
    session.flush()
    return second
