"""Prompts and responses, stored in bulk and each only once."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.orm import Session

from app.corpus import rules
from app.corpus.models import Prompt, Response
from app.corpus.schemas import NewPrompt, NewResponse, Stored
from app.db import among, bulk_insert, new_ids


@dataclass(frozen=True, slots=True)
class PreparedPrompts:
    """Prompts with all that takes no database: the hash of each, and how they are inserted."""

    project_id: UUID
    hashes: Sequence[bytes]
    insert: Insert


def prepare_prompts(
    prompts: Sequence[NewPrompt], *, project_id: UUID, import_id: UUID | None = None
) -> PreparedPrompts:
    """Of one prompt at least."""
    hashes = [rules.prompt_hash(system=item.system, messages=item.messages) for item in prompts]
    first = dict(zip(reversed(hashes), reversed(prompts), strict=True))
    keys = sorted(first)  # one order everywhere, so that two imports never wait for each other
    rows = [
        {
            "id": row_id,
            "project_id": project_id,
            "content_hash": key,
            "messages": list(first[key].messages),
            "system": first[key].system,
            "source": first[key].source,
            "tags": first[key].tags,
            "language": first[key].language,
            "expertise": first[key].expertise,
            "external_id": first[key].external_id,
            "meta": first[key].meta,
            "import_id": import_id,
        }
        for row_id, key in zip(new_ids(len(keys)), keys, strict=True)
    ]
    return PreparedPrompts(project_id, hashes, bulk_insert(Prompt, rows))


def add_prompts(session: Session, *, prompts: PreparedPrompts) -> list[Stored]:
    """Store the prompts that the project has not yet; answers where each is, in their order."""
    fresh = session.execute(
        prompts.insert.on_conflict_do_nothing(
            index_elements=[Prompt.project_id, Prompt.content_hash]
        ).returning(Prompt.content_hash, Prompt.id)
    )
    new = {row.content_hash: row.id for row in fresh}
    known: dict[bytes, UUID] = {}
    if missing := set(prompts.hashes) - new.keys():
        found = select(Prompt.content_hash, Prompt.id).where(
            Prompt.project_id == prompts.project_id, among(Prompt.content_hash, missing)
        )
        known = {row.content_hash: row.id for row in session.execute(found)}
    return _placed(prompts.hashes, new=new, known=known)


def add_responses(
    session: Session, *, responses: Sequence[NewResponse], import_id: UUID | None = None
) -> list[Stored]:
    """Store the responses that their prompts have not yet; answers where each is, in order."""
    if not responses:
        return []
    hashes = [
        item.content_hash
        or rules.response_hash(prompt=item.prompt_hash, text=item.text, source=item.source)
        for item in responses
    ]
    first = dict(zip(reversed(hashes), reversed(responses), strict=True))
    keys = sorted(first)
    fresh = session.execute(
        bulk_insert(
            Response,
            [
                {
                    "id": row_id,
                    "prompt_id": first[key].prompt_id,
                    "content_hash": key,
                    "text": first[key].text,
                    "source": first[key].source,
                    "checkpoint_id": first[key].checkpoint_id,
                    "sampling": first[key].sampling,
                    "meta": first[key].meta,
                    "import_id": import_id,
                }
                for row_id, key in zip(new_ids(len(keys)), keys, strict=True)
            ],
        )
        .on_conflict_do_nothing(index_elements=[Response.prompt_id, Response.content_hash])
        .returning(Response.content_hash, Response.id)
    )
    new = {row.content_hash: row.id for row in fresh}
    known: dict[bytes, UUID] = {}
    if missing := [key for key in keys if key not in new]:
        found = select(Response.content_hash, Response.id).where(
            among(Response.prompt_id, [first[key].prompt_id for key in missing]),
            among(Response.content_hash, missing),
        )
        known = {row.content_hash: row.id for row in session.execute(found)}
    return _placed(hashes, new=new, known=known)


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
