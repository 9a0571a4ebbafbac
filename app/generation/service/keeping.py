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

    A prompt that makes no task is replaced in either arm: by the next of the lot, or by the next in
    doubt. So both arms are of prompts that writers can answer, and as large as was asked for.
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
    room = max(0, wanted - rules.random_arm(wanted, selection.control))
    control = sum(row.arm is Arm.RANDOM for row in rows)
    # Those drawn by lot stand first, and after them the others as the lot had them.
    others = _open(session, lease, generation, rows, wanted=control, arm=Arm.RANDOM)
    others.sort(key=lambda row: (-_doubt(row), row.place))
    for row in _open(session, lease, generation, others, wanted=room, arm=Arm.SELECTED):
        row.state = PromptState.PASSED_OVER


def _open(
    session: Session,
    lease: Lease,
    generation: Generation,
    rows: Sequence[GenerationPrompt],
    *,
    wanted: int,
    arm: Arm,
) -> list[GenerationPrompt]:
    """Open the tasks of so many of the rows, in their order, for an arm; those that are left."""
    left = list(rows)
    while wanted > 0 and left:
        now, left = left[: min(wanted, AT_ONCE)], left[min(wanted, AT_ONCE) :]
        for row in now:
            row.arm = arm
        session.flush()
        ids = [row.prompt_id for row in now]
        _, opened = open_tasks(session, generation=generation, prompt_ids=ids)
        advance_generation(session, lease=lease, done=0, tasks_opened=opened)
        wanted -= sum(row.state is not PromptState.FAILED for row in now)
    return left


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
