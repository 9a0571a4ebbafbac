"""Reads of rounds: the present one, those before, and what a step has to go by."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select, text
from sqlalchemy.orm import Session

from app.accounts.models import User, UserKind
from app.annotation.models import Annotation
from app.corpus.models import Prompt, Response
from app.datasets.models import Snapshot
from app.evaluation import queries as evaluations
from app.generation.models import Generation
from app.jobs import JobName
from app.projects.models import Membership, Project
from app.quality.queries.ledger import LONGEST_LOOK
from app.rounds import rules
from app.rounds.models import Round, RoundEvent, RoundPolicy, RoundState
from app.rounds.rules import Judged, Step
from app.rounds.schemas import Policy
from app.runs import queries as runs
from app.runs.models import Checkpoint, Run, RunKind
from app.tasks.models import Task, TaskKind, TaskResponse

LOOKED_AT = (RoundState.RUNNING, RoundState.FAILED)


def policy_of(session: Session, *, project: Project) -> Policy:
    """How the project's rounds go; the defaults where nobody chose."""
    row = session.get(RoundPolicy, project.id, populate_existing=True)
    return Policy() if row is None else Policy.model_validate(row.values)


def rounds_of(
    session: Session, *, project: Project, before: Round | None = None, limit: int | None = None
) -> Sequence[Round]:
    """The rounds of a project, newest first; `before` is the last one already seen."""
    rounds = select(Round).where(Round.project_id == project.id)
    if before is not None:
        rounds = rounds.where(Round.number < before.number)
    return session.scalars(rounds.order_by(Round.number.desc()).limit(limit)).all()


def round_in(session: Session, *, project_id: UUID, round_id: UUID) -> Round | None:
    return session.scalar(select(Round).where(Round.id == round_id, Round.project_id == project_id))


def last_round(session: Session, *, project: Project) -> Round | None:
    return next(iter(rounds_of(session, project=project, limit=1)), None)


def unfinished_ids(session: Session) -> Sequence[UUID]:
    """Rounds that a worker has to look at, the longest known first."""
    return session.scalars(
        select(Round.id)
        .where(Round.finished_at.is_(None), Round.paused_at.is_(None), Round.state.in_(LOOKED_AT))
        .order_by(Round.created_at, Round.id)
    ).all()


def events_of(session: Session, *, round_: Round) -> list[tuple[RoundEvent, str | None]]:
    """What happened, oldest first, with the name of whoever did it."""
    rows = session.execute(
        select(RoundEvent, User.name)
        .outerjoin(User, User.id == RoundEvent.user_id)
        .where(RoundEvent.round_id == round_.id)
        .order_by(RoundEvent.id)
    ).all()
    return [(event, name) for event, name in rows]


def skipped_steps(session: Session, *, round_: Round) -> set[Step]:
    return set(
        session.scalars(
            select(RoundEvent.step).where(
                RoundEvent.round_id == round_.id, RoundEvent.kind == "skipped"
            )
        )
    )


# -- models -----------------------------------------------------------------------------------


def writer_to_set_out_from(
    session: Session, *, project: Project, newest: bool = False
) -> Checkpoint | None:
    """The promoted model, or the newest one that writes where none is or `newest` is asked for."""
    promoted = None if newest else promoted_writer(session, project=project)
    return promoted or next(iter(runs.writers_of(session, project=project)), None)


def promoted_writer(session: Session, *, project: Project) -> Checkpoint | None:
    """The model that the last promotion chose."""
    return evaluations.promoted(session, project=project)


def newest_reward(session: Session, *, project: Project) -> Checkpoint | None:
    judges = runs.checkpoints_of(session, project=project, kinds=[RunKind.REWARD])
    return next(iter(judges), None)


def runs_of(session: Session, *, round_: Round) -> list[Run]:
    """The trainings of the round in the order in which they were queued."""
    ids = [UUID(run_id) for run_id in round_.run_ids.values()]
    return list(session.scalars(select(Run).where(Run.id.in_(ids)).order_by(Run.created_at)))


def links_of(session: Session, *, round_: Round) -> dict[str, Any]:
    """The rows that the steps of a round made, by name; None for those that are not there."""
    wanted = {
        "former": (Checkpoint, round_.former_checkpoint_id),
        "generation": (Generation, round_.generation_id),
        "snapshot": (Snapshot, round_.snapshot_id),
        "writer": (Checkpoint, round_.writer_checkpoint_id),
        "reward": (Checkpoint, round_.reward_checkpoint_id),
    }
    return {
        name: session.get(kind, row_id) if row_id else None
        for name, (kind, row_id) in wanted.items()
    }


# -- judgements -------------------------------------------------------------------------------


def _generated(round_: Round) -> Select[UUID]:
    """The tasks that the round's generation opened."""
    return (
        select(TaskResponse.task_id)
        .join(Response, Response.id == TaskResponse.response_id)
        .where(
            Response.checkpoint_id == round_.former_checkpoint_id,
            Response.sampling["generation"].astext == str(round_.generation_id),
        )
    )


def _counts(project_id: UUID, since: datetime | None) -> list[Any]:
    conditions: list[Any] = [
        Annotation.project_id == project_id,
        Annotation.is_current,
        Annotation.counted,
        Annotation.source.is_(None),
    ]
    return [*conditions, Annotation.submitted_at > since] if since is not None else conditions


def judged_in(session: Session, *, round_: Round) -> Judged:
    """Judgements that count since the round before, and how many of its tasks are done."""
    number = session.scalars(
        select(func.count()).where(*_counts(round_.project_id, round_.judged_since))
    ).one()
    tasks = select(func.count(), func.count().filter(Task.counted >= Task.wanted)).where(
        Task.project_id == round_.project_id, Task.kind == TaskKind.ORDINARY
    )
    if round_.generation_id is not None:
        tasks = tasks.where(Task.id.in_(_generated(round_)))
    total, done = session.execute(tasks).one()
    return Judged(number, tasks_done=done, tasks=total)


def still_wanted(session: Session, *, round_: Round) -> tuple[Judged, bool, str]:
    """How far the ranking is, whether that is enough, and what is wanted if not."""
    found = judged_in(session, round_=round_)
    alpha = (round_.figures.get("agreement") or {}).get("value")
    judged = Judged(found.judgements, found.tasks_done, found.tasks, agreement=alpha)
    asked = Policy.model_validate(round_.policy).rank
    is_enough, wanted = rules.enough_judged(
        judged, judgements=asked.judgements, min_agreement=asked.min_agreement
    )
    return judged, is_enough, wanted


def waits_for(session: Session, *, round_: Round) -> str:
    """What the round does now, or what it waits for, in a sentence."""
    by_hand = round_.step.value in round_.policy.get("by_hand", [])
    said = rules.wanted(
        round_.step,
        state=round_.state.value,
        is_under_way=round_.is_under_way,
        is_paused=round_.paused_at is not None,
        by_hand=by_hand,
    )
    is_ranking = round_.step is Step.RANK and not round_.is_under_way
    if round_.state is not RoundState.RUNNING or not is_ranking:
        return said
    _, is_enough, wanted = still_wanted(session, round_=round_)
    return said if is_enough else wanted


def tasks_judged_in(round_: Round) -> Select[UUID]:
    """The tasks with a judgement of this round that counts."""
    return select(Annotation.task_id).where(*_counts(round_.project_id, round_.judged_since))


def has_simulated(session: Session, *, project: Project) -> bool:
    """Whether simulated annotators are members, as those of the demo project are."""
    return bool(
        session.scalar(
            select(Membership.user_id)
            .join(User, User.id == Membership.user_id)
            .where(Membership.project_id == project.id, User.kind == UserKind.SIMULATED)
            .limit(1)
        )
    )


def is_simulating(session: Session, *, project: Project) -> bool:
    """Whether they have been asked to judge and are not done."""
    asked = text(
        "SELECT EXISTS (SELECT 1 FROM procrastinate_jobs WHERE task_name = :name"
        " AND status IN ('todo', 'doing') AND args ->> 'project_id' = :project)"
    )
    values = {"name": JobName.SIMULATE.value, "project": str(project.id)}
    return bool(session.scalar(asked, values))


def has_prompts(session: Session, *, project: Project) -> bool:
    return bool(session.scalar(select(Prompt.id).where(Prompt.project_id == project.id).limit(1)))


def work_in(session: Session, *, round_: Round, until: datetime | None) -> tuple[int, int]:
    """(judgements of any kind that people made here, their time in ms) of the round."""
    spent = func.coalesce(
        Annotation.active_ms, Annotation.visible_ms, func.least(Annotation.wall_ms, LONGEST_LOOK)
    )
    is_timed = func.coalesce(
        Annotation.active_ms, Annotation.visible_ms, Annotation.wall_ms
    ).is_not(None)
    work = select(func.count(), func.coalesce(func.sum(spent), 0)).where(
        Annotation.project_id == round_.project_id,
        Annotation.user_id.is_not(None),
        Annotation.revision == 1,
        is_timed,
    )
    if round_.judged_since is not None:
        work = work.where(Annotation.submitted_at > round_.judged_since)
    if until is not None:
        work = work.where(Annotation.submitted_at <= until)
    number, ms = session.execute(work).one()
    return int(number), int(ms)
