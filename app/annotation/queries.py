"""Reads of judgements: what an annotator sees of her task and history, and what admins read."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, and_, bindparam, func, select, tuple_
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.accounts.queries import WHO
from app.annotation import rules
from app.annotation.models import Annotation, Removal
from app.annotation.schemas import (
    AnswerLine,
    AssignmentOut,
    ExpectedOut,
    FeedbackOut,
    HistoryItem,
    OwnJudgement,
    PromptOut,
    QuestionOut,
    ResponseOut,
    ResultOut,
)
from app.corpus.models import Prompt
from app.projects.models import Membership, Project
from app.tasks import queries as tasks
from app.tasks import rules as task_rules
from app.tasks.models import Assignment, AssignmentState, QualificationAttempt, Task, TaskKind
from app.tasks.schemas import Gold

PACE_OF, PACE_FROM = 50, 5  # of the last so many tasks, and from so many on

_her_part = and_(
    Membership.project_id == Assignment.project_id, Membership.user_id == Assignment.user_id
)
_OWN = (
    select(Assignment, Project, Membership)
    .join(Project, Project.id == Assignment.project_id)
    .join(Membership, _her_part)
    .where(Assignment.id == bindparam("id"), Assignment.user_id == bindparam("person"))
)
_OWN_LOCKED = _OWN.with_for_update(of=Membership, key_share=True)

# What somebody at work needs, beside who she is: her assignment, or the project that she asks work
# of. Her membership is held until the transaction ends.
AN_OWN = WHO.along(
    lambda who: (
        who.add_columns(Assignment, Project, Membership)
        .join(Assignment, Assignment.user_id == User.id)
        .join(Project, Project.id == Assignment.project_id)
        .join(Membership, _her_part)
        .where(Assignment.id == bindparam("assignment_id"))
        .with_for_update(of=Membership, key_share=True)
    )
)
A_PLACE = WHO.along(
    lambda who: (
        who.add_columns(Project, Membership, tasks.HOLDS)
        .join(Membership, Membership.user_id == User.id)
        .join(Project, Project.id == Membership.project_id)
        .where(Project.id == bindparam("project_id"))
        .with_for_update(of=Membership, key_share=True)
    )
)
_CURRENT = select(Annotation).where(
    Annotation.assignment_id == bindparam("id"), Annotation.is_current.is_(True)
)


def assignment_of(
    session: Session, *, user: User, assignment_id: UUID, locks: bool = False
) -> tuple[Assignment, Project, Membership] | None:
    """The user's own assignment, if she still has a part in its project.

    With `locks` her membership is held until the transaction ends: her claims and submissions
    in one project happen one by one.
    """
    row = session.execute(
        _OWN_LOCKED if locks else _OWN, {"id": assignment_id, "person": user.id}
    ).one_or_none()
    return None if row is None else (row[0], row[1], row[2])


def place_in_history(session: Session, *, user: User, assignment_id: UUID) -> Assignment | None:
    """The user's own assignment, though she may have no part in its project any more."""
    assignment = session.get(Assignment, assignment_id)
    return assignment if assignment and assignment.user_id == user.id else None


def had_judgements_removed(session: Session, *, user: User) -> bool:
    """Whether judgements of hers were deleted somewhere, with the tasks that she held there."""
    gone = select(Removal.id).where(Removal.user_id == user.id, Removal.only_texts.is_(False))
    return session.scalar(gone.limit(1)) is not None


def current_annotation(session: Session, *, assignment: Assignment) -> Annotation | None:
    return session.scalar(_CURRENT, {"id": assignment.id})


def annotation_by_key(session: Session, *, user: User, key: str) -> Annotation | None:
    return session.scalar(
        select(Annotation).where(Annotation.user_id == user.id, Annotation.idempotency_key == key)
    )


def assignment_view(session: Session, *, assignment: Assignment, project: Project) -> AssignmentOut:
    """The task in the order of this person's screen, without ids, sources or kind."""
    shown = tasks.contents(session, assignment=assignment)
    order = assignment.display_order or list(range(len(shown.texts)))
    annotation = None
    if assignment.state is AssignmentState.SUBMITTED:
        annotation = current_annotation(session, assignment=assignment)
    return AssignmentOut(
        id=str(assignment.id),
        state=assignment.state,
        leased_until=assignment.leased_until,
        project_id=str(project.id),
        guidelines_version=project.guidelines_version,
        prompt=PromptOut(messages=shown.messages, system=shown.system, language=shown.language),
        responses=[
            ResponseOut(label=label, text=shown.texts[position])
            for label, position in zip(rules.labels(len(order)), order, strict=True)
        ],
        criteria=project.criteria,
        allow_ties=project.allow_ties,
        strength_levels=project.strength_levels if len(order) == 2 else 0,
        draft=_draft(assignment),
        annotation=own_judgement(annotation, order) if annotation else None,
        **(_as_question(session, assignment, annotation) if assignment.attempt_id else {}),
    )


def _as_question(
    session: Session, assignment: Assignment, annotation: Annotation | None
) -> dict[str, Any]:
    """What a question of the qualification has beside other tasks."""
    attempt = session.get_one(QualificationAttempt, assignment.attempt_id)
    question = {"question": assignment.question, "of": attempt.size, "attempt": attempt.number}
    asked = QuestionOut.model_validate(question)
    if annotation is None:
        return {"qualification": asked}
    return {
        "qualification": asked,
        "feedback": feedback_of(session, assignment=assignment, annotation=annotation),
    }


def feedback_of(
    session: Session, *, assignment: Assignment, annotation: Annotation
) -> FeedbackOut | None:
    """What she is told of her answer to a question; None where it is none any more."""
    key = tasks.question_key(session, task_id=assignment.task_id)
    if key is None or assignment.display_order is None:
        return None
    order = assignment.display_order
    attempt = session.get_one(QualificationAttempt, assignment.attempt_id)
    result = None
    if attempt.passed is not None and assignment.question == attempt.size:
        result = ResultOut(
            passed=attempt.passed,
            correct=attempt.correct,
            of=attempt.size,
            needed=attempt.needed,
        )
    return FeedbackOut(
        question=assignment.question or 0,
        of=attempt.size,
        attempt=attempt.number,
        right=key.is_satisfied_by(annotation.ranks),
        ranking=rules.shown_ranking(annotation.ranks, order),
        expected=_expected(key, order),
        explanation=key.explanation.strip() or None,
        result=result,
    )


def _expected(key: Gold, order: Sequence[int]) -> ExpectedOut:
    """A key in the labels of a screen."""
    label_at = dict(zip(order, rules.labels(len(order)), strict=True))

    def named(groups: Iterable[Sequence[int]]) -> list[list[str]]:
        return [[label_at[place] for place in group] for group in groups]

    whole = task_rules.order_of_key(len(order), prefers=key.prefers, equal=key.equal)
    return ExpectedOut(
        order=None if whole is None else [sorted(group) for group in named(whole)],
        better=sorted(named(key.prefers)),
        equal=sorted(sorted(pair) for pair in named(key.equal)),
        ties_allowed=key.ties_allowed,
    )


def answers_of(session: Session, *, attempt: QualificationAttempt) -> list[AnswerLine]:
    """The questions that she has answered in an attempt, in their order."""
    rows = session.execute(
        select(Assignment, Annotation, Prompt.messages)
        .join(Annotation, Annotation.assignment_id == Assignment.id)
        .join(Task, Task.id == Assignment.task_id)
        .join(Prompt, Prompt.id == Task.prompt_id)
        .where(Assignment.attempt_id == attempt.id, Annotation.is_current.is_(True))
        .order_by(Assignment.question)
    ).all()
    keys = tasks.gold_keys(
        session, task_ids=[each.task_id for each, _, _ in rows], of=tasks.IS_QUALIFICATION
    )
    return [
        AnswerLine(
            assignment_id=str(assignment.id),
            question=assignment.question or 0,
            prompt=_beginning(messages),
            right=key.is_satisfied_by(annotation.ranks) if key else None,
        )
        for assignment, annotation, messages in rows
        for key in [keys.get(assignment.task_id)]
    ]


def _draft(assignment: Assignment) -> dict[str, Any] | None:
    if assignment.draft is None:
        return None
    return {**assignment.draft, "revision": assignment.draft_revision}


def own_judgement(annotation: Annotation, order: Sequence[int]) -> OwnJudgement:
    """A stored judgement in the labels its author saw."""
    label_at = dict(zip(order, rules.labels(len(order)), strict=True))
    return OwnJudgement(
        ranking=rules.shown_ranking(annotation.ranks, order),
        strength=annotation.strength,
        ratings={
            key: {
                label_at[position]: value
                for position, value in enumerate(values)
                if value is not None
            }
            for key, values in annotation.ratings.items()
        },
        rationale=annotation.rationale,
        flags={label_at[int(position)]: flags for position, flags in annotation.flags.items()},
        rewrite=annotation.rewrite,
        revision=annotation.revision,
    )


def pace(session: Session, *, project: Project, user: User) -> float | None:
    """Her median seconds of work on a task, over the last ones; None before there are some."""
    last = (
        select(Annotation.active_ms)
        .join(Assignment, Assignment.id == Annotation.assignment_id)
        .where(Assignment.user_id == user.id, Assignment.project_id == project.id)
        .where(Assignment.state == AssignmentState.SUBMITTED, Annotation.is_current.is_(True))
        .where(Annotation.active_ms.is_not(None), Assignment.attempt_id.is_(None))
        .order_by(Assignment.finished_at.desc())
        .limit(PACE_OF)
        .subquery()
    )
    median = func.percentile_cont(0.5).within_group(last.c.active_ms)
    number, milliseconds = session.execute(select(func.count(), median).select_from(last)).one()
    return milliseconds / 1000 if number >= PACE_FROM else None


def is_surplus(session: Session, *, annotation: Annotation) -> bool:
    """Whether it came too late to count. Gold and repeats never are: they count by design not.

    Nor is what was re-queued: if only ordinary tasks stopped counting, the others would be known.
    """
    kind = session.scalar(select(Task.kind).where(Task.id == annotation.task_id))
    counts = annotation.counted or annotation.is_repeat or annotation.requeue_id is not None
    return not counts and kind is TaskKind.ORDINARY


def can_change(session: Session, *, assignment: Assignment) -> bool:
    """Whether it is among her last submissions in the project."""
    later = session.scalars(
        select(Assignment.id)
        .where(
            Assignment.user_id == assignment.user_id,
            Assignment.project_id == assignment.project_id,
            Assignment.state == AssignmentState.SUBMITTED,
            Assignment.display_order.is_not(None),
            tuple_(Assignment.finished_at, Assignment.ordinal)
            > tuple_(assignment.finished_at, assignment.ordinal),
        )
        .limit(rules.UNDO_DEPTH)
    ).all()
    return assignment.display_order is not None and len(later) < rules.UNDO_DEPTH


def history(
    session: Session,
    *,
    user: User,
    project_id: UUID | None,
    before: Assignment | None,
    limit: int,
) -> list[HistoryItem]:
    """Her current judgements, newest first, from the one before `before` on."""
    mine = (
        select(Annotation, Assignment, Task.kind, Prompt.messages)
        .join(Assignment, Assignment.id == Annotation.assignment_id)
        .join(Task, Task.id == Assignment.task_id)
        .join(Prompt, Prompt.id == Task.prompt_id)
        .where(Assignment.user_id == user.id, Assignment.state == AssignmentState.SUBMITTED)
        .where(Annotation.is_current.is_(True), Assignment.display_order.is_not(None))
    )
    if project_id is not None:
        mine = mine.where(Assignment.project_id == project_id)
    if before is not None:
        mine = mine.where(
            tuple_(Assignment.finished_at, Assignment.ordinal)
            < tuple_(before.finished_at, before.ordinal)
        )
    rows = session.execute(
        mine.order_by(Assignment.finished_at.desc(), Assignment.ordinal.desc()).limit(limit)
    )
    return [
        HistoryItem(
            **own_judgement(annotation, assignment.display_order or []).model_dump(),
            id=str(annotation.id),
            assignment_id=str(assignment.id),
            project_id=str(assignment.project_id),
            prompt=_beginning(messages),
            counted=assignment.attempt_id is None
            and (
                annotation.counted
                or kind is not TaskKind.ORDINARY
                or annotation.is_repeat
                or annotation.requeue_id is not None
            ),
            qualification=assignment.attempt_id is not None,
            submitted_at=annotation.submitted_at,
        )
        for annotation, assignment, kind, messages in rows
    ]


def _beginning(messages: Sequence[Any], *, length: int = 160) -> str:
    """How the last turn of a prompt begins."""
    content = " ".join(str(messages[-1].get("content", "")).split()) if messages else ""
    return content if len(content) <= length else content[: length - 1] + "…"


def annotation_in(session: Session, *, project: Project, annotation_id: UUID) -> Annotation | None:
    annotation = session.get(Annotation, annotation_id)
    return annotation if annotation and annotation.project_id == project.id else None


def annotations_of(
    session: Session, *, project: Project, after: Annotation | None, limit: int
) -> Sequence[Row[Annotation, str | None, str]]:
    """Every current judgement, oldest first: (Annotation, external_id, who)."""
    who = func.coalesce(Annotation.source, Membership.imported_name, User.email, User.name)
    statement = (
        select(Annotation, Task.external_id, who)
        .join(Task, Task.id == Annotation.task_id)
        .outerjoin(User, User.id == Annotation.user_id)
        .outerjoin(
            Membership,
            and_(
                Membership.user_id == Annotation.user_id,
                Membership.project_id == Annotation.project_id,
            ),
        )
        .where(Annotation.project_id == project.id, Annotation.is_current.is_(True))
    )
    if after is not None:
        statement = statement.where(
            tuple_(Annotation.submitted_at, Annotation.id) > tuple_(after.submitted_at, after.id)
        )
    return session.execute(
        statement.order_by(Annotation.submitted_at, Annotation.id).limit(limit)
    ).all()
