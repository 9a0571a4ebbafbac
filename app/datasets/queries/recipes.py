"""Reads for recipes: what they can ask for, what is flagged, and which snapshots are alike."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Text, cast, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Session

from app.annotation.models import Annotation
from app.corpus.models import Prompt, Response
from app.datasets.models import Snapshot
from app.datasets.queries.choices import SHOWN
from app.projects.models import Project
from app.tasks.models import Task, TaskKind, TaskResponse


@dataclass(frozen=True, slots=True)
class Offered:
    """What a recipe can ask of prompts, the commonest first."""

    sources: Sequence[str]
    tags: Sequence[str]
    languages: Sequence[str]


def offered(session: Session, *, project: Project, looked_at: int = 2_000) -> Offered:
    """The sources, tags and languages among so many prompts, which are as good as drawn."""
    rows = session.execute(
        select(Prompt.source, Prompt.tags, Prompt.language)
        .where(Prompt.project_id == project.id)
        .order_by(Prompt.content_hash)
        .limit(looked_at)
    ).all()
    return Offered(
        sources=_commonest(row.source for row in rows),
        tags=_commonest(tag for row in rows for tag in row.tags),
        languages=_commonest(row.language for row in rows),
    )


def _commonest(words: Iterable[str | None], most: int = SHOWN) -> list[str]:
    counted = Counter(word for word in words if word)
    return sorted(counted, key=lambda word: (-counted[word], word))[:most]


def last_licence(session: Session, *, project: Project) -> str:
    """What the last snapshot of the project said of its licence; empty where it said nothing."""
    recipe = session.scalar(
        select(Snapshot.recipe)
        .where(Snapshot.project_id == project.id)
        .order_by(Snapshot.created_at.desc(), Snapshot.id.desc())
        .limit(1)
    )
    return str((recipe or {}).get("license") or "")


def number_of_open_tasks(session: Session, *, project: Project) -> int:
    """Ordinary tasks that still wait for judgements."""
    statement = select(func.count()).where(
        Task.project_id == project.id,
        Task.kind == TaskKind.ORDINARY,
        Task.leased + Task.counted < Task.wanted,
    )
    return session.scalar(statement) or 0


def prompts_of(session: Session, *, snapshot_id: UUID) -> int:
    """Prompts of the project of a snapshot."""
    statement = (
        select(func.count())
        .select_from(Prompt)
        .join(Snapshot, Snapshot.project_id == Prompt.project_id)
        .where(Snapshot.id == snapshot_id)
    )
    return session.scalar(statement) or 0


def twins_of(session: Session, *, snapshots: Sequence[Snapshot]) -> dict[UUID, Snapshot]:
    """By id, the oldest snapshot before each of these that holds exactly the same rows."""
    contents = {snapshot.contents for snapshot in snapshots if snapshot.contents}
    if not contents:
        return {}
    alike = session.scalars(
        select(Snapshot)
        .where(
            Snapshot.project_id.in_({snapshot.project_id for snapshot in snapshots}),
            Snapshot.contents.in_(contents),
        )
        .order_by(Snapshot.created_at, Snapshot.id)
    ).all()
    oldest: dict[tuple[UUID, str | None], Snapshot] = {}
    for snapshot in alike:
        oldest.setdefault((snapshot.project_id, snapshot.contents), snapshot)
    found = {
        snapshot.id: oldest.get((snapshot.project_id, snapshot.contents)) for snapshot in snapshots
    }
    return {each: twin for each, twin in found.items() if twin and twin.id != each}


def flagged_responses(
    session: Session, *, project: Project, flags: Sequence[str]
) -> frozenset[str]:
    """Ids, as in a dataset, of the responses that somebody flagged with one of these."""
    if not flags:
        return frozenset()
    marks = func.jsonb_each(Annotation.flags).table_valued("key", "value", joins_implicitly=True)
    found = (
        select(Response.content_hash)
        .select_from(Annotation)
        .join(marks, text("true"))
        .join(
            TaskResponse,
            (TaskResponse.task_id == Annotation.task_id)
            & (cast(TaskResponse.position, Text) == marks.c.key),
        )
        .join(Response, Response.id == TaskResponse.response_id)
        .where(
            Annotation.project_id == project.id,
            Annotation.is_current,
            Annotation.flags != text("'{}'::jsonb"),
            cast(marks.c.value, JSONB).has_any(cast(list(flags), ARRAY(Text()))),
        )
        .distinct()
    )
    return frozenset(content_hash.hex() for content_hash in session.scalars(found))
