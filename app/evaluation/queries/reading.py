"""Evaluations, and what people's judgements say of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Float, cast, extract, func, or_, select
from sqlalchemy.orm import Session, aliased

from app.accounts.models import User, UserKind
from app.annotation.models import Annotation
from app.corpus.models import Prompt, Response
from app.errors import found
from app.evaluation.models import Evaluation, EvaluationPrompt
from app.evaluation.rules.sequence import ALPHA
from app.evaluation.rules.standing import Names, Standing, standing
from app.generation.models import Endpoint
from app.projects.models import Project
from app.projects.queries import guidelines_of, tasks_shown
from app.runs.models import Checkpoint
from app.tasks.models import Task, TaskKind, TaskResponse

IN_THE_DATA = "the best in the data"

Contestant = Checkpoint | Endpoint


@dataclass(frozen=True, slots=True)
class Verdict:
    """What people say of A against B, for whoever acts on it.

    low, high hold however often somebody looks, so that a rule may act on them at any time; None
    before anything is judged. decided: people need not be asked any more. prefers: `a` or `b` once
    they surely do, else None: also where it is decided that they are equally good.
    """

    win_rate: float | None
    low: float | None
    high: float | None
    prompts: int
    decided: bool
    prefers: str | None


def evaluation_in(session: Session, *, project_id: UUID, evaluation_id: UUID) -> Evaluation | None:
    return session.scalar(
        select(Evaluation).where(
            Evaluation.id == evaluation_id, Evaluation.project_id == project_id
        )
    )


def evaluations_of(
    session: Session,
    *,
    project: Project,
    after: Evaluation | None = None,
    checkpoint: Checkpoint | None = None,
    limit: int | None = None,
) -> Sequence[Evaluation]:
    """Newest first; `after` is the last one already seen, `checkpoint` took part."""
    found = select(Evaluation).where(Evaluation.project_id == project.id)
    if checkpoint is not None:
        found = found.where(
            or_(
                Evaluation.a_checkpoint_id == checkpoint.id,
                Evaluation.b_checkpoint_id == checkpoint.id,
            )
        )
    if after is not None:
        found = found.where(
            or_(
                Evaluation.created_at < after.created_at,
                (Evaluation.created_at == after.created_at) & (Evaluation.id < after.id),
            )
        )
    ordered = found.order_by(Evaluation.created_at.desc(), Evaluation.id.desc())
    return session.scalars(ordered.limit(limit)).all()


def being_judged(session: Session) -> Sequence[Evaluation]:
    """Those of all projects that people are asked about, by id."""
    return session.scalars(
        select(Evaluation)
        .where(Evaluation.opened_at.is_not(None), Evaluation.closed_at.is_(None))
        .order_by(Evaluation.id)
    ).all()


def closed_lately(session: Session) -> Sequence[Evaluation]:
    """Closed within two days: what people held then has been handed in or given back by now."""
    return session.scalars(
        select(Evaluation)
        .where(Evaluation.closed_at > func.now() - timedelta(days=2))
        .order_by(Evaluation.id)
    ).all()


def contestants_of(
    session: Session, *, evaluation: Evaluation
) -> tuple[Contestant, Contestant | None]:
    """A and B; None where B is the best in the data."""

    def found(checkpoint_id: UUID | None, endpoint_id: UUID | None) -> Contestant | None:
        if endpoint_id is not None:
            return session.get_one(Endpoint, endpoint_id)
        return session.get_one(Checkpoint, checkpoint_id) if checkpoint_id else None

    a = found(evaluation.a_checkpoint_id, evaluation.a_endpoint_id)
    assert a is not None  # the database sees to it
    return a, found(evaluation.b_checkpoint_id, evaluation.b_endpoint_id)


def names_of(session: Session, *, evaluation: Evaluation) -> Names:
    """The contestants' names; of two that are called the same, with the letters A and B."""
    is_simulated = is_judged_by_simulated(session, evaluation=evaluation)
    judges = "The simulated annotators" if is_simulated else "People"
    a, b = contestants_of(session, evaluation=evaluation)
    if b is None:
        return Names(a.name, IN_THE_DATA, judges)
    if a.name == b.name:
        return Names(f"{a.name} (A)", f"{b.name} (B)", judges)
    return Names(a.name, b.name, judges)


def is_by_endpoints(evaluation: Evaluation) -> bool:
    """Whether all that it needs is asked of other servers, and no model is loaded here."""
    ids = (evaluation.a_checkpoint_id, evaluation.b_checkpoint_id, evaluation.reward_checkpoint_id)
    return not any(ids)


def is_judged_by_simulated(session: Session, *, evaluation: Evaluation) -> bool:
    """Whether nobody but simulated annotators has judged it: then no figure is called people's."""
    judges = select(User.kind).where(
        User.id.in_(
            select(Annotation.user_id).where(
                Annotation.task_id.in_(tasks_of(session, evaluation=evaluation)),
                Annotation.is_current,
            )
        )
    )
    return set(session.scalars(judges.distinct())) == {UserKind.SIMULATED}


def tasks_of(session: Session, *, evaluation: Evaluation) -> Sequence[UUID]:
    return session.scalars(
        select(EvaluationPrompt.task_id)
        .where(
            EvaluationPrompt.evaluation_id == evaluation.id, EvaluationPrompt.task_id.is_not(None)
        )
        .order_by(EvaluationPrompt.task_id)
    ).all()  # type: ignore[return-value]


def tasks_of_it_alone(session: Session, *, evaluation: Evaluation) -> Sequence[UUID]:
    """Its tasks but for those that people are asked about for another comparison as well."""
    elsewhere = (
        select(EvaluationPrompt.task_id)
        .join(Evaluation, Evaluation.id == EvaluationPrompt.evaluation_id)
        .where(
            Evaluation.id != evaluation.id,
            Evaluation.project_id == evaluation.project_id,
            Evaluation.opened_at.is_not(None),
            Evaluation.closed_at.is_(None),
        )
    )
    shared = set(session.scalars(elsewhere))
    return [each for each in tasks_of(session, evaluation=evaluation) if each not in shared]


def judgements_asked(evaluation: Evaluation) -> int:
    """Of each prompt."""
    return int(evaluation.config["judgements"])


def standing_of(session: Session, *, evaluation: Evaluation) -> Standing:
    """People's current judgements of the evaluation's tasks, and what follows from them.

    A prompt that became an example of the guidelines before all had judged it is left out.
    """
    project = session.get_one(Project, evaluation.project_id)
    guidelines = found(guidelines_of(session, project=project))
    told = tasks_shown(guidelines.examples)
    asked = judgements_asked(evaluation)
    mine = EvaluationPrompt.evaluation_id == evaluation.id
    a, b = aliased(Response), aliased(Response)
    longer = func.char_length(a.text) - func.char_length(b.text)
    rows = session.execute(
        select(EvaluationPrompt.task_id, Prompt.tags, longer.label("longer"))
        .join(Prompt, Prompt.id == EvaluationPrompt.prompt_id)
        .join(Task, Task.id == EvaluationPrompt.task_id)
        .join(a, a.id == EvaluationPrompt.a_response_id)
        .join(b, b.id == EvaluationPrompt.b_response_id)
        .where(mine, Task.kind == TaskKind.ORDINARY)
        .order_by(EvaluationPrompt.place)
    )
    prompts = list(rows)
    said: dict[UUID, list[tuple[float, float]]] = {row.task_id: [] for row in prompts}
    judges = set()
    for row in judgements_of(session, evaluation=evaluation):
        said[row.task_id].append((row.at, row.score))
        judges.add(row.user_id)
    prompts = [row for row in prompts if row.task_id not in told or len(said[row.task_id]) >= asked]
    equal = session.scalars(
        select(func.count()).select_from(EvaluationPrompt).where(mine, EvaluationPrompt.is_equal)
    ).one()
    return standing(
        [said[row.task_id] for row in prompts],
        [(tuple(row.tags), float(row.longer)) for row in prompts],
        equal=equal,
        judgements=asked,
        judges=len(judges),
        alpha=ALPHA,
        margin=float(evaluation.config["margin"]),
    )


def judgements_of(session: Session, *, evaluation: Evaluation) -> Iterable[Any]:
    """(task, person, seconds, 1 · ½ · 0 for A) of each current judgement that counts, by time."""
    place_a, place_b = aliased(TaskResponse), aliased(TaskResponse)
    rank_a, rank_b = Annotation.ranks[place_a.position + 1], Annotation.ranks[place_b.position + 1]
    score = (1 + cast(func.sign(rank_b - rank_a), Float)) / 2
    at = cast(extract("epoch", Annotation.submitted_at), Float)
    return session.execute(
        select(Task.id.label("task_id"), Annotation.user_id, at.label("at"), score.label("score"))
        .select_from(EvaluationPrompt)
        .join(Task, Task.id == EvaluationPrompt.task_id)
        .join(Annotation, Annotation.task_id == Task.id)
        .join(
            place_a,
            (place_a.task_id == Task.id) & (place_a.response_id == EvaluationPrompt.a_response_id),
        )
        .join(
            place_b,
            (place_b.task_id == Task.id) & (place_b.response_id == EvaluationPrompt.b_response_id),
        )
        .where(
            EvaluationPrompt.evaluation_id == evaluation.id,
            Task.kind == TaskKind.ORDINARY,
            Annotation.is_current.is_(True),
            Annotation.counted.is_(True),
            Annotation.source.is_(None),
        )
        .order_by(Annotation.submitted_at, Annotation.id)
    )


def verdict(session: Session, *, evaluation: Evaluation) -> Verdict:
    """How the evaluation stands now."""
    return verdict_from(standing_of(session, evaluation=evaluation))


def verdict_from(found: Standing) -> Verdict:
    is_known = found.judged > 0 or (found.equal > 0 and found.equal == found.prompts)
    return Verdict(
        win_rate=found.win_rate.value,
        low=found.low if is_known else None,
        high=found.high if is_known else None,
        prompts=found.judged + found.equal,
        decided=found.decided,
        prefers={1: "a", -1: "b", 0: None}[found.prefers] if found.decided else None,
    )
