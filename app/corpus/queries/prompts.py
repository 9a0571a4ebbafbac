"""Reads of prompts and responses."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Text, cast, column, func, select, table
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.corpus.models import Prompt, Response
from app.projects.models import Project

# Judgements stand right of the corpus: the page of a prompt reads them by the tables' names.
TASK_RESPONSE = table("task_response", *map(column, ("task_id", "position", "response_id")))
ANNOTATION = table(
    "annotation",
    *map(column, ("task_id", "user_id", "source", "ranks", "rationale", "submitted_at")),
    column("is_current"),
)
USER = table("user", column("id"), column("name"))


def by_lot(content_hash: InstrumentedAttribute[bytes], seed: int) -> ColumnElement[str]:
    """An order drawn by the seed, the same wherever the data was imported: ids have no part."""
    drawn: ColumnElement[str] = func.md5(func.concat(func.encode(content_hash, "hex"), str(seed)))
    return drawn


@dataclass(frozen=True, slots=True)
class ListedPrompt:
    prompt: Prompt
    responses: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """Somebody's order of some responses of a prompt: response ids with their ranks."""

    by: str
    is_person: bool
    ranks: dict[UUID, int]
    rationale: str | None
    submitted_at: datetime

    def order(self, responses: Sequence[Response]) -> str:
        """The judgement in the numbers that the responses have in this sequence: `2 > 1 = 3`."""
        groups: dict[int, list[str]] = {}
        for number, response in enumerate(responses, 1):
            if response.id in self.ranks:
                groups.setdefault(self.ranks[response.id], []).append(str(number))
        return " > ".join(" = ".join(group) for _, group in sorted(groups.items()))


def _matching(project: Project, *, search: str, brought_by: UUID | None) -> Select[Prompt]:
    prompts = select(Prompt).where(Prompt.project_id == project.id)
    if brought_by is not None:
        prompts = prompts.where(Prompt.import_id == brought_by)
    if search:
        prompts = prompts.where(
            cast(Prompt.messages, Text).icontains(search, autoescape=True)
            | (Prompt.external_id == search)
            | Prompt.tags.contains([search])
            | (Prompt.source == search)
        )
    return prompts


def prompts_of(
    session: Session,
    *,
    project: Project,
    search: str = "",
    brought_by: UUID | None = None,
    after: bytes | None = None,
    limit: int = 50,
) -> list[ListedPrompt]:
    """Prompts by content hash, which an index keeps in order; `after` is the last seen.

    With `brought_by` those that this import brought.
    """
    prompts = (
        _matching(project, search=search, brought_by=brought_by)
        .order_by(Prompt.content_hash)
        .limit(limit)
    )
    if after is not None:
        prompts = prompts.where(Prompt.content_hash > after)
    responses = (
        select(func.count())
        .where(Response.prompt_id == Prompt.id)
        .correlate(Prompt)
        .scalar_subquery()
    )
    rows = session.execute(prompts.add_columns(responses))
    return [ListedPrompt(prompt, count) for prompt, count in rows]


def count_prompts(
    session: Session, *, project: Project, search: str = "", brought_by: UUID | None = None
) -> int:
    matching = _matching(project, search=search, brought_by=brought_by).subquery()
    return session.scalars(select(func.count()).select_from(matching)).one()


def prompt_by_id(session: Session, *, project: Project, prompt_id: UUID) -> Prompt | None:
    return session.scalars(
        select(Prompt).where(Prompt.project_id == project.id, Prompt.id == prompt_id)
    ).one_or_none()


def responses_of(session: Session, *, prompt: Prompt) -> Sequence[Response]:
    return session.scalars(
        select(Response)
        .where(Response.prompt_id == prompt.id)
        .order_by(Response.created_at, Response.content_hash)
    ).all()


def judgements_of(
    session: Session, *, responses: Sequence[Response], limit: int = 200
) -> list[Judgement]:
    """Current judgements of tasks with these responses, newest first."""
    ids = [response.id for response in responses]
    placed: dict[UUID, list[UUID]] = {}
    for task_id, response_id in session.execute(
        select(TASK_RESPONSE.c.task_id, TASK_RESPONSE.c.response_id)
        .where(TASK_RESPONSE.c.response_id.in_(ids))
        .order_by(TASK_RESPONSE.c.task_id, TASK_RESPONSE.c.position)
    ):
        placed.setdefault(task_id, []).append(response_id)
    rows = session.execute(
        select(ANNOTATION, USER.c.name)
        .outerjoin(USER, USER.c.id == ANNOTATION.c.user_id)
        .where(ANNOTATION.c.task_id.in_(placed), ANNOTATION.c.is_current)
        .order_by(ANNOTATION.c.submitted_at.desc())
        .limit(limit)
    )
    return [
        Judgement(
            by=row.name or row.source,
            is_person=row.source is None,
            ranks=dict(zip(placed[row.task_id], row.ranks, strict=True)),
            rationale=row.rationale,
            submitted_at=row.submitted_at,
        )
        for row in rows
    ]
