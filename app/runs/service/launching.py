"""What people ask for: launch a run or a whole chain, cancel it, resume it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import case, func, or_, select, update
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.accounts.service import audit
from app.datasets.models import Snapshot
from app.db import JobState, JsonObject
from app.errors import Conflict, Invalid
from app.jobs import JobName, reorder
from app.run_config import (
    FROM_SCRATCH,
    ConfigError,
    RunConfig,
    parse_config,
    to_mapping,
    total_steps,
)
from app.runs import queries, rules
from app.runs.models import Checkpoint, Run, RunKind
from app.runs.schemas import Base, RunBody
from app.runs.service.attempts import enqueue, fail_waiting, note
from app.runs.service.cleaning import require_weights
from app.runs.service.lease import Lease


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run is asked to be, once it is clear that it can be."""

    parent: Checkpoint | None
    after: Run | None
    reward: Checkpoint | None
    config: RunConfig
    steps: int


def wanted(session: Session, *, snapshot: Snapshot, body: RunBody) -> Wanted:
    """Check what is asked for, without torch.

    Raises `Invalid` for settings, data or checkpoints that cannot be used, naming each.
    """
    kind = body.kind
    parent, after, from_scratch = _base(session, snapshot=snapshot, kind=kind, base=body.base)
    reward = _reward(session, snapshot=snapshot, body=body)
    given = _settings(body, from_scratch=from_scratch)
    rules.check_from_afar(kind, given)
    config = _checked(kind, given)
    rules.check_reward(
        kind,
        has_reward=bool(reward or body.reward_run_id or given.get("reward_model_path")),
    )
    steps = _steps(snapshot, kind=kind, config=config)
    if "save_steps" not in given:
        config = _checked(kind, given | {"save_steps": rules.save_every(steps)})
    return Wanted(parent, after, reward, config, steps)


def launch(session: Session, *, snapshot: Snapshot, body: RunBody, by: User | None) -> Run:
    """Check what is asked for and queue it; raises as `wanted` does."""
    kind = body.kind
    asked = wanted(session, snapshot=snapshot, body=body)
    run = Run(
        id=uuid4(),
        project_id=snapshot.project_id,
        snapshot_id=snapshot.id,
        kind=kind,
        name=body.name or default_name(session, snapshot=snapshot, kind=kind),
        base=body.base.model_dump(mode="json", exclude_none=True),
        parent_checkpoint_id=asked.parent.id if asked.parent else None,
        after_run_id=asked.after.id if asked.after else None,
        reward_checkpoint_id=asked.reward.id if asked.reward else None,
        reward_run_id=body.reward_run_id,
        config=to_mapping(asked.config),
        total_steps=asked.steps,
        priority=body.priority,
        needs=body.needs.model_dump(exclude_none=True),
        created_by=by.id if by else None,
        created_at=func.clock_timestamp(),  # runs of a chain share a transaction, and keep order
    )
    session.add(run)
    session.flush()  # the answer shows its times and state, and the next of a chain points to it
    note(session, Lease(run.id, 0), "launched", "")
    if by is not None:
        audit(
            session,
            user=by,
            action="run.launch",
            target=f"run {run.id}",
            project_id=run.project_id,
            kind=kind.value,
            name=run.name,
        )
    if not queries.waits(run):
        enqueue(session, run=run)
    return run


def launch_chain(
    session: Session,
    *,
    snapshot: Snapshot,
    by: User | None,
    size: str = "tiny",
    configs: Mapping[str, Mapping[str, Any]] | None = None,
    kinds: Collection[str] = tuple(RunKind),
    writer: Checkpoint | None = None,
    reward: Checkpoint | None = None,
    label: str = "",
) -> list[Run]:
    """Queue SFT → reward model → DPO → PPO on one snapshot, each waiting for what it needs.

    The first of `kinds` starts from `writer`, or from a new model of `size`; the reward model
    goes on from `reward`, or begins anew from the writer. `configs` has settings per kind, over
    those with which a snapshot of this size is done in minutes; names end with `label`.
    """
    suited = rules.chain_settings(queries.training_rows(snapshot))
    chosen = {kind: {**suited[kind], **(configs or {}).get(kind, {})} for kind in RunKind}
    made: dict[str, Run] = {}

    def one(kind: RunKind, base: Mapping[str, Any], **more: Any) -> None:
        body = RunBody(
            kind=kind,
            snapshot_id=snapshot.id,
            base=Base.model_validate(base),
            config=dict(chosen.get(kind, {})),
            name=f"{rules.NAMES[kind]}, {label}" if label else None,
            **more,
        )
        made[kind] = launch(session, snapshot=snapshot, body=body, by=by)

    def from_writer() -> Mapping[str, Any]:
        """The last model of the chain that writes, else what the chain sets out from."""
        before = next((made[kind] for kind in ("dpo", "sft") if kind in made), None)
        if before is not None:
            return {"run": before.id}
        return {"checkpoint": writer.id} if writer is not None else {"new": size}

    if "sft" in kinds:
        one(RunKind.SFT, from_writer())
    if "reward" in kinds:
        one(RunKind.REWARD, {"checkpoint": reward.id} if reward is not None else from_writer())
    if "dpo" in kinds:
        one(RunKind.DPO, from_writer())
    if "ppo" in kinds:
        judge = made.get("reward")
        one(RunKind.PPO, from_writer(), reward_run_id=judge.id if judge else None)
    return list(made.values())


def cancel(session: Session, *, run: Run, by: User) -> Run:
    """A waiting run is cancelled at once; a running one is asked to stop after its step."""
    is_queued = Run.state == JobState.QUEUED
    changed = session.scalar(
        update(Run)
        .where(Run.id == run.id, Run.state.in_([JobState.QUEUED, JobState.RUNNING]))
        .values(
            state=case((is_queued, JobState.CANCELLED.value), else_=Run.state),
            finished_at=case((is_queued, func.now()), else_=None),
            cancel_requested_at=func.coalesce(Run.cancel_requested_at, func.now()),
        )
        .returning(Run.id)
    )
    session.refresh(run)
    if changed is None:
        raise Conflict(f"This run is {run.state} already; there is nothing to cancel.")
    lease = Lease(run.id, run.attempt)
    note(session, lease, "cancel requested", f"By {by.name}.")
    if run.state is JobState.CANCELLED:
        note(session, lease, "cancelled", "Before it started.")
        fail_waiting(session, run_id=run.id)
    audit(
        session,
        user=by,
        action="run.cancel",
        target=f"run {run.id}",
        project_id=run.project_id,
    )
    return run


def resume(session: Session, *, run: Run, by: User) -> Run:
    """Queue a failed or cancelled run again; it goes on from the last saved step.

    Runs that failed only because this one did are queued again with it.
    """
    blocker = queries.blocker(session, run=run)
    if blocker is not None:
        raise Conflict(
            f"This run waits for “{blocker.name}”, which is {blocker.state}. Resume that one: "
            "this one follows by itself."
        )
    if not _requeue(session, run_id=run.id):
        session.refresh(run)
        rules.must_be_final(run.state)
    session.refresh(run)
    note(session, Lease(run.id, run.attempt), "resumed", f"By {by.name}.")
    if not queries.waits(run):
        enqueue(session, run=run)
    _requeue_waiting(session, run_id=run.id)
    audit(
        session,
        user=by,
        action="run.resume",
        target=f"run {run.id}",
        project_id=run.project_id,
    )
    return run


def set_priority(session: Session, *, run: Run, priority: int, by: User) -> Run:
    """Let a run that waits start sooner or later than others do."""
    rules.check_priority(priority)
    before = run.priority
    changed = session.scalar(
        update(Run)
        .where(Run.id == run.id, Run.state == JobState.QUEUED)
        .values(priority=priority)
        .returning(Run.id)
    )
    session.refresh(run)
    if changed is None:
        raise Conflict(f"This run is {run.state} already: its place in the queue is of no use.")
    reorder(session, JobName.TRAIN, priority=priority, run_id=str(run.id))
    note(session, Lease(run.id, run.attempt), "priority", f"{rules.PRIORITIES[priority]}.")
    audit(
        session,
        user=by,
        action="run.priority",
        target=f"run {run.id}",
        project_id=run.project_id,
        before=before,
        after=priority,
    )
    return run


def default_name(session: Session, *, snapshot: Snapshot, kind: RunKind) -> str:
    """E.g. “DPO 3”: the third of its kind in the project."""
    before = session.scalars(
        select(func.count())
        .select_from(Run)
        .where(Run.project_id == snapshot.project_id, Run.kind == kind)
    ).one()
    return f"{rules.NAMES[kind]} {before + 1}"


def _base(
    session: Session, *, snapshot: Snapshot, kind: RunKind, base: Base
) -> tuple[Checkpoint | None, Run | None, bool]:
    """The checkpoint or the run it starts from, and whether all began with a new model."""
    if base.checkpoint is not None:
        parent = queries.checkpoint_in(
            session, project_id=snapshot.project_id, checkpoint_id=base.checkpoint
        )
        if parent is None:
            raise _no_such("base", "checkpoint", base.checkpoint)
        rules.check_base_kind(kind, parent.kind)
        require_weights(session, checkpoint=parent)
        source = session.get(Run, parent.run_id) if parent.run_id else None
        return parent, None, bool(source and queries.is_from_scratch(session, run=source))
    if base.run is not None:
        after = _run_of_project(session, snapshot=snapshot, run_id=base.run, field="base")
        rules.check_base_kind(kind, after.kind)
        checkpoint = queries.final_checkpoint(session, run=after)
        if checkpoint is not None:
            require_weights(session, checkpoint=checkpoint)
        return checkpoint, after, queries.is_from_scratch(session, run=after)
    return None, None, base.new is not None


def _reward(session: Session, *, snapshot: Snapshot, body: RunBody) -> Checkpoint | None:
    if body.reward_run_id is not None:
        run = _run_of_project(
            session, snapshot=snapshot, run_id=body.reward_run_id, field="reward_run_id"
        )
        kind, checkpoint = run.kind, queries.final_checkpoint(session, run=run)
    elif body.reward_checkpoint_id is not None:
        checkpoint = queries.checkpoint_in(
            session, project_id=snapshot.project_id, checkpoint_id=body.reward_checkpoint_id
        )
        if checkpoint is None:
            raise _no_such("reward_checkpoint_id", "checkpoint", body.reward_checkpoint_id)
        kind = checkpoint.kind
    else:
        return None
    if kind is not RunKind.REWARD:
        raise Invalid(f"The reward must come from a reward model; this one is of kind {kind}.")
    if checkpoint is not None:
        require_weights(session, checkpoint=checkpoint)
    return checkpoint


def _run_of_project(session: Session, *, snapshot: Snapshot, run_id: UUID, field: str) -> Run:
    """A run of the same project that has succeeded or still may."""
    run = session.get(Run, run_id)
    if run is None or run.project_id != snapshot.project_id:
        raise _no_such(field, "run", run_id)
    if run.state in {JobState.FAILED, JobState.CANCELLED}:
        raise Invalid(f"“{run.name}” is {run.state}: resume it, or choose another run.")
    return run


def _no_such(field: str, what: str, identity: UUID) -> Invalid:
    message = f"there is no {what} {identity} in this project."
    return Invalid(f"{field}: {message}", errors=[{"field": field, "message": message}])


def _settings(body: RunBody, *, from_scratch: bool) -> JsonObject:
    """What was asked for, over what suits a model that began from nothing."""
    suited = dict(FROM_SCRATCH[body.kind]) if from_scratch else {}
    return suited | body.config


def _checked(kind: RunKind, given: Mapping[str, Any]) -> RunConfig:
    try:
        return parse_config(kind, given)
    except ConfigError as error:
        raise Invalid(
            str(error),
            errors=[{**item, "field": f"config.{item['field']}"} for item in error.errors],
        ) from error


def _steps(snapshot: Snapshot, *, kind: RunKind, config: RunConfig) -> int:
    """The estimate, once it is clear that the snapshot is ready and has what the kind reads."""
    if snapshot.state is not JobState.SUCCEEDED:
        raise Invalid(
            f"The snapshot “{snapshot.name}” is {snapshot.state}; a run needs one that is finished."
        )
    if snapshot.files_removed_at is not None:
        raise Invalid(
            f"The files of “{snapshot.name}” were removed, since they held judgements that have "
            "been erased. Train on its corrected edition."
        )
    rows = queries.training_rows(snapshot)
    name = rules.dataset_config(kind, config, available=rows)
    return total_steps(config, rows[name])


def _requeue(session: Session, *, run_id: UUID) -> bool:
    """Failed or cancelled → queued, in one guarded step."""
    queued = session.scalar(
        update(Run)
        .where(Run.id == run_id, Run.state.in_([JobState.FAILED, JobState.CANCELLED]))
        .values(
            state=JobState.QUEUED,
            finished_at=None,
            cancel_requested_at=None,
            error=None,
            seen_at=func.now(),
        )
        .returning(Run.id)
    )
    return queued is not None


def _requeue_waiting(session: Session, *, run_id: UUID) -> None:
    """Those that failed before they started, because the run they wait for had failed."""
    waiting = session.scalars(
        select(Run).where(
            or_(Run.after_run_id == run_id, Run.reward_run_id == run_id),
            Run.state == JobState.FAILED,
            Run.attempt == 0,
        )
    ).all()
    for run in waiting:
        if queries.blocker(session, run=run) is None and _requeue(session, run_id=run.id):
            note(session, Lease(run.id, 0), "resumed", "The run it builds on was resumed.")
            _requeue_waiting(session, run_id=run.id)
