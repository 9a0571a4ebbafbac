"""Handing in a judgement: once, late, again under the same key, or changed afterwards."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID, uuid4

from sqlalchemy import Table, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.annotation import queries, rules
from app.annotation.models import Annotation
from app.annotation.schemas import DraftBody, DraftOut, JudgementBody
from app.annotation.service.gold import passes, restand
from app.annotation.service.overlap import decide_overlap
from app.errors import Conflict, Invalid, found
from app.projects.models import Membership, Project
from app.tasks import queries as task_queries
from app.tasks import service as tasks
from app.tasks.models import Assignment, AssignmentState

MAX_WALL_MS = 2**31 - 1
OTHER_BODY = (
    "This idempotency key was used for another judgement. Send each judgement under its own key."
)


@dataclass(frozen=True, slots=True)
class Submission:
    """What a submission left behind; `is_new` is False for a replay of an earlier one."""

    annotation_id: UUID
    revision: int
    counted: bool  # as its author may know it: gold and repeats look like any other task
    is_new: bool


def submit(
    session: Session,
    *,
    assignment: Assignment,
    project: Project,
    user: User,
    judgement: JudgementBody,
    key: str | None,
    now: datetime,
    membership: Membership | None = None,
) -> Submission:
    """Record the annotator's order of the responses and close the assignment.

    The same key and body again answer as the first time; another body under the key is `Invalid`.
    On a submitted assignment, a new key with the current revision appends one, a stale revision
    is `Conflict`. `membership` is hers if it is locked already.
    """
    if membership is None:
        membership = tasks.lock_member(session, project=project, user=user)
    values = _values(assignment, project=project, judgement=judgement) | {
        "guidelines_version": rules.version_read(
            membership.guidelines_read, current=project.guidelines_version
        ),
        "idempotency_key": key,
        "body_hash": body_hash(assignment, judgement),
    }
    completion = tasks.complete(session, assignment=assignment, now=now)
    if completion is None:
        replay = _replay(session, assignment=assignment, user=user, values=values)
        return replay or _revise(
            session,
            assignment=assignment,
            project=project,
            user=user,
            values=values,
            revision=judgement.revision,
            now=now,
        )
    passed = None if completion.gold is None else passes(completion.gold, values["ranks"])
    annotation_id = _append(
        session,
        assignment=assignment,
        project=project,
        user=user,
        values=values | _times(assignment, judgement, now=now),
        counted=completion.counts,
        gold_passed=passed,
        now=now,
    )
    _follow_up(
        session,
        assignment=assignment,
        project=project,
        user=user,
        counted=completion.counts,
        gold_passed=passed,
        now=now,
    )
    is_ordinary = not completion.is_gold and not assignment.is_repeat
    return Submission(
        annotation_id, revision=1, counted=completion.counts or not is_ordinary, is_new=True
    )


def body_hash(assignment: Assignment, judgement: JudgementBody) -> bytes:
    content = {"assignment": str(assignment.id), **judgement.model_dump(mode="json")}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()


def _values(
    assignment: Assignment, *, project: Project, judgement: JudgementBody
) -> dict[str, Any]:
    """The judgement in canonical order; `Invalid` where it does not fit the task."""
    order = assignment.display_order
    if order is None:
        raise Conflict("This judgement came with imported data and cannot be changed here.")
    size = len(order)
    rules.require_ranking(judgement.ranking, size=size, allow_ties=project.allow_ties)
    flags = rules.positions(judgement.flags, display_order=order)
    draft = (assignment.draft or {}) if judgement.from_draft else {}
    return {
        "ranks": rules.canonical_ranks(judgement.ranking, order),
        "strength": rules.applicable_strength(
            judgement.strength,
            ranking=judgement.ranking,
            size=size,
            levels=project.strength_levels,
        ),
        "ratings": rules.canonical_ratings(
            judgement.ratings, criteria=project.criteria, display_order=order
        ),
        "rationale": judgement.rationale or draft.get("rationale"),
        "flags": {str(place): sorted(set(marks)) for place, marks in flags.items() if marks},
        "rewrite": judgement.rewrite or draft.get("rewrite"),
    }


def _times(
    assignment: Assignment, judgement: JudgementBody, *, now: datetime
) -> dict[str, int | None]:
    """Times within the lease; a prefetched task was not looked at since it was claimed."""
    passed = max(0, int((now - assignment.created_at).total_seconds() * 1000))
    told = judgement.times
    wall = min(passed, MAX_WALL_MS) if told.wall_ms is None else min(passed, told.wall_ms)
    visible, active = rules.plausible_times(
        wall_ms=wall, visible_ms=told.visible_ms, active_ms=told.active_ms
    )
    return {"wall_ms": wall, "visible_ms": visible, "active_ms": active}


_rows = cast(Table, Annotation.__table__)
APPEND = (
    insert(_rows)
    .on_conflict_do_nothing(index_elements=[_rows.c.user_id, _rows.c.idempotency_key])
    .returning(_rows.c.id)
)


def _append(
    session: Session,
    *,
    assignment: Assignment,
    project: Project,
    user: User,
    values: dict[str, Any],
    counted: bool,
    gold_passed: bool | None,
    now: datetime,
    revision: int = 1,
) -> UUID:
    """The row's id; `Invalid` when its key was used on another assignment."""
    annotation_id: UUID | None = session.scalar(
        APPEND,
        {
            "id": uuid4(),
            "project_id": project.id,
            "task_id": assignment.task_id,
            "assignment_id": assignment.id,
            "user_id": user.id,
            "revision": revision,
            "is_current": True,
            "is_repeat": assignment.is_repeat,
            "counted": counted,
            "gold_passed": gold_passed,
            "submitted_at": now,
            **values,
        },
    )
    if annotation_id is None:
        raise Invalid(OTHER_BODY)
    return annotation_id


def _follow_up(
    session: Session,
    *,
    assignment: Assignment,
    project: Project,
    user: User,
    counted: bool,
    gold_passed: bool | None,
    now: datetime,
) -> None:
    """What a judgement changes beyond itself: her standing, or how many more are wanted."""
    if gold_passed is not None:
        restand(session, project=project, user_ids=[user.id], now=now, may_pause=not gold_passed)
    elif counted:
        decide_overlap(session, project=project, task_ids=[assignment.task_id])


def _replay(
    session: Session, *, assignment: Assignment, user: User, values: dict[str, Any]
) -> Submission | None:
    """What this request left the first time it came, if it came before."""
    key, digest = values["idempotency_key"], values["body_hash"]
    if key is None:
        known = queries.current_annotation(session, assignment=assignment)
        if known is None or known.body_hash != digest:
            return None
    else:
        known = queries.annotation_by_key(session, user=user, key=key)
        if known is None:
            return None
        if known.body_hash != digest:
            raise Invalid(OTHER_BODY)
    surplus = queries.is_surplus(session, annotation=known)
    return Submission(known.id, known.revision, counted=not surplus, is_new=False)


def _revise(
    session: Session,
    *,
    assignment: Assignment,
    project: Project,
    user: User,
    values: dict[str, Any],
    revision: int | None,
    now: datetime,
) -> Submission:
    """Append a revision to a submitted judgement; the older ones stay."""
    if not queries.can_change(session, assignment=assignment):
        raise Conflict(
            f"Only your last {rules.UNDO_DEPTH} answers can still be changed. "
            "If this one is wrong, tell a reviewer."
        )
    replaced = session.scalar(
        update(Annotation)
        .where(
            Annotation.assignment_id == assignment.id,
            Annotation.is_current.is_(True),
            Annotation.revision == revision,
        )
        .values(is_current=False)
        .returning(Annotation)
    )
    if replaced is None:
        newest = found(queries.current_annotation(session, assignment=assignment))
        raise Conflict(
            "You have answered this task already, perhaps in another tab. Look at that answer "
            f"(revision {newest.revision}) and change it there.",
            errors=[
                {
                    "field": "revision",
                    "message": f"the current one is {newest.revision}",
                    "current": _as_shown(newest, assignment),
                }
            ],
        )
    surplus = queries.is_surplus(session, annotation=replaced)
    gold = task_queries.gold_in_force(session, task_id=assignment.task_id)
    gold_passed = None if gold is None else passes(gold, values["ranks"])
    times = ("wall_ms", "visible_ms", "active_ms")  # of the judgement, not of its correction
    annotation_id = _append(
        session,
        assignment=assignment,
        project=project,
        user=user,
        values=values | {name: getattr(replaced, name) for name in times},
        counted=replaced.counted,
        gold_passed=gold_passed,
        now=now,
        revision=replaced.revision + 1,
    )
    _follow_up(
        session,
        assignment=assignment,
        project=project,
        user=user,
        counted=replaced.counted,
        gold_passed=gold_passed,
        now=now,
    )
    return Submission(annotation_id, replaced.revision + 1, counted=not surplus, is_new=True)


def _as_shown(annotation: Annotation, assignment: Assignment) -> dict[str, Any]:
    """The stored answer in the labels of her screen, for her to compare with the other one."""
    order = assignment.display_order or []
    return queries.own_judgement(annotation, order).model_dump(mode="json", exclude_none=True)


def save_draft(session: Session, *, assignment: Assignment, draft: DraftBody) -> DraftOut:
    """Keep an unfinished judgement; one that is older than what is kept is dropped."""
    content = draft.model_dump(mode="json", exclude_defaults=True, exclude={"revision"})
    saved = session.scalar(
        update(Assignment)
        .where(
            Assignment.id == assignment.id,
            Assignment.state != AssignmentState.SUBMITTED,
            Assignment.draft_revision < draft.revision,
        )
        .values(draft=content, draft_revision=draft.revision)
        .returning(Assignment.draft_revision)
    )
    if saved is not None:
        return DraftOut(revision=saved, saved=True)
    current = session.scalars(
        select(Assignment.draft_revision).where(Assignment.id == assignment.id)
    ).one()
    return DraftOut(revision=current, saved=False)
