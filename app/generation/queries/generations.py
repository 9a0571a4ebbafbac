"""Reads of generations, their writers and what these have written so far."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import distinct, exists, func, or_, select, tuple_
from sqlalchemy.orm import Session

from app.corpus.models import Prompt
from app.db import JobState, JsonObject
from app.generation.models import (
    Endpoint,
    Generation,
    GenerationPrompt,
    PromptState,
    Writer,
    Writing,
)
from app.generation.rules import Turn, turns_of
from app.projects.models import Project
from app.runs.models import Checkpoint


def generation_in(session: Session, *, project_id: UUID, generation_id: UUID) -> Generation | None:
    return session.scalar(
        select(Generation).where(
            Generation.id == generation_id, Generation.project_id == project_id
        )
    )


def generations_of(
    session: Session,
    *,
    project: Project,
    checkpoint: Checkpoint | None = None,
    after: Generation | None = None,
    limit: int = 50,
) -> Sequence[Generation]:
    """The newest first; with `checkpoint`, those in which it writes."""
    generations = select(Generation).where(Generation.project_id == project.id)
    if checkpoint is not None:
        writes = exists().where(
            Writer.generation_id == Generation.id, Writer.checkpoint_id == checkpoint.id
        )
        generations = generations.where(or_(Generation.checkpoint_id == checkpoint.id, writes))
    if after is not None:
        generations = generations.where(
            or_(
                Generation.created_at < after.created_at,
                (Generation.created_at == after.created_at) & (Generation.id < after.id),
            )
        )
    ordered = generations.order_by(Generation.created_at.desc(), Generation.id.desc())
    return session.scalars(ordered.limit(limit)).all()


def writers_of(
    session: Session, *, generations: Sequence[Generation]
) -> dict[UUID, Sequence[Writer]]:
    """The writers of each generation, in their order."""
    found: dict[UUID, list[Writer]] = {each.id: [] for each in generations}
    rows = session.scalars(
        select(Writer).where(Writer.generation_id.in_(found)).order_by(Writer.place)
    )
    for writer in rows:
        found[writer.generation_id].append(writer)
    return dict(found)


def writing_checkpoints(session: Session, *, generation: Generation) -> Sequence[Checkpoint]:
    """Those of its writers that are checkpoints of the project."""
    return session.scalars(
        select(Checkpoint)
        .join(Writer, Writer.checkpoint_id == Checkpoint.id)
        .where(Writer.generation_id == generation.id)
        .order_by(Writer.place)
    ).all()


def is_by_endpoints(session: Session, *, generation: Generation) -> bool:
    """Whether all of it is asked of other servers, and no model is loaded here."""
    if (generation.config.get("select") or {}).get("reward_checkpoint_id"):
        return False
    writers = writers_of(session, generations=[generation])[generation.id]
    return bool(writers) and all(writer.endpoint_id is not None for writer in writers)


def turns_in(writer: Writer) -> list[Turn]:
    return turns_of(n=writer.n, temperatures=writer.temperatures, seed=writer.seed)


# -- endpoints --------------------------------------------------------------------------------


def endpoint_in(session: Session, *, project_id: UUID, called: str) -> Endpoint | None:
    """The endpoint of the project with this id, or one not removed with this name."""
    its = select(Endpoint).where(Endpoint.project_id == project_id)
    try:
        return session.scalar(its.where(Endpoint.id == UUID(called)))
    except ValueError:
        return session.scalar(its.where(Endpoint.name == called, Endpoint.removed_at.is_(None)))


def endpoints_of(session: Session, *, project: Project) -> Sequence[Endpoint]:
    """Those that can be used, by name."""
    return session.scalars(
        select(Endpoint)
        .where(Endpoint.project_id == project.id, Endpoint.removed_at.is_(None))
        .order_by(Endpoint.name)
    ).all()


# -- how far it is ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Progress:
    """Prompts by state, and responses: written, to write, at what pace, with what trouble."""

    prompts: int = 0
    written_to: int = 0  # prompts that all writers have written to
    failed: int = 0
    passed_over: int = 0
    asked: int = 0  # pairs of prompt and turn, the unit of the pace
    answered: int = 0
    responses: int = 0
    empty: int = 0
    refused: int = 0
    errors: int = 0  # pairs of prompt and writer without a response
    per_second: float | None = None  # responses
    seconds_left: float | None = None

    def as_json(self) -> JsonObject:
        return asdict(self)


def progress_of(session: Session, *, generation: Generation) -> Progress:
    states: dict[PromptState, int] = {
        row[0]: row[1]
        for row in session.execute(
            select(GenerationPrompt.state, func.count())
            .where(GenerationPrompt.generation_id == generation.id)
            .group_by(GenerationPrompt.state)
        )
    }
    writers = writers_of(session, generations=[generation])[generation.id]
    asked = sum(states.values()) * sum(len(turns_in(writer)) for writer in writers)
    lately = Writing.written_at >= (generation.started_at or generation.created_at)
    texts = func.coalesce(func.jsonb_array_length(Writing.texts), 0)
    row = session.execute(
        select(
            func.count(),
            func.coalesce(func.sum(texts), 0),
            func.coalesce(func.sum(Writing.empty), 0),
            func.coalesce(func.sum(Writing.refused), 0),
            func.count(distinct(tuple_(Writing.prompt_id, Writing.place))).filter(
                Writing.error.is_not(None)
            ),
            func.count().filter(lately),
            func.coalesce(func.sum(texts).filter(lately), 0),
            func.extract(
                "epoch", func.max(Writing.written_at) - (generation.started_at or func.now())
            ),
        ).where(Writing.generation_id == generation.id)
    ).one()
    answered, responses, empty, refused, errors, now, now_responses, seconds = row
    going = generation.state is JobState.RUNNING and now and seconds and seconds > 0
    return Progress(
        prompts=sum(states.values()),
        written_to=sum(n for state, n in states.items() if state is not PromptState.WAITING),
        failed=states.get(PromptState.FAILED, 0),
        passed_over=states.get(PromptState.PASSED_OVER, 0),
        asked=asked,
        answered=answered,
        responses=int(responses),
        empty=int(empty),
        refused=int(refused),
        errors=errors,
        per_second=round(float(now_responses) / float(seconds), 3) if going else None,
        seconds_left=round((asked - answered) * float(seconds) / now, 1) if going else None,
    )


def samples_of(session: Session, *, generation: Generation, limit: int = 6) -> list[JsonObject]:
    """The prompts written to last, with what each writer wrote; whoever judges never sees this."""
    last = (
        select(Writing.prompt_id, func.max(Writing.written_at).label("at"))
        .where(Writing.generation_id == generation.id, Writing.error.is_(None))
        .group_by(Writing.prompt_id)
        .order_by(func.max(Writing.written_at).desc(), Writing.prompt_id)
        .limit(limit)
        .subquery()
    )
    rows = session.execute(
        select(
            Prompt.id, Prompt.messages, Writing.texts, Writer.name, Writer.place, GenerationPrompt
        )
        .join(last, last.c.prompt_id == Prompt.id)
        .join(
            Writing,
            (Writing.prompt_id == Prompt.id) & (Writing.generation_id == generation.id),
        )
        .join(
            Writer,
            (Writer.generation_id == Writing.generation_id) & (Writer.place == Writing.place),
        )
        .join(
            GenerationPrompt,
            (GenerationPrompt.prompt_id == Prompt.id)
            & (GenerationPrompt.generation_id == generation.id),
        )
        .order_by(last.c.at.desc(), Prompt.id, Writing.place, Writing.turn)
    )
    found: dict[UUID, JsonObject] = {}
    for row in rows:
        chosen: GenerationPrompt = row.GenerationPrompt
        its = found.setdefault(
            row.id,
            {
                "prompt_id": row.id,
                "prompt": str(row.messages[-1].get("content", "")) if row.messages else "",
                "state": chosen.state.value,
                "score": chosen.score or {},
                "responses": [],
            },
        )
        its["responses"] += [{"writer": row.name, "place": row.place, **text} for text in row.texts]
    return list(found.values())


def problems_of(session: Session, *, generation: Generation, limit: int = 20) -> list[Any]:
    """Prompts that a writer could not answer, with the reason."""
    rows = session.execute(
        select(Prompt.id, Prompt.messages, Writer.name, func.min(Writing.error).label("error"))
        .join(Writing, Writing.prompt_id == Prompt.id)
        .join(
            Writer,
            (Writer.generation_id == Writing.generation_id) & (Writer.place == Writing.place),
        )
        .where(Writing.generation_id == generation.id, Writing.error.is_not(None))
        .group_by(Prompt.id, Writer.place, Writer.name)
        .order_by(func.min(Writing.written_at), Prompt.id)
        .limit(limit)
    )
    return [
        {
            "prompt_id": row.id,
            "prompt": str(row.messages[-1].get("content", "")) if row.messages else "",
            "writer": row.name,
            "error": row.error,
        }
        for row in rows
    ]
