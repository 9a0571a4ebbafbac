"""From the rows of a prompt back to the judgements behind them: as they were frozen, and since."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.annotation.models import Annotation
from app.corpus.models import Response
from app.datasets.formats.blocks import parsed, rows_of_prompt
from app.datasets.formats.folder import Entry, Folder, judgements_of
from app.datasets.formats.prompt_ids import prompt_of
from app.datasets.models import Snapshot
from app.datasets.queries import judged_prompt
from app.datasets.queries import tracing as queries
from app.datasets.rules.counts import REASONS
from app.datasets.rules.identity import Message, Split, pseudonym
from app.datasets.rules.judged import Admission, Judgement
from app.datasets.rules.rows import ConfigName, Row
from app.datasets.schemas import Recipe
from app.datasets.service.assembling import plan
from app.datasets.service.looking import folder_of
from app.errors import AppError, NotFound
from app.projects.models import Project
from app.quality.models import Adjudication
from app.tasks.models import Task

_IS_ID = re.compile("[0-9a-f]{64}")
SINCE = {
    "erased": "erased since",
    "revised": "revised since",
    "requeued": "no longer counts: others judge again",
    "person_kept_out": "an admin has kept its author out of snapshots since",
}


@dataclass(frozen=True, slots=True)
class TracedRow:
    """A row of the prompt as it was frozen."""

    config: ConfigName
    split: Split
    row: Row


@dataclass(frozen=True, slots=True)
class TracedResponse:
    """A response with the letter it goes by here."""

    label: str
    response: Response

    @property
    def id(self) -> str:
        return self.response.content_hash.hex()


@dataclass(frozen=True, slots=True)
class TracedJudgement:
    """A judgement behind the rows, or one that was left out (`reason`).

    ranks: in canonical order, as the letters go; since: a key of `SINCE`; now: what the same
    person says instead by now.
    """

    id: str
    annotator: str
    name: str | None
    user_id: UUID | None
    is_source: bool
    annotation: Annotation
    gold: tuple[int, int] | None = None
    reason: str | None = None
    since: str | None = None
    now: Annotation | None = None


@dataclass(slots=True)
class TracedTask:
    """A task of the prompt, its judgements told apart by whether the snapshot took them."""

    task: Task
    responses: list[TracedResponse]
    taken: list[TracedJudgement] = field(default_factory=list)
    left_out: list[TracedJudgement] = field(default_factory=list)
    adjudications: list[tuple[Adjudication, str | None]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything behind the rows of one prompt. erased: what only the manifest still names."""

    prompt_id: str
    messages: Sequence[Message]
    rows: list[TracedRow]
    frozen_at: datetime
    stored: queries.StoredPrompt | None
    tasks: list[TracedTask]
    erased: list[Entry]
    frozen: int  # judgements that the manifest names
    since: dict[str, int]  # key of `SINCE` → judgements


def trace(session: Session, *, project: Project, snapshot: Snapshot, prompt_id: str) -> Trace:
    """`NotFound` where the snapshot has no row of the prompt."""
    if not _IS_ID.fullmatch(prompt_id):
        raise NotFound("A prompt is traced by its id in the rows: 64 hexadecimal digits.")
    folder = folder_of(snapshot)
    entries = judgements_of(folder, prompt_id)
    rows = _rows(folder, prompt_id)
    if not rows and not entries:
        raise NotFound("This snapshot has no row of that prompt.")
    stored = queries.stored_prompt(session, project=project, prompt_id=prompt_id)
    found = queries.annotations_called(
        session, project=project, ids=[str(entry["id"]) for entry in entries]
    )
    frozen_at = datetime.fromisoformat(str(folder.head["lineage"]["created_at"]))
    work = _Work(session, project, snapshot, frozen_at)
    tasks = work.tasks(stored, entries, found) if stored else []
    since = Counter(each.since for task in tasks for each in task.taken if each.since)
    erased = [entry for entry in entries if str(entry["id"]) not in found]
    if erased:
        since["erased"] = len(erased)
    return Trace(
        prompt_id=prompt_id,
        messages=prompt_of(rows[0].config, rows[0].row) if rows else (),
        rows=rows,
        frozen_at=frozen_at,
        stored=stored,
        tasks=tasks,
        erased=erased,
        frozen=len(entries),
        since={key: since[key] for key in SINCE if since[key]},
    )


def _rows(folder: Folder, prompt_id: str) -> list[TracedRow]:
    return [
        TracedRow(file.config, file.split, parsed(line))
        for file in folder.files
        for _, line in rows_of_prompt(folder, file, prompt_id)
    ]


@dataclass(frozen=True, slots=True)
class _Work:
    """What is asked of the database for one trace."""

    session: Session
    project: Project
    snapshot: Snapshot
    frozen_at: datetime

    def tasks(
        self,
        stored: queries.StoredPrompt,
        entries: Sequence[Entry],
        found: Mapping[str, tuple[Annotation, str | None]],
    ) -> list[TracedTask]:
        ids = [task.id for task in stored.tasks]
        responses = queries.responses_by_task(self.session, task_ids=ids)
        traced = {
            task.id: TracedTask(
                task,
                [
                    TracedResponse(chr(ord("A") + place), response)
                    for place, response in enumerate(responses[task.id])
                ],
            )
            for task in stored.tasks
        }
        taken = [
            (entry, *found[str(entry["id"])]) for entry in entries if str(entry["id"]) in found
        ]
        people = {row.user_id for _, row, _ in taken if row.user_id is not None}
        gold = queries.gold_until(
            self.session, project=self.project, people=people, moment=self.frozen_at
        )
        since = _Since(
            queries.current_instead(
                self.session,
                assignment_ids={
                    row.assignment_id
                    for _, row, _ in taken
                    if row.assignment_id is not None and not row.is_current
                },
            ),
            {
                user_id
                for user_id, its in queries.memberships_of(
                    self.session, project=self.project, people=people
                ).items()
                if its.excluded_at is not None and its.excluded_at > self.frozen_at
            },
        )
        for entry, row, name in taken:
            if row.task_id in traced:
                traced[row.task_id].taken.append(
                    TracedJudgement(
                        id=str(row.id),
                        annotator=str(entry["annotator"]),
                        name=name,
                        user_id=row.user_id,
                        is_source=row.source is not None,
                        annotation=row,
                        gold=gold.get(row.user_id) if row.user_id else None,
                        since=since.of(row),
                        now=since.instead(row),
                    )
                )
        self._add_left_out(stored, traced, {row.assignment_id for _, row, _ in taken}, set(found))
        for adjudication, name in queries.adjudications_of(self.session, task_ids=ids):
            traced[adjudication.task_id].adjudications.append((adjudication, name))
        return list(traced.values())

    def _add_left_out(
        self,
        stored: queries.StoredPrompt,
        traced: Mapping[UUID, TracedTask],
        assignments: set[UUID | None],
        taken: set[str],
    ) -> None:
        """What stands now beside what was taken, and why the snapshot does not have it."""
        judged = judged_prompt(self.session, prompt_id=stored.prompt.id)
        left = {
            judgement.id: judgement
            for task in judged.tasks
            for judgement in task.judgements
            if judgement.id not in taken
        }
        rows = queries.annotations_called(self.session, project=self.project, ids=list(left))
        admission = self._admission()
        for its, judgement in left.items():
            row, name = rows[its]
            if row.assignment_id is not None and row.assignment_id in assignments:
                continue  # it stands beside the one that it revised
            traced[row.task_id].left_out.append(
                TracedJudgement(
                    id=its,
                    annotator=row.source or pseudonym(self.project.id, row.user_id or ""),
                    name=name,
                    user_id=row.user_id,
                    is_source=row.source is not None,
                    annotation=row,
                    reason=self._why_left_out(judgement, admission, traced[row.task_id]),
                )
            )

    def _admission(self) -> Admission:
        try:
            recipe = Recipe.model_validate(self.snapshot.recipe)
            return plan(self.session, project=self.project, recipe=recipe).admission
        except (AppError, ValueError):  # it names people who are no longer here
            return Admission()

    def _why_left_out(self, judgement: Judgement, admission: Admission, task: TracedTask) -> str:
        if judgement.submitted_at > self.frozen_at:
            return "handed in after this snapshot was frozen"
        reason = admission.refuses(judgement)
        if reason is None and judgement.user_id is None and task.taken:
            reason = "person_judged"
        if reason is None and not task.taken:
            reason = "task_left_out"
        return REASONS[reason] if reason else "not known: something has changed since"


@dataclass(frozen=True, slots=True)
class _Since:
    """What has changed since: revisions by assignment, and people kept out."""

    revised: Mapping[UUID, Annotation]
    kept_out: set[UUID]

    def of(self, row: Annotation) -> str | None:
        if not row.is_current:
            return "revised"
        if row.source is None and not row.counted:
            return "requeued"
        return "person_kept_out" if row.user_id in self.kept_out else None

    def instead(self, row: Annotation) -> Annotation | None:
        if row.is_current or row.assignment_id is None:
            return None
        return self.revised.get(row.assignment_id)


def in_row_order(ranks: Sequence[int], responses: Sequence[TracedResponse]) -> dict[str, Any]:
    """Ranks as the rows of `ranking` have them: in the order of the responses' ids."""
    order = sorted(range(len(responses)), key=lambda place: responses[place].id)
    if len(ranks) != len(responses):
        return {"response_ids": [], "ranks": list(ranks)}
    return {
        "response_ids": [responses[place].id for place in order],
        "ranks": [ranks[place] for place in order],
    }
