"""What writers wrote becomes responses, and the responses to a prompt one blind task."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.corpus import service as corpus
from app.corpus.models import Prompt, Response
from app.corpus.queries import by_lot
from app.corpus.schemas import NewResponse
from app.db import JsonObject, among
from app.generation import queries, rules
from app.generation.models import Generation, GenerationPrompt, PromptState, Writer, Writing
from app.generation.service.attempts import advance_generation, hold_generation
from app.projects.models import Project
from app.runs.rules import storable
from app.runs.service import Lease
from app.tasks import service as tasks
from app.tasks.schemas import NewTask


@dataclass(frozen=True)
class NewWriting:
    """What one turn of a writer brought for a prompt: `texts` are {text, temperature, seed}."""

    prompt_id: UUID
    place: int
    turn: int
    texts: Sequence[JsonObject] = ()
    empty: int = 0
    refused: int = 0
    error: str | None = None


@dataclass(frozen=True)
class _Candidate:
    writer: Writer
    text: str
    sampling: JsonObject
    score: float | None


@dataclass
class _Task:
    """The responses to one prompt: each text once, in an order that betrays nobody."""

    prompt_id: UUID
    candidates: list[_Candidate] = field(default_factory=list)


def store(session: Session, *, lease: Lease, writings: Sequence[NewWriting]) -> None:
    """Keep what was written, and open the tasks of prompts that all have written to: all or none.

    What is there already stays: another attempt may have been a moment ahead.
    """
    hold_generation(session, lease=lease)  # first: a lost attempt stores nothing
    generation = session.get_one(Generation, lease.id)
    rows = [
        {
            "generation_id": generation.id,
            "prompt_id": each.prompt_id,
            "place": each.place,
            "turn": each.turn,
            "texts": storable(list(each.texts)),
            "empty": each.empty,
            "refused": each.refused,
            "error": storable(each.error),
        }
        for each in writings
    ]
    there = set(
        session.scalars(
            select(GenerationPrompt.prompt_id).where(
                GenerationPrompt.generation_id == generation.id,
                among(GenerationPrompt.prompt_id, [each.prompt_id for each in writings]),
            )
        )
    )  # a prompt may have been taken out of the project meanwhile
    rows = [row for row in rows if row["prompt_id"] in there]
    if rows:
        session.execute(insert(Writing).values(rows).on_conflict_do_nothing())
        finish(session, lease=lease, generation=generation, prompt_ids=sorted(there))


def finish_rest(session: Session, *, lease: Lease, limit: int) -> int:
    """Finish prompts on which the last of the writers said nothing; how many were looked at."""
    hold_generation(session, lease=lease)
    generation = session.get_one(Generation, lease.id)
    waiting = session.scalars(
        select(GenerationPrompt.prompt_id)
        .where(
            GenerationPrompt.generation_id == generation.id,
            GenerationPrompt.state == PromptState.WAITING,
        )
        .order_by(GenerationPrompt.place)
        .limit(limit)
    ).all()
    finish(session, lease=lease, generation=generation, prompt_ids=waiting)
    return len(waiting)


def finish(
    session: Session, *, lease: Lease, generation: Generation, prompt_ids: Sequence[UUID]
) -> None:
    """Those of the prompts to which all writers have written get their task, or wait for the end.

    They wait where the reward model has still to say which of them are worth people's time.
    """
    writers = queries.writers_of(session, generations=[generation])[generation.id]
    turns = sum(len(queries.turns_in(writer)) for writer in writers)
    whole = session.scalars(
        select(Writing.prompt_id)
        .join(
            GenerationPrompt,
            (GenerationPrompt.generation_id == Writing.generation_id)
            & (GenerationPrompt.prompt_id == Writing.prompt_id),
        )
        .where(
            Writing.generation_id == generation.id,
            among(Writing.prompt_id, list(prompt_ids)),
            GenerationPrompt.state == PromptState.WAITING,
        )
        .group_by(Writing.prompt_id)
        .having(func.count() == turns)
        .order_by(Writing.prompt_id)
    ).all()
    if not whole:
        return
    if (generation.config.get("select") or {}).get("by") == "uncertainty":
        _mark(session, generation, whole, PromptState.WRITTEN)
        advance_generation(session, lease=lease, done=len(whole), tasks_opened=0)
        return
    done, opened = open_tasks(session, generation=generation, prompt_ids=whole)
    advance_generation(session, lease=lease, done=done, tasks_opened=opened)


def open_tasks(
    session: Session, *, generation: Generation, prompt_ids: Sequence[UUID]
) -> tuple[int, int]:
    """Responses and a task for each prompt; how many got responses, and how many tasks are new."""
    project = session.get_one(Project, generation.project_id)
    tasks.lock_opening(session, project=project)  # before the responses, as an import does
    found = _candidates(session, generation, prompt_ids)
    ids = _stored(session, generation, found)
    new = []
    for each in found:
        its = ids[each.prompt_id]
        others = _existing(session, generation, prompt_id=each.prompt_id, known=set(its))
        both = its | others
        texts = list(both)
        order = rules.mixed(str(generation.config["seed"]), texts)
        if len(both) >= rules.FEWEST:
            new.append((each, NewTask(each.prompt_id, [both[texts[place]] for place in order])))
    opened = tasks.open_tasks(session, project=project, tasks=[task for _, task in new])
    for (each, task), its_task in zip(new, opened, strict=True):
        scores = {c.text: c.score for c in each.candidates}
        texts_by_id = {response: text for text, response in ids[each.prompt_id].items()}
        given = [scores.get(texts_by_id.get(response, "")) for response in task.response_ids]
        _finished(session, generation, task=its_task.task_id, prompt_id=each.prompt_id,
                  scores=its_task.canonical(given))  # fmt: skip
    tasked = {each.prompt_id for each, _ in new}
    _mark(session, generation, [e for e in prompt_ids if e not in tasked], PromptState.FAILED)
    return sum(bool(each.candidates) for each in found), sum(task.is_new for task in opened)


def _candidates(
    session: Session, generation: Generation, prompt_ids: Sequence[UUID]
) -> list[_Task]:
    writers = {
        writer.place: writer
        for writer in queries.writers_of(session, generations=[generation])[generation.id]
    }
    found = {prompt_id: _Task(prompt_id) for prompt_id in prompt_ids}
    rows = session.scalars(
        select(Writing)
        .where(Writing.generation_id == generation.id, among(Writing.prompt_id, list(prompt_ids)))
        .order_by(Writing.prompt_id, Writing.place, Writing.turn)
    )
    for row in rows:
        for text in row.texts:
            sampling = {key: text[key] for key in ("temperature", "seed") if key in text}
            found[row.prompt_id].candidates.append(
                _Candidate(writers[row.place], text["text"], sampling, text.get("score"))
            )
    return list(found.values())


def _stored(
    session: Session, generation: Generation, found: Sequence[_Task]
) -> dict[UUID, dict[str, UUID]]:
    """By prompt and text the response that stands in the task.

    Each source keeps its own row of a text that several wrote. Which of them people judge hangs
    on the rows' hashes, so that no source is preferred.
    """
    hashes = {
        row.id: row.content_hash
        for row in session.execute(
            select(Prompt.id, Prompt.content_hash).where(
                among(Prompt.id, [each.prompt_id for each in found])
            )
        )
    }
    new = [
        NewResponse(
            prompt_id=each.prompt_id,
            prompt_hash=hashes[each.prompt_id],
            text=candidate.text,
            source=candidate.writer.source,
            checkpoint_id=candidate.writer.checkpoint_id,
            sampling=_sampling(generation, candidate),
        )
        for each in found
        for candidate in each.candidates
    ]
    stored = corpus.add_responses(session, responses=new)
    best: dict[tuple[UUID, str], tuple[bytes, UUID]] = {}
    for response, row in zip(new, stored, strict=True):
        key = (response.prompt_id, response.text)
        best[key] = min(best.get(key, (b"\xff" * 33, row.id)), (row.content_hash, row.id))
    ids: dict[UUID, dict[str, UUID]] = {each.prompt_id: {} for each in found}
    for (prompt_id, text), (_, response_id) in best.items():
        ids[prompt_id][text] = response_id
    return ids


def _sampling(generation: Generation, candidate: _Candidate) -> JsonObject:
    writer = candidate.writer
    told = {
        "generation": str(generation.id),
        "top_p": writer.top_p,
        "max_new_tokens": writer.max_new_tokens,
        **candidate.sampling,
    }
    if writer.endpoint_id is not None:
        told["endpoint"] = str(writer.endpoint_id)
    return told | ({"system": writer.system} if writer.system else {})


def _existing(
    session: Session, generation: Generation, *, prompt_id: UUID, known: set[str]
) -> dict[str, UUID]:
    """Some responses of other sources to the prompt, as many as were asked for."""
    wanted = int(generation.config.get("include_existing") or 0)
    if not wanted or not known:
        return {}
    ours = {
        writer.source
        for writer in queries.writers_of(session, generations=[generation])[generation.id]
    }
    rows = session.execute(
        select(Response.text, Response.id)
        .where(
            Response.prompt_id == prompt_id,
            func.coalesce(Response.source, "").not_in(ours),
            Response.text.not_in(known),
        )
        .order_by(by_lot(Response.content_hash, generation.config["seed"]))
        .limit(wanted)
    )
    found: dict[str, UUID] = {}
    for row in rows:
        found.setdefault(row.text, row.id)
    return found


def _finished(
    session: Session,
    generation: Generation,
    *,
    prompt_id: UUID,
    task: UUID,
    scores: Sequence[float | None],
) -> None:
    row = session.get_one(GenerationPrompt, (generation.id, prompt_id))
    row.state, row.task_id = PromptState.DONE, task
    if any(score is not None for score in scores):
        row.score = {**(row.score or {}), "scores": list(scores)}


def _mark(
    session: Session, generation: Generation, prompt_ids: Sequence[UUID], state: PromptState
) -> None:
    session.execute(
        update(GenerationPrompt)
        .where(
            GenerationPrompt.generation_id == generation.id,
            among(GenerationPrompt.prompt_id, list(prompt_ids)),
        )
        .values(state=state)
    )
