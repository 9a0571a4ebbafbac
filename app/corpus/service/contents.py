"""Prompts and responses, stored in bulk and each only once."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import LargeBinary, Text, Uuid, column, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.orm import Session

from app.corpus import rules
from app.corpus.models import Prompt, Response
from app.corpus.schemas import NewPrompt, NewResponse, Stored
from app.projects.models import Project

TAG_SEPARATOR = "\x1f"  # the one control character that is made for this


def add_prompts(
    session: Session,
    *,
    project: Project,
    prompts: Sequence[NewPrompt],
    import_id: UUID | None = None,
) -> list[Stored]:
    """Store the prompts that the project has not yet; answers where each is, in their order."""
    hashes = [rules.prompt_hash(system=item.system, messages=item.messages) for item in prompts]
    first = dict(zip(reversed(hashes), reversed(prompts), strict=True))
    keys = sorted(first)  # one order everywhere, so that two imports never wait for each other
    items = [first[key] for key in keys]
    rows = _rows(
        id=([uuid4() for _ in keys], Uuid()),
        content_hash=(keys, LargeBinary()),
        messages=([list(item.messages) for item in items], JSONB()),
        system=([item.system for item in items], Text()),
        source=([item.source for item in items], Text()),
        tags=([TAG_SEPARATOR.join(item.tags) for item in items], Text()),
        language=([item.language for item in items], Text()),
        external_id=([item.external_id for item in items], Text()),
        meta=([item.meta for item in items], JSONB()),
    )
    values = dict(rows.c.items()) | {
        "tags": func.string_to_array(rows.c.tags, TAG_SEPARATOR),
        "project_id": literal(project.id, Uuid()),
        "import_id": literal(import_id, Uuid()),
    }
    fresh = session.execute(
        insert(Prompt)
        .from_select(list(values), select(*values.values()))
        .on_conflict_do_nothing(index_elements=[Prompt.project_id, Prompt.content_hash])
        .returning(Prompt.content_hash, Prompt.id)
    )
    new = {row.content_hash: row.id for row in fresh}
    known = session.execute(
        select(Prompt.content_hash, Prompt.id).where(
            Prompt.project_id == project.id,
            Prompt.content_hash.in_([key for key in keys if key not in new]),
        )
    )
    return _placed(hashes, new=new, known={row.content_hash: row.id for row in known})


def add_responses(session: Session, *, responses: Sequence[NewResponse]) -> list[Stored]:
    """Store the responses that their prompts have not yet; answers where each is, in order."""
    hashes = [
        rules.response_hash(prompt=item.prompt_hash, text=item.text, source=item.source)
        for item in responses
    ]
    first = dict(zip(reversed(hashes), reversed(responses), strict=True))
    keys = sorted(first)
    items = [first[key] for key in keys]
    rows = _rows(
        id=([uuid4() for _ in keys], Uuid()),
        prompt_id=([item.prompt_id for item in items], Uuid()),
        content_hash=(keys, LargeBinary()),
        text=([item.text for item in items], Text()),
        source=([item.source for item in items], Text()),
        checkpoint_id=([item.checkpoint_id for item in items], Uuid()),
        sampling=([item.sampling for item in items], JSONB(none_as_null=True)),
        meta=([item.meta for item in items], JSONB()),
    )
    fresh = session.execute(
        insert(Response)
        .from_select([name for name, _ in rows.c.items()], select(*rows.c))
        .on_conflict_do_nothing(index_elements=[Response.prompt_id, Response.content_hash])
        .returning(Response.content_hash, Response.id)
    )
    new = {row.content_hash: row.id for row in fresh}
    missing = [item.prompt_id for key, item in zip(keys, items, strict=True) if key not in new]
    known = session.execute(
        select(Response.content_hash, Response.id).where(
            Response.prompt_id.in_(missing),
            Response.content_hash.in_([key for key in keys if key not in new]),
        )
    )
    return _placed(hashes, new=new, known={row.content_hash: row.id for row in known})


def _rows(**columns: tuple[list[Any], Any]) -> Any:
    """Columns of values as a table the database can select from: one statement per batch."""
    arrays = [literal(values, ARRAY(kind, dimensions=1)) for values, kind in columns.values()]
    names = [column(name, kind) for name, (_, kind) in columns.items()]
    return func.unnest(*arrays).table_valued(*names).render_derived(name="row")


def _placed(
    hashes: Sequence[bytes], *, new: dict[bytes, UUID], known: dict[bytes, UUID]
) -> list[Stored]:
    """The row of each hash; of several equal ones only the first is new."""
    placed = []
    unseen = set(new)
    for key in hashes:
        placed.append(Stored(new.get(key) or known[key], key, is_new=key in unseen))
        unseen.discard(key)
    return placed
