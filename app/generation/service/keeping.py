"""Which prompts become tasks, where a reward model chooses: those of which it is least sure."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import JsonObject, among
from app.generation import rules
from app.generation.models import Arm, Generation, GenerationPrompt, PromptState, Writing
from app.generation.schemas import Selection
from app.generation.service.attempts import advance_generation, hold_generation
from app.generation.service.storing import open_tasks
from app.runs.service import Lease

AT_ONCE = 100


def keep_most_doubtful(
    session: Session, *, lease: Lease, scored: Mapping[UUID, Sequence[JsonObject]]
) -> None:
    """Open the tasks of the random arm and of the most doubtful of the others.

    `scored`: by prompt, {text, score, spread} of each response. All in one transaction: the
    prompts that were left out are known at once with those that were kept.
    """
    hold_generation(session, lease=lease)
    generation = session.get_one(Generation, lease.id)
    selection = Selection.model_validate(generation.config.get("select") or {})
    rows = session.scalars(
        select(GenerationPrompt)
        .where(
            GenerationPrompt.generation_id == generation.id,
            GenerationPrompt.state == PromptState.WRITTEN,
        )
        .order_by(GenerationPrompt.place)
    ).all()
    for row in rows:
        row.score = _score(scored.get(row.prompt_id, ()))
    _note_scores(session, generation, scored)
    wanted = int(generation.config["max_prompts"])
    by_lot = [row for row in rows if row.arm is Arm.RANDOM]
    others = [row for row in rows if row.arm is Arm.SELECTED]
    others.sort(key=lambda row: (-_doubt(row), row.place))
    room = max(0, wanted - rules.random_arm(wanted, selection.control))
    for row in others[room:]:
        row.state = PromptState.PASSED_OVER
    session.flush()
    kept = [row.prompt_id for row in [*by_lot, *others[:room]]]
    for start in range(0, len(kept), AT_ONCE):
        _, opened = open_tasks(
            session, generation=generation, prompt_ids=kept[start : start + AT_ONCE]
        )
        advance_generation(session, lease=lease, done=0, tasks_opened=opened)


def _score(said: Sequence[JsonObject]) -> JsonObject:
    scores = [each.get("score") for each in said]
    spreads = [each.get("spread") for each in said]
    has_spread = any(each is not None for each in spreads)
    return {"doubt": rules.doubt(scores, spreads if has_spread else None)}


def _doubt(row: GenerationPrompt) -> float:
    """What the model could not read comes last."""
    found = (row.score or {}).get("doubt")
    return -1.0 if found is None else float(found)


def _note_scores(
    session: Session, generation: Generation, scored: Mapping[UUID, Sequence[JsonObject]]
) -> None:
    """Beside each text its score, for the page and for the comparison of the arms."""
    rows = session.scalars(
        select(Writing).where(
            Writing.generation_id == generation.id, among(Writing.prompt_id, list(scored))
        )
    )
    for row in rows:
        by_text = {each["text"]: each.get("score") for each in scored[row.prompt_id]}
        row.texts = [text | {"score": by_text.get(text["text"])} for text in row.texts]
