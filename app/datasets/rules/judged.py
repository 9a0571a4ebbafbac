"""What was judged, and which judgements a recipe takes.

What there is one of per prompt, task or judgement is a named tuple: there are a million of them,
and a frozen dataclass takes several times as long to make.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from app.datasets.rules.comparisons import Ranks, Vote
from app.datasets.rules.rows import Candidate, Messages

Ratings = dict[str, list[float | None]]


class Behind(NamedTuple):
    """What a snapshot remembers of a judgement behind its rows: the first fields of it."""

    id: str
    user_id: str | None
    source: str | None
    guidelines_version: int


class Judgement(NamedTuple):
    """A current annotation of an ordinary task, by a person (`user_id`) or a source."""

    id: str
    user_id: str | None
    source: str | None
    guidelines_version: int
    counted: bool
    is_repeat: bool
    submitted_at: datetime
    rewrite: str | None
    vote: Vote
    ratings: Ratings | None = None
    is_requeued: bool = False


class JudgedTask(NamedTuple):
    """An ordinary task, everything in it in the order of response ids."""

    id: UUID
    responses: Sequence[Candidate]
    judgements: Sequence[Judgement]
    adjudicated: Ranks | None = None


class JudgedPrompt(NamedTuple):
    """A prompt with its tasks. messages: the system prompt first, where there is one."""

    id: str
    messages: Messages
    tasks: Sequence[JudgedTask]
    gold_tasks: int = 0
    source: str | None = None
    tags: Sequence[str] = ()
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """Which judgements a recipe takes."""

    failed_gold: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()
    kept_out: frozenset[str] = frozenset()  # of every snapshot, by an admin
    guidelines_version: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    people_only: bool = False

    def refuses(self, judgement: Judgement) -> str | None:
        """Why a judgement is left out (a key of `counts.REASONS`), or None when it is taken."""
        if judgement.is_repeat:
            return "repeat"
        if self.people_only and judgement.user_id is None:
            return "source"
        if judgement.user_id is not None and not judgement.counted:
            return "requeued" if judgement.is_requeued else "surplus"
        if judgement.user_id in self.kept_out:
            return "kept_out_annotator"
        if judgement.user_id in self.excluded:
            return "excluded_annotator"
        if judgement.user_id in self.failed_gold:
            return "failed_gold"
        if self.guidelines_version not in {None, judgement.guidelines_version}:
            return "guidelines_version"
        if self.since is not None and judgement.submitted_at < self.since:
            return "before_since"
        if self.until is not None and judgement.submitted_at >= self.until:
            return "after_until"
        return None


class Admitted(NamedTuple):
    """The judgements of one task that a recipe takes, and why it leaves the others."""

    judgements: Sequence[Judgement] = ()
    votes: Sequence[Vote] = ()
    by_people: bool = False
    reasons: Sequence[str] = ()


def admit(task: JudgedTask, admission: Admission) -> Admitted:
    """People first: what came with the data decides only where no person judged."""
    taken, reasons = [], []
    for judgement in task.judgements:
        reason = admission.refuses(judgement)
        if reason is None:
            taken.append(judgement)
        else:
            reasons.append(reason)
    people = [judgement for judgement in taken if judgement.user_id is not None]
    if people:
        reasons += ["person_judged"] * (len(taken) - len(people))
        taken = people
    votes = [judgement.vote for judgement in taken]
    return Admitted(taken, votes, bool(people), reasons)
