"""A batch of imported rows made ready for the database, while the one before it is written.

All of it is made ready as if nothing of it was there yet, which is so for most files; what turns
out to be there is made ready again (`writing`).
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from uuid import UUID

from app.annotation import service as annotation
from app.annotation.rules import is_source
from app.annotation.schemas import ImportedJudgement
from app.corpus import service as corpus
from app.corpus.formats import ImportedAnnotation, ImportedGold, ImportedTask
from app.corpus.rules import canonical_order, response_hash
from app.corpus.schemas import NewPrompt, NewResponse, Stored
from app.tasks import service as tasks
from app.tasks.schemas import Gold, NewTask, OpenedTask

Row = tuple[ImportedTask, Stored, Sequence[bytes]]  # with its prompt and its responses' hashes


@dataclass(frozen=True, slots=True)
class Here:
    """Where the rows go: plain values, for rows of the session belong to its own thread.

    `members`: people of the project by their names in files, as far as they came up before.
    """

    about: annotation.Surroundings
    overlap: int
    members: dict[str, UUID] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Opening:
    """Tasks to open, and of each the order of its responses as places in the file."""

    tasks: tasks.PreparedTasks
    orders: Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Rest:
    """What stands below the prompts of those rows that have responses."""

    rows: Sequence[Row]
    responses: corpus.PreparedResponses
    opening: Opening
    judgements: annotation.PreparedJudgements | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """Rows with all that takes no database."""

    tasks: Sequence[ImportedTask]
    prompts: corpus.PreparedPrompts
    hashes: Sequence[Sequence[bytes]]  # of the responses
    rest: Rest | None


def prepare(batch: Sequence[ImportedTask], *, here: Here) -> Prepared:
    prompts = corpus.prepare_prompts(
        [_prompt(task) for task in batch],
        project_id=here.about.project_id,
        import_id=here.about.import_id,
    )
    hashes = [
        [response_hash(prompt=key, text=each.text, source=each.source) for each in task.responses]
        for task, key in zip(batch, prompts.hashes, strict=True)
    ]
    rows = rankable(batch, prompts.expected, hashes)
    return Prepared(batch, prompts, hashes, _rest(rows, here=here) if rows else None)


def _rest(rows: Sequence[Row], *, here: Here) -> Rest:
    responses = prepare_responses(rows, here=here)
    opening = prepare_opening(rows, responses.expected, here=here)
    return Rest(rows, responses, opening, _prepare_judgements(rows, opening, here=here))


def rankable(
    batch: Sequence[ImportedTask], prompts: Sequence[Stored], hashes: Sequence[Sequence[bytes]]
) -> list[Row]:
    """The rows that have responses."""
    return [row for row in zip(batch, prompts, hashes, strict=True) if row[0].responses]


def prepare_responses(rows: Sequence[Row], *, here: Here) -> corpus.PreparedResponses:
    return corpus.prepare_responses(list(_responses(rows)), import_id=here.about.import_id)


def prepare_opening(rows: Sequence[Row], responses: Sequence[Stored], *, here: Here) -> Opening:
    """Tasks of stored responses, in an order that does not show which one the file preferred."""
    stored = iter(responses)
    new_tasks, orders = [], []
    for task, prompt, _ in rows:
        its = [next(stored) for _ in task.responses]
        order = list(range(len(its)))  # first and second mean what they mean in the file
        if task.order_tells:
            order = canonical_order([response.content_hash for response in its])
        orders.append(order)
        new_tasks.append(
            NewTask(
                prompt_id=prompt.id,
                response_ids=[its[place].id for place in order],
                external_id=task.external_id,
                gold=_gold(task.gold, order=order),
                judges=_judges(task),
                may_ask=not prompt.is_new or bool(task.language or task.expertise),
                meta=task.meta,
            )
        )
    prepared = tasks.prepare_tasks(
        new_tasks,
        project_id=here.about.project_id,
        overlap=here.overlap,
        import_id=here.about.import_id,
    )
    return Opening(prepared, orders)


def _prepare_judgements(
    rows: Sequence[Row], opening: Opening, *, here: Here
) -> annotation.PreparedJudgements | None:
    """None where there are none, where gold keys score them, or where people are not known yet."""
    opened = opening.tasks.expected
    judged = judgements_of(rows, opened, opening.orders)
    if opening.tasks.golden or not judged:
        return None
    return annotation.prepare_imported(judged, here=here.about, members=here.members)


def counted(opened: Sequence[OpenedTask]) -> dict[UUID, int]:
    """Tasks that are new and ordinary, with the judgements that they were opened with."""
    return {task.task_id: task.counted for task in opened if task.counted is not None}


def judgements_of(
    rows: Sequence[Row], opened: Sequence[OpenedTask], orders: Sequence[Sequence[int]]
) -> list[ImportedJudgement]:
    return [
        _judgement(judgement, opened[number], order=orders[number])
        for number, (task, _, _) in enumerate(rows)
        for judgement in task.annotations
    ]


def _prompt(task: ImportedTask) -> NewPrompt:
    return NewPrompt(
        messages=task.messages,
        system=task.system,
        source=task.source,
        tags=task.tags,
        language=task.language,
        expertise=task.expertise,
        external_id=task.external_id,
        meta={} if task.responses else task.meta,
    )


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


def _judges(task: ImportedTask) -> set[str]:
    """The people whose first judgement counts."""
    counts: dict[str, bool] = {}
    for judgement in task.annotations:
        counts.setdefault(judgement.annotator, judgement.counted)
    return {name for name, is_in in counts.items() if is_in and not is_source(name)}


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


class Preparing:
    """One batch after the other, each prepared by another thread while its caller writes.

    The database is waited for without the interpreter's lock, so the two go on side by side.
    """

    def __init__(self, here: Here) -> None:
        self.here = here
        self.aside = ThreadPoolExecutor(1, thread_name_prefix="preparing")
        self.coming: Future[Prepared] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.aside.shutdown(cancel_futures=True)

    def swap(self, batch: Sequence[ImportedTask]) -> Prepared | None:
        """Take a batch to prepare, if it has rows; gives back the one before, which is ready."""
        before, self.coming = self.coming, None
        if batch:
            self.coming = self.aside.submit(prepare, batch, here=self.here)
        return before.result() if before else None
