"""Handing in a judgement: once, late, again under the same key, or changed afterwards."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, cast
from uuid import UUID, uuid4

from sqlalchemy import Table, bindparam, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from app.accounts.models import User
from app.accounts.service import audit
from app.annotation import queries, rules
from app.annotation.models import Annotation
from app.annotation.schemas import DraftBody, DraftOut, JudgementBody
from app.annotation.service.gold import passes, standing_after
from app.annotation.service.overlap import decide_overlap, spare_overlap
from app.annotation.service.qualification import score_answer
from app.annotation.service.rescaling import explained
from app.errors import Conflict, Invalid, found
from app.projects.models import Membership, Project, Standing
from app.projects.queries import told_since
from app.tasks import queries as task_queries
from app.tasks import service as tasks
from app.tasks.models import Assignment, AssignmentState
from app.tasks.schemas import Gold

MAX_WALL_MS = 2**31 - 1
OTHER_BODY = (
    "This idempotency key was used for another judgement. Send each judgement under its own key."
)


PAUSED_BECAUSE = (
    "Several of your answers to control questions were not right. Please read the guidelines "
    "again, then ask an admin of the project to let you go on."
)
PAUSED_BY_RULE = "project.member.pause.rule"  # in the audit log
# What a submission may change of a membership.
STANDING = ("gold_seen", "gold_passed", "standing", "gold_share", "paused_at", "pause_reason")


class Place(NamedTuple):
    """Where and when a judgement is handed in; the membership is its author's, and locked."""

    assignment: Assignment
    project: Project
    membership: Membership
    now: datetime


@dataclass(frozen=True, slots=True)
class Submission:
    """What a submission left behind; `is_new` is False for a replay of an earlier one."""

    annotation_id: UUID
    revision: int
    counted: bool  # as its author may know it: gold and repeats look like any other task
    is_new: bool
    holds: Sequence[UUID] | None = None  # her other open assignments, where they are known


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
    version = rules.version_read(membership.guidelines_read, current=project.guidelines_version)
    request = {
        "guidelines_version": version,
        "idempotency_key": key,
        "body_hash": body_hash(assignment, judgement),
    }
    try:
        values = _values(assignment, project=project, judgement=judgement) | request
    except Invalid as error:  # it may have fitted when it came the first time
        replay = _replay(session, assignment=assignment, user=user, values=request)
        if replay is not None:
            return replay
        raise explained(session, error, assignment=assignment, project=project) from error
    at = Place(assignment, project, membership, now)
    completion = tasks.complete(session, assignment=assignment, now=now)
    if completion is None:
        replay = _replay(session, assignment=assignment, user=user, values=values)
        return replay or _revise(session, at, values=values, judgement=judgement)
    is_question = assignment.attempt_id is not None
    # What is in time is looked at by the job that closes what the guidelines show.
    is_told = completion.is_late and _told_since(session, assignment) is not None
    annotation_id = _append(
        session,
        at,
        values=values | _times(assignment, judgement, now=now),
        counted=completion.counts,
        gold=completion.gold if completion.is_gold and not (is_question or is_told) else None,
    )
    if is_question:
        score_answer(session, assignment=assignment, ranks=values["ranks"], now=now)
        return Submission(annotation_id, revision=1, counted=False, is_new=True)
    has_key = completion.is_gold or completion.is_qualification
    is_ordinary = not has_key and not assignment.is_repeat
    return Submission(
        annotation_id,
        revision=1,
        counted=completion.counts or not is_ordinary,
        is_new=True,
        holds=completion.holds,
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
        "rationale": _written(judgement.rationale, draft.get("rationale")),
        "flags": {str(place): sorted(set(marks)) for place, marks in flags.items() if marks},
        "rewrite": _written(judgement.rewrite, draft.get("rewrite")),
    }


def _written(text: str | None, drafted: str | None) -> str | None:
    """What was given, else drafted; a blank one is none: a model would be taught a blank answer."""
    given = drafted if text is None else text
    return given if given and given.strip() else None


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
_members = cast(Table, Membership.__table__)

# The judgement, and what it changes of its author's standing: one statement whatever the task is,
# so that gold is not known by the time it takes: its columns are `new_…`, the others `her_…`.
_stand = (
    update(_members)
    .where(
        _members.c.project_id == bindparam("in_project"), _members.c.user_id == bindparam("person")
    )
    .values({name: bindparam(f"her_{name}", type_=_members.c[name].type) for name in STANDING})
)
APPEND = (
    insert(_rows)
    .values(
        {
            each.name: bindparam(f"new_{each.name}", type_=each.type)
            for each in _rows.c
            if each.name not in {"source", "meta", "import_id"}  # of imported judgements alone
        }
    )
    .on_conflict_do_nothing(index_elements=[_rows.c.user_id, _rows.c.idempotency_key])
    .returning(_rows.c.id)
    .add_cte(_stand.cte("stand"))
)


def _append(
    session: Session,
    at: Place,
    *,
    values: dict[str, Any],
    counted: bool,
    gold: Gold | None,
    replaced: Annotation | None = None,
) -> UUID:
    """The row's id; `Invalid` when its key was used on another assignment."""
    assignment, project, membership, now = at
    passed = None if gold is None else passes(gold, values["ranks"])
    before = replaced.gold_passed if replaced and gold else None
    is_first = not assignment.is_repeat  # a second look says nothing more of her
    hers = _standing(
        at,
        seen=is_first * ((passed is not None) - (before is not None)),
        passed=is_first * (bool(passed) - bool(before)),
        is_wrong=is_first and passed is False,
    )
    row = values | {
        "id": uuid4(),
        "project_id": project.id,
        "task_id": assignment.task_id,
        "assignment_id": assignment.id,
        "user_id": assignment.user_id,
        "revision": replaced.revision + 1 if replaced else 1,
        "is_current": True,
        "is_repeat": assignment.is_repeat,
        "requeue_id": replaced.requeue_id if replaced else None,
        "counted": counted,
        "gold_passed": passed,
        "submitted_at": now,
    }
    given = {f"new_{name}": value for name, value in row.items()}
    given |= {f"her_{name}": value for name, value in hers.items()}
    given |= {"in_project": project.id, "person": assignment.user_id}
    annotation_id: UUID | None = session.scalar(APPEND, given)
    if annotation_id is None:
        raise Invalid(OTHER_BODY)
    is_paused_now = membership.paused_at is None and hers["paused_at"] is not None
    for name, value in hers.items():
        set_committed_value(membership, name, value)
    decide_overlap(session, project=project, task_ids=[assignment.task_id])
    if is_paused_now:
        _note_pause(session, at)
    return annotation_id


def _note_pause(session: Session, at: Place) -> None:
    """Write into the audit log that the rule paused her: nobody did."""
    user = session.get_one(User, at.assignment.user_id)
    audit(
        session,
        user=None,
        action=PAUSED_BY_RULE,
        target=user.email or user.name,
        project_id=at.project.id,
        user_id=str(user.id),
        seen=at.membership.gold_seen,
        passed=at.membership.gold_passed,
    )


def _standing(at: Place, *, seen: int, passed: int, is_wrong: bool) -> dict[str, Any]:
    """Her standing when her gold answers are so many more; computed for every task alike."""
    _, project, membership, now = at
    hers = standing_after(
        project, seen=membership.gold_seen + seen, passed=membership.gold_passed + passed
    ) | {"paused_at": membership.paused_at, "pause_reason": membership.pause_reason}
    if is_wrong and hers["standing"] is Standing.FAILED and membership.paused_at is None:
        hers |= {"paused_at": now, "pause_reason": PAUSED_BECAUSE}
    return hers


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
    counted = assignment.attempt_id is None and not queries.is_surplus(session, annotation=known)
    return Submission(known.id, known.revision, counted=counted, is_new=False)


def _revise(
    session: Session, at: Place, *, values: dict[str, Any], judgement: JudgementBody
) -> Submission:
    """Append a revision to a submitted judgement; the older ones stay.

    There is no draft any more: texts that are left out for it are those that were handed in.
    """
    assignment, project = at.assignment, at.project
    if assignment.attempt_id is not None:
        raise Conflict(
            "An answer to a question of the qualification cannot be changed: you have seen what "
            "was right. Go on with the next one."
        )
    if not queries.can_change(session, assignment=assignment):
        raise Conflict(
            f"Only your last {rules.UNDO_DEPTH} answers can still be changed. "
            "If this one is wrong, tell a reviewer."
        )
    if _told_since(session, assignment) is not None:
        raise Conflict(
            "The guidelines show this task as an example, and with it what is right. So your "
            "answer stays as you gave it."
        )
    replaced = session.scalar(
        update(Annotation)
        .where(
            Annotation.assignment_id == assignment.id,
            Annotation.is_current.is_(True),
            Annotation.revision == judgement.revision,
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
    kept = ["wall_ms", "visible_ms", "active_ms"]  # of the judgement, not of its correction
    if judgement.from_draft:
        kept += [text for text in ("rationale", "rewrite") if getattr(judgement, text) is None]
    annotation_id = _append(
        session,
        at,
        values=values | {name: getattr(replaced, name) for name in kept},
        counted=replaced.counted,
        gold=task_queries.gold_in_force(session, task_id=assignment.task_id),
        replaced=replaced,
    )
    spare_overlap(session, project=project, task_ids=[assignment.task_id])
    return Submission(annotation_id, replaced.revision + 1, counted=not surplus, is_new=True)


def _told_since(session: Session, assignment: Assignment) -> datetime | None:
    return told_since(session, project_id=assignment.project_id, task_id=assignment.task_id)


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
