"""How a round goes on: by itself, one step at a time, each move whole or not at all."""

from uuid import UUID

import structlog
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.db import database_now
from app.errors import AppError
from app.projects.models import Project
from app.rounds import rules
from app.rounds.models import Round, RoundEvent, RoundState
from app.rounds.rules import Step
from app.rounds.schemas import Policy
from app.rounds.service import figures, opening, steps
from app.rounds.service.steps import At, Where

log = structlog.get_logger(__name__)


def look(session: Session, *, round_id: UUID) -> bool:
    """Move a round on by one step if it can go; whether it moved.

    The row is locked for as long as that takes: a second worker that looks passes it by. What the
    step queues is queued in this transaction, so a worker that dies here has done nothing.
    """
    round_ = session.scalar(
        select(Round)
        .where(Round.id == round_id, Round.finished_at.is_(None), Round.paused_at.is_(None))
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    if round_ is None:
        return False
    turn = round_.turn
    try:
        with session.begin_nested():
            _move(at_work(session, round_))
    except AppError as error:
        fail(session, round_, error.detail)
    except OperationalError:
        raise  # the database went away: the next look tries again
    except Exception as error:
        log.exception("a round could not go on", round=str(round_id), step=round_.step)
        fail(
            session,
            round_,
            f"The worker could not carry this out ({type(error).__name__}: {error}). Its log has "
            "the details; try again once the cause is gone.",
        )
    return round_.turn != turn


def at_work(session: Session, round_: Round, *, by: User | None = None) -> At:
    project = session.get_one(Project, round_.project_id)
    policy = Policy.model_validate(round_.policy)
    return At(session, round_, project, policy, database_now(session), by)


def _move(at: At) -> None:
    round_ = at.round
    if round_.is_under_way:
        _take_note(at)
    elif round_.state is RoundState.FAILED:
        return  # it was never begun; somebody has to try again
    elif (why := steps.needless(at)) is not None:
        pass_by(at, why)
    elif round_.step is Step.RANK:
        wanted = steps.waits_for(at)
        if wanted is None and round_.step not in at.policy.by_hand:
            start(at)
    elif round_.step not in at.policy.by_hand:
        start(at)


def start(at: At) -> None:
    """Begin the work of the present step."""
    steps.begin(at)
    at.round.is_under_way = True
    clear(at.round)
    turned(at.round)
    note(at.session, at.round, "began", by=at.by)


def _take_note(at: At) -> None:
    found = steps.outcome(at)
    match found.where:
        case Where.FAILED:
            fail(at.session, at.round, found.said)
        case Where.DONE:
            clear(at.round)
            note(at.session, at.round, "done", found.said)
            go_on(at)
        case _ if at.round.state is RoundState.FAILED:  # somebody has mended what had failed
            clear(at.round)
            turned(at.round)
            note(at.session, at.round, "went on")


def pass_by(at: At, why: str) -> None:
    """Leave the present step out."""
    if at.round.step is Step.PROMOTE:
        at.round.is_promoted = False
    clear(at.round)
    note(at.session, at.round, "skipped", why, by=at.by)
    go_on(at)


def go_on(at: At) -> None:
    """To the next step, or to the end of the round."""
    following = rules.after(at.round.step)
    at.round.is_under_way = False
    turned(at.round)
    if following is not None:
        at.round.step = following
        at.round.step_began_at = func.clock_timestamp()
        return
    figures.keep(
        at.round,
        cost=figures.cost_of(at.session, round_=at.round, project=at.project, until=at.now),
    )
    at.round.state, at.round.finished_at = RoundState.SUCCEEDED, at.now
    at.session.flush()  # the next one may be opened in the same transaction
    if at.policy.goes_on:
        opening.open_round(at.session, project=at.project, by=None, now=at.now)


def fail(session: Session, round_: Round, why: str) -> None:
    """The round stands still and says why; said once, however often it is looked at."""
    if round_.state is RoundState.FAILED and round_.error == why:
        return
    round_.state, round_.error = RoundState.FAILED, why
    turned(round_)
    note(session, round_, "failed", why)


def clear(round_: Round) -> None:
    round_.state, round_.error = RoundState.RUNNING, None


def turned(round_: Round) -> None:
    round_.turn += 1


def note(
    session: Session, round_: Round, kind: str, message: str = "", *, by: User | None = None
) -> None:
    session.add(
        RoundEvent(
            round_id=round_.id,
            step=round_.step,
            kind=kind,
            message=message,
            user_id=by.id if by else None,
        )
    )
    session.flush()  # events keep the order in which they happened
