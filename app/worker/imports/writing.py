"""A batch of imported rows as prompts, responses, tasks and judgements."""

from collections import Counter
from collections.abc import Iterator, Sequence
from uuid import UUID

from sqlalchemy.orm import Session

from app.accounts.models import User
from app.annotation import rules as annotation_rules
from app.annotation import service as annotation
from app.annotation.schemas import ImportedJudgement
from app.corpus import service as corpus
from app.corpus.formats import ImportedAnnotation, ImportedGold, ImportedTask
from app.corpus.rules import canonical_order
from app.corpus.schemas import NewResponse, Stored
from app.db import database_now
from app.projects.models import Project
from app.quality.service.importing import record_adjudications
from app.tasks import service as tasks
from app.tasks.schemas import Gold, NewTask, OpenedTask
from app.worker.imports.preparing import Prepared

Row = tuple[ImportedTask, Stored, Sequence[bytes]]  # with its prompt and its responses' hashes


def write_batch(
    session: Session,
    batch: Prepared,
    *,
    project: Project,
    by: User | None,
    import_id: UUID,
    brought: Counter[str],
) -> int:
    """Write the rows; answers how many of them added something, and counts in `brought` what."""
    prompts = corpus.add_prompts(session, prompts=batch.prompts)
    rows = list(zip(batch.tasks, prompts, batch.responses, strict=True))
    rankable = [row for row in rows if row[0].responses]
    imported = sum(prompt.is_new for task, prompt, _ in rows if not task.responses)
    brought["prompts"] += sum(prompt.is_new for prompt in prompts)
    if rankable:
        imported += _write_tasks(
            session, rankable, project=project, by=by, import_id=import_id, brought=brought
        )
    return imported


def _write_tasks(
    session: Session,
    rows: Sequence[Row],
    *,
    project: Project,
    by: User | None,
    import_id: UUID,
    brought: Counter[str],
) -> int:
    """Write tasks of stored prompts with their judgements; answers how many rows added something.

    Responses are handed on by their hashes: which one the file preferred must not show in the
    canonical order.
    """
    kept = corpus.add_responses(session, responses=list(_responses(rows)), import_id=import_id)
    brought["responses"] += sum(response.is_new for response in kept)
    stored = iter(kept)
    new_tasks, orders = [], []
    for task, prompt, _ in rows:
        responses = [next(stored) for _ in task.responses]
        order = list(range(len(responses)))  # first and second mean what they mean in the file
        if task.order_tells:
            order = canonical_order([response.content_hash for response in responses])
        orders.append(order)
        new_tasks.append(
            NewTask(
                prompt_id=prompt.id,
                response_ids=[responses[place].id for place in order],
                external_id=task.external_id,
                gold=_gold(task.gold, order=order),
                judges=_judges(task),
                meta=task.meta,
            )
        )
    opened = tasks.open_tasks(session, project=project, tasks=new_tasks, by=by, import_id=import_id)
    brought["tasks"] += sum(task.is_new for task in opened)
    brought["gold"] += sum(task.is_new and task.is_gold for task in opened)
    settled = [
        (task.task_id, task.canonical([its.ranks[place] for place in orders[number]]), its)
        for number, task in enumerate(opened)
        if (its := rows[number][0].adjudication) and task.is_new and not task.is_gold
    ]
    if settled:
        record_adjudications(
            session, [(where, ranks, its.reason, its.created_at) for where, ranks, its in settled]
        )
        brought["adjudications"] += len(settled)
    judged = [
        (number, _judgement(judgement, opened[number], order=orders[number]))
        for number, (task, _, _) in enumerate(rows)
        for judgement in task.annotations
    ]
    added = {number for number, task in enumerate(opened) if task.is_new}
    if judged:
        recorded = annotation.record_imported(
            session,
            project=project,
            judgements=[judgement for _, judgement in judged],
            now=database_now(session),
            opened={task.task_id: task.counted for task in opened if task.counted is not None},
            import_id=import_id,
        )
        brought["judgements"] += sum(recorded.is_new)
        pairs = zip(judged, recorded.is_new, strict=True)
        added |= {number for (number, _), is_new in pairs if is_new}
    return len(added)


def _judges(task: ImportedTask) -> set[str]:
    """The people whose first judgement counts."""
    counts: dict[str, bool] = {}
    for judgement in task.annotations:
        counts.setdefault(judgement.annotator, judgement.counted)
    return {
        name for name, is_in in counts.items() if is_in and not annotation_rules.is_source(name)
    }


def _responses(rows: Sequence[Row]) -> Iterator[NewResponse]:
    for task, prompt, hashes in rows:
        for response, content_hash in zip(task.responses, hashes, strict=True):
            yield NewResponse(
                prompt_id=prompt.id,
                prompt_hash=prompt.content_hash,
                text=response.text,
                source=response.source,
                sampling=response.sampling,
                meta=response.meta,
                content_hash=content_hash,
            )


def _gold(gold: ImportedGold | None, *, order: Sequence[int]) -> Gold | None:
    if gold is None:
        return None
    place = {number: position for position, number in enumerate(order)}
    return Gold(
        prefers=[(place[i], place[j]) for i, j in gold.prefers],
        equal=[(place[i], place[j]) for i, j in gold.equal],
        ties_allowed=gold.ties_allowed,
        explanation=gold.explanation,
        qualification=gold.qualification,
        suspended=gold.suspended,
    )


def _judgement(
    judgement: ImportedAnnotation, task: OpenedTask, *, order: Sequence[int]
) -> ImportedJudgement:
    return ImportedJudgement(
        task_id=task.task_id,
        annotator=judgement.annotator,
        ranks=task.canonical([judgement.ranks[place] for place in order]),
        strength=judgement.strength,
        rationale=judgement.rationale,
        created_at=judgement.created_at,
        ratings={
            criterion: task.canonical([values[place] for place in order])
            for criterion, values in judgement.ratings.items()
        },
        meta=judgement.meta,
        flags=_flags(judgement, task, order=order),
        rewrite=judgement.rewrite,
        counted=judgement.counted,
        guidelines_version=judgement.guidelines_version,
        times=judgement.times,
    )


def _flags(
    judgement: ImportedAnnotation, task: OpenedTask, *, order: Sequence[int]
) -> dict[str, list[str]]:
    """By canonical position, as they are stored."""
    if not judgement.flags:
        return {}
    flags = task.canonical([judgement.flags[place] for place in order])
    return {str(place): marks for place, marks in enumerate(flags) if marks}
