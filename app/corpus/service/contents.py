"""Prompts and responses, stored in bulk and each only once.

What takes no database is made first: hashes, ids, and the statement that inserts. A caller may do
that ahead, on the assumption that all is new; where it is, nothing is made again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.orm import Session

from app.corpus import rules
from app.corpus.models import Prompt, Response
from app.corpus.schemas import NewPrompt, NewResponse, Stored
from app.db import among, bulk_insert, new_ids, written


@dataclass(frozen=True, slots=True)
class PreparedPrompts:
    """Prompts with all that takes no database; `expected` is what comes of it if all are new."""

    project_id: UUID
    hashes: Sequence[bytes]
    ids: Mapping[bytes, UUID]  # of those that are new
    insert: Insert
    expected: Sequence[Stored]


@dataclass(frozen=True, slots=True)
class PreparedResponses:
    """Responses with all that takes no database; `expected` is what comes of it if all are new."""

    hashes: Sequence[bytes]
    ids: Mapping[bytes, UUID]  # of those that are new
    prompts: Sequence[UUID]
    insert: Insert
    expected: Sequence[Stored]


def prepare_prompts(
    prompts: Sequence[NewPrompt], *, project_id: UUID, import_id: UUID | None = None
) -> PreparedPrompts:
    """Of one prompt at least."""
    hashes = [rules.prompt_hash(system=item.system, messages=item.messages) for item in prompts]
    first = dict(zip(reversed(hashes), reversed(prompts), strict=True))
    keys = sorted(first)  # one order everywhere, so that two imports never wait for each other
    ids = dict(zip(keys, new_ids(len(keys)), strict=True))
    rows = [
        {
            "id": ids[key],
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
        for key in keys
    ]
    insert = bulk_insert(Prompt, rows).on_conflict_do_nothing(
        index_elements=[Prompt.project_id, Prompt.content_hash]
    )
    return PreparedPrompts(project_id, hashes, ids, insert, _placed(hashes, ids=ids, kept=ids))


def add_prompts(session: Session, *, prompts: PreparedPrompts) -> Sequence[Stored]:
    """Store the prompts that the project has not yet; answers where each is, in their order."""
    if written(session, prompts.insert) == len(prompts.ids):
        return prompts.expected
    found = select(Prompt.content_hash, Prompt.id).where(
        Prompt.project_id == prompts.project_id, among(Prompt.content_hash, prompts.ids)
    )
    known = {row.content_hash: row.id for row in session.execute(found)}
    return _placed(prompts.hashes, ids=prompts.ids, kept=known)


def prepare_responses(
    responses: Sequence[NewResponse], *, import_id: UUID | None = None
) -> PreparedResponses:
    """Of one response at least."""
    hashes = [
        item.content_hash
        or rules.response_hash(prompt=item.prompt_hash, text=item.text, source=item.source)
        for item in responses
    ]
    first = dict(zip(reversed(hashes), reversed(responses), strict=True))
    keys = sorted(first)
    ids = dict(zip(keys, new_ids(len(keys)), strict=True))
    rows = [
        {
            "id": ids[key],
            "prompt_id": first[key].prompt_id,
            "content_hash": key,
            "text": first[key].text,
            "source": first[key].source,
            "checkpoint_id": first[key].checkpoint_id,
            "sampling": first[key].sampling,
            "meta": first[key].meta,
            "import_id": import_id,
        }
        for key in keys
    ]
    insert = bulk_insert(Response, rows).on_conflict_do_nothing(
        index_elements=[Response.prompt_id, Response.content_hash]
    )
    return PreparedResponses(
        hashes=hashes,
        ids=ids,
        prompts=[first[key].prompt_id for key in keys],
        insert=insert,
        expected=_placed(hashes, ids=ids, kept=ids),
    )


def add_responses(
    session: Session, *, responses: Sequence[NewResponse], import_id: UUID | None = None
) -> Sequence[Stored]:
    """Store the responses that their prompts have not yet; answers where each is, in order."""
    if not responses:
        return []
    return add_prepared(session, responses=prepare_responses(responses, import_id=import_id))


def add_prepared(session: Session, *, responses: PreparedResponses) -> Sequence[Stored]:
    """Store those that their prompts have not yet; answers where each is, in order."""
    if written(session, responses.insert) == len(responses.ids):
        return responses.expected
    found = select(Response.content_hash, Response.id).where(
        among(Response.prompt_id, responses.prompts), among(Response.content_hash, responses.ids)
    )
    known = {row.content_hash: row.id for row in session.execute(found)}
    return _placed(responses.hashes, ids=responses.ids, kept=known)


def _placed(
    hashes: Sequence[bytes], *, ids: Mapping[bytes, UUID], kept: Mapping[bytes, UUID]
) -> list[Stored]:
    """The row that is `kept` of each hash; new is what has our id, where it first comes."""
    placed = []
    unseen = {key for key, row_id in ids.items() if kept[key] == row_id}
    for key in hashes:
        placed.append(Stored(kept[key], key, is_new=key in unseen))
        unseen.discard(key)
    return placed
