"""What people do to a round: begin a step, skip it, try it again, pause, go on, end it."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.accounts.service import audit
from app.datasets import service as datasets
from app.datasets.models import Snapshot
from app.db import JobState, database_now
from app.errors import Conflict
from app.generation import service as generation
from app.generation.models import Generation
from app.rounds import queries, rules
from app.rounds.models import Round, RoundState
from app.rounds.rules import Step
from app.rounds.service import comparing, moving, steps
from app.runs import queries as run_queries
from app.runs import service as runs

ENDED = {JobState.FAILED, JobState.CANCELLED}


def begin_step(session: Session, *, round_: Round, by: User, turn: int | None = None) -> Round:
    """Begin the present step now, whatever its threshold says."""
    _hold(session, round_, turn)
    if round_.is_under_way:
        raise Conflict(f"“{rules.NAMES[round_.step]}” is under way already.")
    _not_paused(round_)
    at = moving.at_work(session, round_, by=by)
    if (why := steps.needless(at)) is not None:
        moving.pass_by(at, why)
    else:
        moving.start(at)
    return _done(session, round_, by, "begin")


def skip_step(session: Session, *, round_: Round, by: User, turn: int | None = None) -> Round:
    """Leave the present step out; what it had begun is stopped."""
    _hold(session, round_, turn)
    at = moving.at_work(session, round_, by=by)
    why = f"By {by.name}."
    if round_.step is Step.FREEZE:
        why = f"{why} {_take_newest_snapshot(session, round_)}"
    elif round_.is_under_way:
        _stop(session, round_, by)
    moving.pass_by(at, why)
    return _done(session, round_, by, "skip")


def try_again(session: Session, *, round_: Round, by: User, turn: int | None = None) -> Round:
    """Take up a failed step again: what it had begun goes on, else it begins anew."""
    _hold(session, round_, turn)
    if round_.state is not RoundState.FAILED:
        raise Conflict("Nothing has failed in this round.")
    _not_paused(round_)
    at = moving.at_work(session, round_, by=by)
    moving.clear(round_)
    if round_.is_under_way and _resume(session, round_, by):
        moving.turned(round_)
        moving.note(session, round_, "tried again", by=by)
    else:
        moving.start(at)
    return _done(session, round_, by, "try_again")


def pause(session: Session, *, round_: Round, by: User, turn: int | None = None) -> Round:
    """No further step begins until somebody lets it go on; what is under way goes on."""
    _hold(session, round_, turn)
    if round_.paused_at is not None:
        raise Conflict("This round is paused already.")
    round_.paused_at = database_now(session)
    moving.turned(round_)
    moving.note(session, round_, "paused", by=by)
    return _done(session, round_, by, "pause")


def unpause(session: Session, *, round_: Round, by: User, turn: int | None = None) -> Round:
    _hold(session, round_, turn)
    if round_.paused_at is None:
        raise Conflict("This round is not paused.")
    round_.paused_at = None
    moving.turned(round_)
    moving.note(session, round_, "went on", by=by)
    return _done(session, round_, by, "unpause")


def end(session: Session, *, round_: Round, by: User, turn: int | None = None) -> Round:
    """End the round before its last step; what is under way is stopped, what it made stays."""
    _hold(session, round_, turn)
    if round_.is_under_way:
        _stop(session, round_, by)
    moving.note(session, round_, "ended", by=by)
    now = database_now(session)
    round_.state, round_.finished_at = RoundState.CANCELLED, now
    round_.error, round_.paused_at, round_.is_under_way = None, None, False
    moving.turned(round_)
    return _done(session, round_, by, "end")


Deed = Callable[..., Round]
DEEDS: dict[str, Deed] = {
    "begin": begin_step,
    "skip": skip_step,
    "try-again": try_again,
    "pause": pause,
    "go-on": unpause,
    "end": end,
}


def _hold(session: Session, round_: Round, turn: int | None) -> None:
    """Lock the row; `Conflict` where the round is over, or not where the caller saw it."""
    session.scalars(
        select(Round)
        .where(Round.id == round_.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()  # read: only that brings the row up to date
    if round_.finished_at is not None:
        raise Conflict("This round is over.")
    if turn is not None and turn != round_.turn:
        raise Conflict("The round has moved on meanwhile. Look at where it is now.")


def _not_paused(round_: Round) -> None:
    if round_.paused_at is not None:
        raise Conflict("This round is paused: let it go on first.")


def _done(session: Session, round_: Round, by: User, deed: str) -> Round:
    session.flush()
    audit(
        session,
        user=by,
        action=f"round.{deed}",
        target=f"round {round_.id}",
        project_id=round_.project_id,
        number=round_.number,
        step=round_.step.value,
    )
    return round_


def _take_newest_snapshot(session: Session, round_: Round) -> str:
    at: Any = moving.at_work(session, round_)
    usable = run_queries.usable_snapshots(session, project=at.project)
    if not usable:
        raise Conflict(
            "There is no finished snapshot that the training could use instead: freeze one."
        )
    round_.snapshot_id = usable[0].id
    return f"The training uses “{usable[0].name}”, the newest snapshot."


def _stop(session: Session, round_: Round, by: User) -> None:
    """Cancel what the present step has begun and has not ended."""
    if round_.step is Step.GENERATE and round_.generation_id:
        written = session.get_one(Generation, round_.generation_id, populate_existing=True)
        if written.finished_at is None:
            generation.cancel_generation(session, generation=written, by=by)
    if round_.step is Step.EVALUATE:
        comparing.stop(session, round_=round_, by=by)
    if round_.step is Step.TRAIN:
        for run in reversed(queries.runs_of(session, round_=round_)):  # those that wait first
            session.refresh(run)
            if run.finished_at is None:
                runs.cancel(session, run=run, by=by)


def _resume(session: Session, round_: Round, by: User) -> bool:
    """Let what failed or was cancelled go on; False where there is nothing to take up."""
    if round_.step is Step.GENERATE and round_.generation_id:
        written = session.get_one(Generation, round_.generation_id, populate_existing=True)
        if written.state in ENDED:
            generation.resume_generation(session, generation=written, by=by)
            return True
    elif round_.step is Step.FREEZE and round_.snapshot_id:
        snapshot = session.get_one(Snapshot, round_.snapshot_id, populate_existing=True)
        if snapshot.state in ENDED:
            datasets.retry(session, snapshot=snapshot)
            return True
    elif round_.step is Step.TRAIN:
        return _resume_runs(session, round_, by)
    elif round_.step is Step.EVALUATE:
        return comparing.resume(session, round_=round_, by=by)
    return False


def _resume_runs(session: Session, round_: Round, by: User) -> bool:
    """From the first on: those that only waited for a failed one follow it by themselves."""
    resumed = False
    for run in queries.runs_of(session, round_=round_):
        session.refresh(run)
        if run.state in ENDED and run_queries.blocker(session, run=run) is None:
            runs.resume(session, run=run, by=by)
            resumed = True
    return resumed
