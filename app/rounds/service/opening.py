"""A round begins, and the policy by which rounds go."""

from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.accounts.service import audit
from app.db import JsonObject
from app.errors import Conflict, Invalid
from app.projects.models import Project
from app.rounds import queries, rules
from app.rounds.models import Round, RoundEvent, RoundPolicy
from app.rounds.schemas import Policy
from app.run_config import ConfigError, parse_config
from app.runs.rules import check_from_afar


def open_round(session: Session, *, project: Project, by: User | None, now: datetime) -> Round:
    """The next round of a project; `Conflict` while one is open.

    It begins with the ranking of what was imported where no model could write yet.
    """
    # Whoever comes second waits here, and then finds the round of the first.
    session.execute(select(Project.id).where(Project.id == project.id).with_for_update())
    before = queries.last_round(session, project=project)
    if before is not None and before.finished_at is None:
        raise Conflict(f"Round {before.number} is not finished yet: finish or end it first.")
    if not queries.has_prompts(session, project=project):
        raise Invalid("There are no prompts in this project yet: import some first.")
    policy = queries.policy_of(session, project=project)
    has_writer = queries.writer_to_set_out_from(session, project=project) is not None
    round_ = Round(
        project_id=project.id,
        number=before.number + 1 if before else 1,
        step=rules.first_step(has_writer=has_writer),
        policy=policy.model_dump(mode="json"),
        judged_since=_since(before),
        created_by=by.id if by else None,
        created_at=now,
    )
    session.add(round_)
    session.flush()  # events and answers need its id
    session.add(
        RoundEvent(
            round_id=round_.id, step=round_.step, kind="opened", user_id=by.id if by else None
        )
    )
    if by is not None:
        audit(
            session,
            user=by,
            action="round.open",
            target=f"round {round_.id}",
            project_id=project.id,
            number=round_.number,
        )
    return round_


def _since(before: Round | None) -> datetime | None:
    """Where this round's judgements begin; a round before that froze none passes its own on."""
    if before is None:
        return None
    return before.judged_since if before.snapshot_id is None else before.finished_at


def set_policy(session: Session, *, project: Project, policy: Policy, by: User) -> Policy:
    """How rounds go from now on, the present one as well; `Invalid` for unfit settings."""
    _check(policy)
    values = policy.model_dump(mode="json")
    session.execute(
        insert(RoundPolicy)
        .values(project_id=project.id, values=values)
        .on_conflict_do_update(
            index_elements=[RoundPolicy.project_id],
            set_={"values": values, "changed_at": func.now()},
        )
    )
    open_one = session.scalar(
        select(Round)
        .where(Round.project_id == project.id, Round.finished_at.is_(None))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if open_one is not None:
        open_one.policy = values
    audit(
        session,
        user=by,
        action="round.policy",
        target=f"project {project.id}",
        project_id=project.id,
        policy=values,
    )
    return policy


def _check(policy: Policy) -> None:
    """Settings of the trainings are checked now, not when their step comes."""
    for kind, given in policy.train.configs.items():
        check_from_afar(kind, given)
        try:
            parse_config(kind, given)
        except ConfigError as error:
            raise Invalid(
                f"{kind}: {error}",
                errors=[_named(kind, item) for item in error.errors],
            ) from error


def _named(kind: str, item: JsonObject) -> dict[str, Any]:
    return {**item, "field": f"train.configs.{kind}.{item['field']}"}
