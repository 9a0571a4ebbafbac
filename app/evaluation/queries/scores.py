"""What a reward model gave the responses of an evaluation, beside what people say of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from app.corpus.models import Prompt, Response
from app.evaluation.models import Evaluation, EvaluationPrompt
from app.evaluation.queries.reading import judgements_of
from app.evaluation.rules.best_of import BestOf, best_of
from app.evaluation.rules.scores import Scored

MOST_REASONS = 5  # that are told apart; an endpoint may have one for each prompt


def scored_prompts(session: Session, *, evaluation: Evaluation) -> list[Scored]:
    """In the order in which they were drawn."""
    said: dict[UUID, list[float]] = {}
    for row in judgements_of(session, evaluation=evaluation):
        said.setdefault(row.task_id, []).append(row.score)
    rows = session.execute(
        select(
            EvaluationPrompt.prompt_id,
            EvaluationPrompt.task_id,
            EvaluationPrompt.a_score,
            EvaluationPrompt.b_score,
        )
        .where(
            EvaluationPrompt.evaluation_id == evaluation.id,
            EvaluationPrompt.a_score.is_not(None),
            EvaluationPrompt.b_score.is_not(None),
        )
        .order_by(EvaluationPrompt.place)
    )
    found = []
    for row in rows:
        votes = said.get(row.task_id, [])
        mean = fmean(votes) if votes else None
        found.append(Scored(row.prompt_id, row.a_score, row.b_score, mean, len(votes)))
    return found


def best_of_of(session: Session, *, evaluation: Evaluation) -> dict[str, list[BestOf]]:
    """By contestant (`a`, `b`), over the prompts that have all of its scores."""
    found = {}
    for side, column in (("a", EvaluationPrompt.a_samples), ("b", EvaluationPrompt.b_samples)):
        samples = session.scalars(
            select(column).where(
                EvaluationPrompt.evaluation_id == evaluation.id, column.is_not(None)
            )
        ).all()
        if full := [scores for scores in samples if scores]:
            found[side] = best_of(full)
    return found


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt with what both wrote."""

    prompt_id: UUID
    task_id: UUID | None
    prompt: str
    a: str
    b: str


def examples(
    session: Session, *, evaluation: Evaluation, prompt_ids: Sequence[UUID]
) -> dict[UUID, Example]:
    a, b = aliased(Response), aliased(Response)
    rows = session.execute(
        select(
            EvaluationPrompt.prompt_id,
            EvaluationPrompt.task_id,
            Prompt.messages,
            a.text.label("a"),
            b.text.label("b"),
        )
        .join(Prompt, Prompt.id == EvaluationPrompt.prompt_id)
        .join(a, a.id == EvaluationPrompt.a_response_id)
        .join(b, b.id == EvaluationPrompt.b_response_id)
        .where(
            EvaluationPrompt.evaluation_id == evaluation.id,
            EvaluationPrompt.prompt_id.in_(prompt_ids),
        )
    )
    return {
        row.prompt_id: Example(row.prompt_id, row.task_id, _last(row.messages), row.a, row.b)
        for row in rows
    }


def first_pairs(session: Session, *, evaluation: Evaluation, most: int) -> list[UUID]:
    """Prompts that both answered, the first ones drawn."""
    return list(
        session.scalars(
            select(EvaluationPrompt.prompt_id)
            .where(
                EvaluationPrompt.evaluation_id == evaluation.id,
                EvaluationPrompt.task_id.is_not(None),
            )
            .order_by(EvaluationPrompt.place)
            .limit(most)
        )
    )


def left_out(session: Session, *, evaluation: Evaluation) -> list[tuple[str, int]]:
    """(why, how many) of the prompts that cannot be judged; of many reasons the commonest."""
    rows = session.execute(
        select(EvaluationPrompt.left_out, func.count())
        .where(
            EvaluationPrompt.evaluation_id == evaluation.id,
            EvaluationPrompt.left_out.is_not(None),
        )
        .group_by(EvaluationPrompt.left_out)
        .order_by(func.count().desc(), EvaluationPrompt.left_out)
    )
    found = [(str(why), number) for why, number in rows]
    rest = sum(number for _, number in found[MOST_REASONS:])
    return found[:MOST_REASONS] + ([("other reasons of an endpoint.", rest)] if rest else [])


def _last(messages: Sequence[Any]) -> str:
    return str(messages[-1]["content"]) if messages else ""
