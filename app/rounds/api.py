"""Rounds as JSON: open one, watch it, move it on, and set the policy by which rounds go."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from sqlalchemy.orm import Session

from app.accounts.auth import CurrentUser
from app.db import Now, SessionDep
from app.errors import found
from app.projects.auth import AdminProject, ViewerProject
from app.rounds import queries, rules, service
from app.rounds.auth import ManagedRound, ViewedRound
from app.rounds.models import Round
from app.rounds.rules import Step
from app.rounds.schemas import EventOut, Policy, RoundOut, RoundPage, TurnBody

router = APIRouter(tags=["rounds"])

Limit = Annotated[int, Query(ge=1, le=200)]


class Deed(StrEnum):
    """What an admin can do to a round."""

    BEGIN = "begin"
    SKIP = "skip"
    TRY_AGAIN = "try-again"
    PAUSE = "pause"
    GO_ON = "go-on"
    END = "end"


@router.get("/projects/{project_id}/rounds")
def list_rounds(
    session: SessionDep, project: ViewerProject, cursor: UUID | None = None, limit: Limit = 50
) -> RoundPage:
    """The rounds of a project with their figures, newest first."""
    before = None
    if cursor is not None:
        before = found(queries.round_in(session, project_id=project.id, round_id=cursor))
    rounds = queries.rounds_of(session, project=project, before=before, limit=limit + 1)
    items = [round_out(session, round_) for round_ in rounds[:limit]]
    return RoundPage(items=items, next_cursor=items[-1].id if len(rounds) > limit else None)


@router.post("/projects/{project_id}/rounds", status_code=201)
def open_round(session: SessionDep, user: CurrentUser, project: AdminProject, now: Now) -> RoundOut:
    """Begin the next round; 409 while one is not finished."""
    return round_out(session, service.open_round(session, project=project, by=user, now=now))


@router.get("/projects/{project_id}/rounds/policy")
def get_round_policy(session: SessionDep, project: ViewerProject) -> Policy:
    return queries.policy_of(session, project=project)


@router.put("/projects/{project_id}/rounds/policy")
def put_round_policy(
    session: SessionDep, user: CurrentUser, project: AdminProject, body: Policy
) -> Policy:
    """How rounds go from now on, the present one as well."""
    return service.set_policy(session, project=project, policy=body, by=user)


@router.get("/rounds/{round_id}")
def get_round(session: SessionDep, round_: ViewedRound) -> RoundOut:
    return round_out(session, round_)


@router.get("/rounds/{round_id}/events")
def round_events(session: SessionDep, round_: ViewedRound) -> list[EventOut]:
    """What happened in a round, oldest first."""
    return [
        EventOut(step=event.step, at=event.at, kind=event.kind, message=event.message, by=name)
        for event, name in queries.events_of(session, round_=round_)
    ]


@router.post("/rounds/{round_id}/{deed}")
def act_on_round(
    session: SessionDep,
    user: CurrentUser,
    round_: ManagedRound,
    deed: Deed,
    body: TurnBody | None = None,
) -> RoundOut:
    """Begin, skip or try again the present step; pause the round, let it go on, or end it.

    With the `turn` that was seen, nothing happens (409) if the round has moved on since.
    """
    turn = body.turn if body else None
    service.DEEDS[deed](session, round_=round_, by=user, turn=turn)
    return round_out(session, round_)


def round_out(session: Session, round_: Round) -> RoundOut:
    session.refresh(round_)

    def text(row_id: UUID | None) -> str | None:
        return str(row_id) if row_id else None

    skipped = Step.EVALUATE in queries.skipped_steps(session, round_=round_)
    return RoundOut(
        id=str(round_.id),
        project_id=str(round_.project_id),
        number=round_.number,
        state=round_.state,
        step=round_.step,
        turn=round_.turn,
        is_under_way=round_.is_under_way,
        paused_at=round_.paused_at,
        error=round_.error,
        waits_for=queries.waits_for(session, round_=round_),
        policy=Policy.model_validate(round_.policy),
        former_checkpoint_id=text(round_.former_checkpoint_id),
        generation_id=text(round_.generation_id),
        snapshot_id=text(round_.snapshot_id),
        run_ids=round_.run_ids,
        checkpoint_id=text(round_.writer_checkpoint_id),
        reward_checkpoint_id=text(round_.reward_checkpoint_id),
        evaluation_id=text(round_.evaluation_id),
        is_promoted=round_.is_promoted,
        figures=round_.figures,
        told=rules.told(
            round_.figures.get("win"),
            has_new=round_.writer_checkpoint_id is not None,
            has_former=round_.former_checkpoint_id is not None,
            is_skipped=skipped,
        ),
        created_at=round_.created_at,
        finished_at=round_.finished_at,
    )
