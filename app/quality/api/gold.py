"""Gold in doubt, and appeals, as JSON."""

from uuid import UUID

from fastapi import APIRouter, Request
from sqlalchemy.orm import Session

from app.accounts.auth import CurrentUser
from app.accounts.models import Role
from app.annotation.auth import AdminTask
from app.annotation.schemas import GoldOut
from app.db import Now, SessionDep
from app.errors import found
from app.projects.auth import ProjectRole, ReviewerProject, require
from app.projects.models import Project
from app.quality.auth import ReviewableTask
from app.quality.queries import gold as queries
from app.quality.rules.gold import Score, ScoreChange
from app.quality.schemas.agreement import FigureOut
from app.quality.schemas.gold import (
    AppealOut,
    AppealPage,
    GoldChange,
    GoldChangeOut,
    GoldLineOut,
    GoldPage,
    KeyBody,
    ScoreChangeOut,
    ScoreOut,
    Settlement,
    WithdrawBody,
)
from app.quality.service.appeals import settle_appeal
from app.quality.service.gold import Doubt, change_gold, changed_scores
from app.quality.service.settling import set_key
from app.tasks import queries as task_queries
from app.tasks.models import Appeal
from app.tasks.queries import AppealLine

router = APIRouter(tags=["quality"])

SETTLED = 200  # of the answered appeals, the last ones


@router.get("/projects/{project_id}/gold")
def list_gold(session: SessionDep, project: ReviewerProject) -> GoldPage:
    """Every task with a key, the most doubtful first."""
    return GoldPage(
        items=[
            GoldLineOut(
                task_id=str(line.task_id),
                external_id=line.external_id,
                qualification=line.is_question,
                key=line.key,
                explanation=line.explanation,
                seen=line.seen,
                passed=line.passed,
                pass_rate=FigureOut(**line.pass_rate.as_json()),
                disputed=line.is_disputed,
                suspended_at=line.suspended_at,
                suspend_reason=line.suspend_reason,
                upheld_at=line.upheld_at,
                open_appeals=line.appeals,
            )
            for line in queries.gold_lines(session, project=project)
        ]
    )


@router.put("/tasks/{task_id}/gold")
def set_gold(
    session: SessionDep, at: AdminTask, user: CurrentUser, body: KeyBody, now: Now
) -> GoldOut:
    """Make a task gold, or change its key; judgements that are there are scored anew."""
    project, task = at
    set_key(session, task=task, project=project, body=body, by=user, now=now)
    return GoldOut(task_id=str(task.id), **body.model_dump(exclude={"if_unchanged"}))


@router.post("/tasks/{task_id}/gold/suspension")
def withdraw_gold(
    request: Request,
    session: SessionDep,
    task: ReviewableTask,
    user: CurrentUser,
    now: Now,
    body: WithdrawBody,
) -> GoldChangeOut:
    """Take a key out of force; everybody's score is corrected, open appeals are answered."""
    change = GoldChange(action="withdraw", reason=body.reason)
    doubt = Doubt(project=request.state.project, task=task, change=change, by=user, now=now)
    return _done(session, doubt)


@router.delete("/tasks/{task_id}/gold/suspension")
def restore_gold(
    request: Request, session: SessionDep, task: ReviewableTask, user: CurrentUser, now: Now
) -> GoldChangeOut:
    """Put a withdrawn key in force again; scores follow."""
    change = GoldChange(action="restore")
    doubt = Doubt(project=request.state.project, task=task, change=change, by=user, now=now)
    return _done(session, doubt)


def _done(session: Session, doubt: Doubt) -> GoldChangeOut:
    task_id = str(doubt.task.id)
    changes = changed_scores(session, doubt.project, lambda: change_gold(session, doubt))
    return GoldChangeOut(task_id=task_id, changes=[_change_out(change) for change in changes])


@router.get("/projects/{project_id}/appeals")
def list_appeals(session: SessionDep, project: ReviewerProject) -> AppealPage:
    """Open appeals, oldest first, then the last answered ones."""
    lines = [
        *task_queries.open_appeals(session, project=project),
        *task_queries.settled_appeals(session, project=project, limit=SETTLED),
    ]
    return AppealPage(items=[_appeal_out(line) for line in lines])


@router.put("/projects/{project_id}/appeals/{appeal_id}")
def answer_appeal(
    session: SessionDep,
    project: ReviewerProject,
    role: ProjectRole,
    user: CurrentUser,
    now: Now,
    appeal_id: UUID,
    body: Settlement,
) -> AppealOut:
    """Say that the key or the pause stands, or lift the pause; its author is told."""
    appeal = found(task_queries.appeal_in(session, project=project, appeal_id=appeal_id))
    if appeal.task_id is None:  # a pause is an admin's
        require(role, Role.ADMIN)
    settle_appeal(session, project=project, appeal=appeal, settlement=body, by=user, now=now)
    return _appeal_out(_named(session, project, appeal))


def _named(session: Session, project: Project, appeal: Appeal) -> AppealLine:
    name = queries.scores(session, project=project).get(str(appeal.user_id))
    return AppealLine(appeal, name[0] if name else "")


def _appeal_out(line: AppealLine) -> AppealOut:
    appeal = line.appeal
    return AppealOut(
        id=str(appeal.id),
        user_id=str(appeal.user_id),
        name=line.name,
        task_id=None if appeal.task_id is None else str(appeal.task_id),
        body=appeal.body,
        created_at=appeal.created_at,
        outcome=appeal.outcome,
        answer=appeal.answer,
        settled_at=appeal.settled_at,
    )


def _change_out(change: ScoreChange) -> ScoreChangeOut:
    return ScoreChangeOut(
        user_id=change.user_id,
        name=change.name,
        before=_score_out(change.before),
        after=_score_out(change.after),
        paused_by_gold=change.is_paused,
    )


def _score_out(score: Score) -> ScoreOut:
    return ScoreOut(
        standing=score.standing,
        seen=score.seen,
        passed=score.passed,
        qualified=score.is_qualified,
    )
