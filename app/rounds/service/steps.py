"""What each step does: `begin` starts its work, `outcome` says how far it is."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy.orm import Session

from app.accounts.models import User
from app.datasets import service as datasets
from app.datasets.models import Snapshot
from app.db import JobState
from app.errors import Invalid
from app.generation import service as generation
from app.generation.models import Generation
from app.generation.schemas import GenerationBody
from app.projects.models import Project
from app.rounds import queries, rules
from app.rounds.models import Round
from app.rounds.rules import Step
from app.rounds.schemas import Policy
from app.rounds.service import comparing, figures
from app.runs import queries as run_queries
from app.runs import rules as run_rules
from app.runs import service as runs
from app.runs.models import Checkpoint, Run


class Where(StrEnum):
    """How far a step is."""

    WAITING = "waiting"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    where: Where
    said: str = ""


@dataclass(frozen=True, slots=True)
class At:
    """A step of a round at work: what every function here needs."""

    session: Session
    round: Round
    project: Project
    policy: Policy
    now: datetime
    by: User | None = None  # whoever pressed the button; None where it goes by itself


def begin(at: At) -> None:
    """Start the work of the present step; an `AppError` says why it cannot be done."""
    match at.round.step:
        case Step.GENERATE:
            _generate(at)
        case Step.RANK:
            pass  # it ends with the next look
        case Step.FREEZE:
            _freeze(at)
        case Step.TRAIN:
            _train(at)
        case Step.EVALUATE:
            at.round.evaluation_id = comparing.compare(
                at.session, project=at.project, round_=at.round, policy=at.policy, by=at.by
            )
        case Step.PROMOTE:
            _promote(at)


def outcome(at: At) -> Outcome:
    """Where the step is, by what it made; only asked when its work is under way."""
    match at.round.step:
        case Step.GENERATE:
            return _generated(at)
        case Step.RANK:
            return Outcome(Where.DONE, _ranked(at))
        case Step.FREEZE:
            return _frozen(at)
        case Step.TRAIN:
            return _trained(at)
        case Step.EVALUATE:
            return _compared(at)
        case Step.PROMOTE:
            return Outcome(Where.DONE, rules.told_promotion(is_promoted=bool(at.round.is_promoted)))


def needless(at: At) -> str | None:
    """Why the present step has nothing to do, and is passed by itself."""
    step, has_new = at.round.step, at.round.writer_checkpoint_id is not None
    if step in {Step.EVALUATE, Step.PROMOTE} and not has_new:
        return "No new model was trained in this round."
    if step is Step.EVALUATE and at.round.former_checkpoint_id is None:
        return "There is no model before this one to compare it with."
    return None


def waits_for(at: At) -> str | None:
    """What a step that was not begun still wants before it may begin; None: nothing."""
    if at.round.step is not Step.RANK:
        return None
    # Only where it looks enough: of a large project, the figures of now take seconds.
    return _still_wanted(at) or _still_wanted(at, settled=True)


def _still_wanted(at: At, *, settled: bool = False) -> str | None:
    judged = _judged(at, settled=settled)
    is_enough, wanted = rules.enough_judged(
        judged,
        judgements=at.policy.rank.judgements,
        min_agreement=at.policy.rank.min_agreement,
    )
    return None if is_enough else wanted


def _judged(at: At, *, settled: bool = False) -> rules.Judged:
    return figures.refresh(
        at.session, round_=at.round, project=at.project, now=at.now, settled=settled
    )


# -- generate ---------------------------------------------------------------------------------


def _generate(at: At) -> None:
    writer = queries.writer_to_set_out_from(
        at.session, project=at.project, newest=at.policy.sets_out_from == "newest"
    )
    if writer is None:
        raise Invalid("There is no model yet that could write: skip this step, or train one first.")
    asked = at.policy.generate
    body = GenerationBody(
        checkpoint_id=writer.id,
        n=asked.n,
        include_existing=asked.include_existing,
        temperature=asked.temperature,
        top_p=asked.top_p,
        max_new_tokens=asked.max_new_tokens,
        max_prompts=asked.prompts,
        seed=42 + at.round.number,  # other prompts in each round
    )
    opened = generation.open_generation(at.session, project=at.project, body=body, by=at.by)
    at.round.generation_id, at.round.former_checkpoint_id = opened.id, writer.id


def _generated(at: At) -> Outcome:
    written = at.session.get_one(Generation, _known(at.round.generation_id), populate_existing=True)
    if written.state is JobState.SUCCEEDED:
        if not written.tasks_opened:
            return Outcome(
                Where.FAILED,
                "The model wrote, but no new task came of it: its responses to each prompt were "
                "all the same, or are tasks already. Raise the temperature and try again.",
            )
        return Outcome(
            Where.DONE,
            f"It wrote responses to {written.done:,} prompts, and {written.tasks_opened:,} "
            "tasks were opened.",
        )
    return _unfinished(written.state, "The writing", written.error)


def _unfinished(state: JobState, what: str, error: str | None) -> Outcome:
    if state is JobState.FAILED:
        return Outcome(Where.FAILED, f"{what} failed. {error or ''}".strip())
    if state is JobState.CANCELLED:
        return Outcome(Where.FAILED, f"{what} was cancelled. Try again, or end the round.")
    return Outcome(Where.WAITING)


def _known(row_id: UUID | None) -> UUID:
    assert row_id is not None  # the step is under way
    return row_id


# -- rank and freeze --------------------------------------------------------------------------


def _ranked(at: At) -> str:
    judged = _judged(at, settled=True)
    tasks = f"{judged.tasks_done:,} of {judged.tasks:,} tasks are done"
    return f"{judged.judgements:,} judgements; {tasks}."


def _freeze(at: At) -> None:
    snapshot = datasets.request(
        at.session,
        project=at.project,
        recipe=at.policy.recipe,
        name=f"Round {at.round.number}",
        by=at.by,
    )
    at.round.snapshot_id = snapshot.id


def _frozen(at: At) -> Outcome:
    snapshot = at.session.get_one(Snapshot, _known(at.round.snapshot_id), populate_existing=True)
    if snapshot.state is not JobState.SUCCEEDED:
        return _unfinished(snapshot.state, "The snapshot", snapshot.error)
    rows = run_queries.training_rows(snapshot)
    said = ", ".join(f"{number:,} of {name}" for name, number in rows.items())
    return Outcome(Where.DONE, f"“{snapshot.name}”: rows to train on: {said or 'none'}.")


# -- train ------------------------------------------------------------------------------------


def _train(at: At) -> None:
    asked, session = at.policy.train, at.session
    snapshot = session.get_one(Snapshot, _known(at.round.snapshot_id))
    writer = _setting_out(at)
    reward = (
        queries.newest_reward(session, project=at.project) if asked.reward == "former" else None
    )
    launched = runs.launch_chain(
        session,
        snapshot=snapshot,
        by=at.by,
        size=asked.size,
        configs={kind.value: given for kind, given in asked.configs.items()},
        kinds=[kind.value for kind in asked.kinds],
        writer=writer,
        reward=reward,
        label=f"round {at.round.number}",
    )
    at.round.former_checkpoint_id = writer.id if writer else None
    at.round.former_reward_id = reward.id if reward else None
    at.round.run_ids = {run.kind.value: str(run.id) for run in launched}


def _setting_out(at: At) -> Checkpoint | None:
    """The model that wrote, and where nobody did, the one that would write now."""
    if at.round.former_checkpoint_id is not None:
        return at.session.get(Checkpoint, at.round.former_checkpoint_id)
    return queries.writer_to_set_out_from(
        at.session, project=at.project, newest=at.policy.sets_out_from == "newest"
    )


def _trained(at: At) -> Outcome:
    trained = queries.runs_of(at.session, round_=at.round)
    for run in trained:
        at.session.refresh(run)
    ended = [run for run in trained if run.state in {JobState.FAILED, JobState.CANCELLED}]
    if ended:
        return _unfinished(ended[0].state, f"“{ended[0].name}”", ended[0].error)
    if any(run.state is not JobState.SUCCEEDED for run in trained):
        return Outcome(Where.WAITING)
    made = {run.kind.value: run for run in trained}
    writer = next(made[kind] for kind in rules.WRITERS if kind in made)
    at.round.writer_checkpoint_id = _final(at.session, writer)
    judge = made.get("reward")
    if judge is not None:
        at.round.reward_checkpoint_id = _final(at.session, judge)
    seconds = figures.seconds_of(trained)
    figures.keep(at.round, **figures.of_reward(judge), training_seconds=round(seconds, 1))
    names = ", ".join(run_rules.NAMES[run.kind.value] for run in trained)
    return Outcome(Where.DONE, f"{names}: trained in {rules.in_minutes(seconds)}.")


def _final(session: Session, run: Run) -> UUID:
    checkpoint = run_queries.final_checkpoint(session, run=run)
    assert checkpoint is not None  # it has succeeded
    return checkpoint.id


# -- evaluate and promote ---------------------------------------------------------------------


def _compared(at: At) -> Outcome:
    found = comparing.found(at.session, round_=at.round)
    if found.error:
        return Outcome(Where.FAILED, found.error)
    if found.win is not None:
        figures.keep(at.round, win=found.win)
    if not found.is_decided:
        return Outcome(Where.WAITING)
    has_former = at.round.former_checkpoint_id is not None
    return Outcome(Where.DONE, rules.told(found.win, has_former=has_former))


def _promote(at: At) -> None:
    """By itself what the project's rule is for, or the first model of all; else by button."""
    is_first = at.round.former_checkpoint_id is None
    is_earned = is_first or comparing.earns_promotion(at.session, round_=at.round)
    at.round.is_promoted = at.by is not None or is_earned
    if at.round.is_promoted:
        checkpoint = at.session.get_one(Checkpoint, _known(at.round.writer_checkpoint_id))
        comparing.promote(
            at.session,
            project=at.project,
            checkpoint=checkpoint,
            round_=at.round,
            by=at.by,
            because=rules.told(at.round.figures.get("win"), has_former=not is_first),
        )
