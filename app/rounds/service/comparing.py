"""The new model against the former one by people's judgement, and the promotion of the better."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.orm import Session

from app.accounts.models import User
from app.db import JobState, JsonObject
from app.errors import Invalid
from app.evaluation import queries as evaluations
from app.evaluation import service as evaluation
from app.evaluation.models import Evaluation
from app.evaluation.schemas import Contestant, EvaluationBody
from app.projects.models import Project
from app.rounds.models import Round
from app.rounds.schemas import Policy
from app.runs.models import Checkpoint

ENDED = {JobState.FAILED, JobState.CANCELLED}


@dataclass(frozen=True, slots=True)
class Found:
    """What the comparison has shown so far; `win`: {value, low, high, n, of, by}."""

    win: JsonObject | None = None
    is_decided: bool = False
    error: str | None = None


def compare(
    session: Session, *, project: Project, round_: Round, policy: Policy, by: User | None
) -> UUID:
    """Both models write to the same prompts, and people judge blind: an ordinary evaluation."""
    asked = policy.evaluate
    body = EvaluationBody(
        a=Contestant(checkpoint=round_.writer_checkpoint_id),
        b=Contestant(checkpoint=round_.former_checkpoint_id),
        name=f"Round {round_.number}: the new model against the one before",
        prompts=asked.prompts,
        allow_seen=asked.seen_too,
        temperature=asked.temperature,
        max_new_tokens=policy.generate.max_new_tokens,
        seed=42 + round_.number,
        reward_checkpoint_id=round_.reward_checkpoint_id,
    )
    try:
        return evaluation.open_evaluation(session, project=project, body=body, by=by).id
    except Invalid as error:
        if asked.seen_too:
            raise
        raise Invalid(
            f"{error.detail} You can allow prompts that the models have been trained on, under "
            "“How rounds go”, or skip this step."
        ) from error


def found(session: Session, *, round_: Round) -> Found:
    """Where it stands; closed here as soon as it is decided or all is judged."""
    row = _evaluation(session, round_)
    if row is None:
        return Found(error="The comparison is not there any more. Try again, or skip this step.")
    if row.state in ENDED:
        what = "failed" if row.state is JobState.FAILED else "was cancelled"
        return Found(error=f"The comparison {what}. {row.error or ''}".strip())
    evaluation.settle(session, evaluation=row)
    if row.opened_at is None and row.state is not JobState.SUCCEEDED:
        return Found()
    said = evaluations.verdict(session, evaluation=row)
    is_over = row.closed_at is not None or row.opened_at is None
    win = {
        "value": said.win_rate,
        "low": said.low,
        "high": said.high,
        "n": said.prompts,
        "of": "prompts",
        "by": "the simulated annotators"
        if evaluations.is_judged_by_simulated(session, evaluation=row)
        else "people",
    }
    is_decided = is_over and row.state is JobState.SUCCEEDED
    return Found(
        win=win if is_decided or said.win_rate is not None else None, is_decided=is_decided
    )


def earns_promotion(session: Session, *, round_: Round) -> bool:
    """Whether the project's promotion rule is for the new model, by the round's comparison."""
    row = _evaluation(session, round_)
    if row is None:
        return False
    said = evaluations.verdict(session, evaluation=row)
    return evaluation.earns(session, evaluation=row, found=said)


def promote(
    session: Session,
    *,
    project: Project,
    checkpoint: Checkpoint,
    round_: Round,
    by: User | None,
    because: str,
) -> None:
    """Make it the project's promoted writer; nothing where the evaluation has done so itself."""
    present = evaluations.promoted(session, project=project)
    if present is not None and present.id == checkpoint.id:
        return
    evaluation.promote(
        session,
        project=project,
        checkpoint=checkpoint,
        by=by,
        because=f"Round {round_.number}. {because}",
        evaluation=_evaluation(session, round_),
    )


def stop(session: Session, *, round_: Round, by: User) -> None:
    """Ask people no more, or stop the writing where nobody is asked yet."""
    row = _evaluation(session, round_)
    if row is None:
        return
    if row.finished_at is None:
        evaluation.cancel_evaluation(session, evaluation=row, by=by)
    if row.opened_at is not None and row.closed_at is None:
        evaluation.close_evaluation(session, evaluation=row, by=by)


def resume(session: Session, *, round_: Round, by: User) -> bool:
    """Let the writing go on where it failed; False where there is nothing to take up."""
    row = _evaluation(session, round_)
    if row is None or row.state not in ENDED:
        return False
    evaluation.resume_evaluation(session, evaluation=row, by=by)
    return True


def _evaluation(session: Session, round_: Round) -> Evaluation | None:
    if round_.evaluation_id is None:
        return None
    return session.get(Evaluation, round_.evaluation_id, populate_existing=True)
