"""What Dawid and Skene's model says of every implied pair: the model of the page of consensus."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app.corpus.models import Prompt
from app.datasets.rules.comparisons import Pair
from app.datasets.rules.judged import Admission, JudgedTask
from app.projects.models import Project
from app.quality.queries.consensus import adjudicated_ranks, answers_to_gold, codes_of, halves_of
from app.quality.queries.contents import Contents, contents_of
from app.quality.queries.crowd import Crowd, crowd_of
from app.quality.rules.answers import posteriors
from app.quality.rules.intervals import Ints
from app.quality.rules.judgements import Judgements
from app.quality.rules.pairs import Pairs
from app.quality.service.consensus_figures import known_votes
from app.tasks.models import Task

_MIXERS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)  # odd, else any


@dataclass(frozen=True, slots=True)
class Posteriors:
    """P(first, tie, second) of every implied pair that people judged, kept small.

    first_row: by task, where its pairs begin in `classes` (pairs, 3).
    """

    first_row: Mapping[bytes, int] = field(default_factory=dict)
    classes: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))

    def of(
        self, task: JudgedTask, *, kept: Sequence[int] | None = None
    ) -> dict[Pair, tuple[float, float, float]] | None:
        """By numbers of responses; `kept`: only of these, under their places in it."""
        row = self.first_row.get(task.id.bytes)
        if row is None:
            return None
        pairs = list(combinations(range(len(task.responses)), 2))
        classes = self.classes[row : row + len(pairs)].tolist()
        found = {
            pair: (first, tie, second)
            for pair, (first, tie, second) in zip(pairs, classes, strict=True)
        }
        if kept is None:
            return found
        return {(i, j): found[kept[i], kept[j]] for i, j in combinations(range(len(kept)), 2)}


def fitted_posteriors(
    session: Session, *, project: Project, admission: Admission, limit: int | None = None
) -> Posteriors:
    """Fit the model to the judgements of people that `admission` takes.

    Sides, answers to gold and what reviewers settled tell of people, as on the page of consensus;
    with the same judgements the posteriors are the same. Everything is put into an order that
    hangs on content alone, so that the last digit does not depend on ids. `limit`: the tasks of
    the first prompts only, as `judged_prompts` has them.
    """
    tasks = None if limit is None else _tasks_of_first(project, limit)
    crowd = crowd_of(session, project=project, tasks=tasks, with_lengths=False)
    judgements = crowd.judgements.where(_admitted(crowd, admission))
    if not len(judgements):
        return Posteriors()
    contents = contents_of(session, project=project, crowd=crowd, tasks=tasks)
    place, person = _by_content(judgements, contents, n_annotators=len(crowd.annotators))
    settled = adjudicated_ranks(session, project=project)
    codes = codes_of(crowd, halves_of(list(settled)))
    pairs, classes = posteriors(
        _reordered(judgements, contents, place, person),
        n_annotators=len(crowd.annotators),
        adjudicated={
            int(place[code]): [ranks[position] for position in contents.order[code][: len(ranks)]]
            for code, ranks in zip(codes, settled.values(), strict=True)
            if code >= 0
        },
        known=list(
            known_votes(
                answers_to_gold(session, project=project),
                dict(zip(crowd.annotator_ids(), person.tolist(), strict=True)),
            )
        ),
        ties=project.allow_ties or judgements.has_ties,
    )
    return _by_task(pairs, classes, crowd, place)


def _tasks_of_first(project: Project, limit: int) -> Select[UUID]:
    first = (
        select(Prompt.id)
        .where(Prompt.project_id == project.id)
        .order_by(Prompt.content_hash)
        .limit(limit)
    )
    return select(Task.id).where(Task.prompt_id.in_(first))


def _admitted(crowd: Crowd, admission: Admission) -> NDArray[np.bool_]:
    judgements = crowd.judgements
    left_out = admission.failed_gold | admission.excluded | admission.kept_out
    taken = np.array([str(user_id) not in left_out for user_id in crowd.annotator_ids()], np.bool_)
    rows = taken[judgements.annotator] & ~judgements.repeat
    if admission.guidelines_version is not None:
        rows &= judgements.version == admission.guidelines_version
    if admission.since is not None:
        rows &= judgements.submitted >= admission.since.timestamp()
    if admission.until is not None:
        rows &= judgements.submitted < admission.until.timestamp()
    return rows


def _by_content(
    judgements: Judgements, contents: Contents, *, n_annotators: int
) -> tuple[Ints, Ints]:
    """(place of each task, place of each person): tasks by their digest, people by what they said.

    Two people who said the same of the same tasks are told apart by nothing, and need not be.
    """
    place = np.empty(len(contents.digest), np.int64)
    place[np.argsort(contents.digest, kind="stable")] = np.arange(len(place))
    order = contents.order[judgements.task]
    said = _packed(np.take_along_axis(judgements.ranks, order, axis=1))
    seen = _packed(np.take_along_axis(judgements.display, order, axis=1) + 1)
    words = contents.digest[judgements.task] * np.uint64(_MIXERS[0])
    for part, mixer in ((said, _MIXERS[1]), (seen, _MIXERS[2])):
        words = (words ^ (words >> np.uint64(29))) * np.uint64(_MIXERS[0]) + part * np.uint64(mixer)
    words ^= words >> np.uint64(32)
    signature = np.zeros(n_annotators, np.uint64)
    np.add.at(signature, judgements.annotator, words)
    person = np.empty(n_annotators, np.int64)
    person[np.argsort(signature, kind="stable")] = np.arange(n_annotators)
    return place, person


def _packed(columns: NDArray[np.int16]) -> NDArray[np.uint64]:
    packed = np.zeros(len(columns), np.uint64)
    for number, column in enumerate(columns.T):
        packed |= column.astype(np.uint64) << np.uint64(4 * number)
    return packed


def _reordered(judgements: Judgements, contents: Contents, place: Ints, person: Ints) -> Judgements:
    """The same judgements under the new codes, responses in the order of their hashes."""
    task, annotator = place[judgements.task], person[judgements.annotator]
    rows = np.lexsort((annotator, task))
    order = contents.order[judgements.task[rows]]
    moved = judgements.where(rows)
    return replace(
        moved,
        task=task[rows],
        annotator=annotator[rows],
        ranks=np.take_along_axis(moved.ranks, order, axis=1),
        display=np.take_along_axis(moved.display, order, axis=1),
    )


def _by_task(pairs: Pairs, classes: NDArray[np.float64], crowd: Crowd, place: Ints) -> Posteriors:
    rows = np.lexsort((pairs.second, pairs.first, pairs.task))
    first = np.flatnonzero(np.diff(pairs.task[rows], prepend=-1))
    code = np.empty(len(place), np.int64)
    code[place] = np.arange(len(place))
    ids = np.ascontiguousarray(crowd.tasks[code[pairs.names]].astype(">u8")).tobytes()
    return Posteriors(
        {ids[16 * n : 16 * n + 16]: int(row) for n, row in enumerate(first)}, classes[rows]
    )
