"""The prompts of a generation, chosen once: what comes into the project later changes nothing."""

import random
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from app.corpus.models import Prompt
from app.db import JsonObject, among, bulk_insert
from app.errors import Invalid
from app.generation import queries, rules
from app.generation.models import Arm, Generation, GenerationPrompt, PromptState
from app.generation.schemas import Selection
from app.tasks.models import Task

MOST_COMPARED = 20_000  # prompts looked at for novelty, drawn by lot from a larger project


def choose_prompts(session: Session, *, generation: Generation) -> int:
    """Write down which prompts are written to, unless that was done before; how many."""
    its = GenerationPrompt.generation_id == generation.id
    if session.scalar(select(exists().where(its))):
        return 0
    selection = Selection.model_validate(generation.config.get("select") or {})
    rows = session.execute(queries.fitting(generation.project_id, selection)).all()
    if not rows:
        raise Invalid(
            "No prompt fits the choice of tags and sources. Choose fewer of them, or import "
            "prompts first."
        )
    lot = random.Random(generation.config.get("seed", 42))  # noqa: S311 - the same each time
    # By content: the same data gives the same prompts wherever it was imported.
    pool = [row.id for row in sorted(rows, key=lambda row: row.content_hash)]
    lot.shuffle(pool)
    if any(selection.sources.values()):
        pool = _by_shares(
            pool,
            {row.id: row.source for row in rows},
            selection,
            wanted=generation.config.get("max_prompts"),
        )
    chosen = _chosen(session, generation, selection, pool)
    session.execute(
        bulk_insert(
            GenerationPrompt,
            [
                {
                    "generation_id": generation.id,
                    "prompt_id": prompt_id,
                    "place": place,
                    "state": PromptState.WAITING,
                    "arm": arm,
                    "score": score,
                }
                for place, (prompt_id, arm, score) in enumerate(chosen)
            ],
        )
    )
    return len(chosen)


Choice = tuple[UUID, Arm | None, JsonObject | None]


def _chosen(
    session: Session, generation: Generation, selection: Selection, pool: Sequence[UUID]
) -> list[Choice]:
    wanted = min(generation.config.get("max_prompts") or len(pool), len(pool))
    if selection.by == "random":
        return [(each, None, None) for each in pool[:wanted]]
    by_lot = rules.random_arm(wanted, selection.control)
    control: list[Choice] = [(each, Arm.RANDOM, None) for each in pool[:by_lot]]
    if selection.by == "uncertainty":  # which of the others are kept is known when all is written
        most = rules.to_write(wanted - by_lot, oversample=selection.oversample)
        return control + [(each, Arm.SELECTED, None) for each in pool[by_lot : by_lot + most]]
    rest = pool[by_lot : by_lot + MOST_COMPARED]
    texts = _texts(session, [*pool[:by_lot], *rest])
    known = [texts[each] for each in pool[:by_lot]] + _judged_texts(session, generation)
    novel = rules.most_novel([texts[each] for each in rest], known, wanted=wanted - by_lot)
    return control + [
        (rest[place], Arm.SELECTED, {"novelty": distance}) for place, distance in novel
    ]


def _by_shares(
    pool: Sequence[UUID], source_of: dict[UUID, str], selection: Selection, *, wanted: int | None
) -> list[UUID]:
    """The pool with as much of each source as its share says, in the order of the lot.

    Without a number wanted: as many as the shares allow until one source is used up.
    """
    there: dict[str, int] = {}
    for each in pool:
        there[source_of[each]] = there.get(source_of[each], 0) + 1
    shares = {name: share for name, share in selection.sources.items() if share > 0}
    if wanted is None:
        whole = sum(shares.values())
        wanted = int(min(there.get(n, 0) * whole / share for n, share in shares.items()))
        wanted = wanted or len(pool)
    if selection.by != "random":  # leave something to choose from
        wanted = min(len(pool), rules.to_write(wanted, oversample=10))
    left = rules.quotas(shares, total=wanted, there=there)
    kept = []
    for each in pool:
        if left.get(source_of[each], 0) > 0:
            left[source_of[each]] -= 1
            kept.append(each)
    return kept


def _texts(session: Session, prompt_ids: Sequence[UUID]) -> dict[UUID, str]:
    rows = session.execute(
        select(Prompt.id, Prompt.messages).where(among(Prompt.id, list(prompt_ids)))
    )
    return {row.id: _words_of(row.messages) for row in rows}


def _judged_texts(session: Session, generation: Generation) -> list[str]:
    """Prompts that people have judged something of, newest first."""
    judged = exists().where(Task.prompt_id == Prompt.id, Task.counted > 0)
    rows = session.scalars(
        select(Prompt.messages)
        .where(Prompt.project_id == generation.project_id, judged)
        .order_by(Prompt.created_at.desc(), Prompt.content_hash)
        .limit(MOST_COMPARED)
    )
    return [_words_of(messages) for messages in rows]


def _words_of(messages: Sequence[JsonObject]) -> str:
    """What people asked; replies within a conversation say less of what it is about."""
    return "\n".join(str(each.get("content", "")) for each in messages if each["role"] == "user")
