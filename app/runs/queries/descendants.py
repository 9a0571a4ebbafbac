"""From judgements forward: which snapshots hold them, and which models learned from those.

A model descends from what its snapshot holds, from the model it began with, from the reward model
it learned from, and, where its snapshot holds judgements of responses that another model wrote,
from that one, too.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.types import Uuid

from app.corpus.models import Prompt
from app.datasets.formats.folder import judgements_of
from app.datasets.models import Snapshot, SnapshotAnnotator, SnapshotGuidelines
from app.datasets.rules.identity import pseudonym
from app.datasets.service.looking import folder_of
from app.db import JobState, among
from app.errors import AppError
from app.projects.models import Project
from app.runs.models import Checkpoint, Run


class How(StrEnum):
    """How something comes from what stands before it."""

    DATA = "data"  # a run learned from the snapshot
    MADE = "made"  # the run's own checkpoint
    BASE = "base"  # a run began with the checkpoint
    REWARD = "reward"  # a run learned from the checkpoint's scores
    WAITS = "waits"  # a run waits for what another will make
    WRITTEN = "written"  # the snapshot holds judgements of what the checkpoint wrote


@dataclass(frozen=True, slots=True)
class Link:
    """`to` comes from `begin`; both are ids of a snapshot, run or checkpoint."""

    begin: UUID
    to: UUID
    how: How


@dataclass(frozen=True, slots=True)
class Descendants:
    """Everything that comes from some snapshots or checkpoints; these (`seeds`) included."""

    seeds: frozenset[UUID]
    snapshots: Sequence[Snapshot]
    runs: Sequence[Run]
    checkpoints: Sequence[Checkpoint]
    links: Sequence[Link]

    def how(self, identity: UUID) -> set[How]:
        return {link.how for link in self.links if link.to == identity}

    def ways(self) -> dict[UUID, frozenset[How]]:
        """How each checkpoint came about: by what its run built on."""
        by_run: dict[UUID, set[How]] = {}
        for link in self.links:
            by_run.setdefault(link.to, set()).add(link.how)
        return {
            each.id: frozenset(by_run.get(each.run_id, ()) if each.run_id else ())
            for each in self.checkpoints
        }


_FORWARD = text(
    """
    WITH RECURSIVE came(kind, id, how, begin) AS (
        SELECT 'snapshot', id, NULL, NULL::uuid FROM unnest(:snapshots) AS id
        UNION SELECT 'checkpoint', id, NULL, NULL::uuid FROM unnest(:checkpoints) AS id
        UNION
        SELECT next.kind, next.id, next.how, came.id FROM came CROSS JOIN LATERAL (
            SELECT 'run' AS kind, run.id, 'data' AS how
            FROM run WHERE came.kind = 'snapshot' AND run.snapshot_id = came.id
            UNION ALL
            SELECT 'checkpoint', checkpoint.id, 'made'
            FROM checkpoint WHERE came.kind = 'run' AND checkpoint.run_id = came.id
            UNION ALL
            SELECT 'run', run.id, 'base'
            FROM run WHERE came.kind = 'checkpoint' AND run.parent_checkpoint_id = came.id
            UNION ALL
            SELECT 'run', run.id, 'reward'
            FROM run WHERE came.kind = 'checkpoint' AND run.reward_checkpoint_id = came.id
            UNION ALL
            SELECT 'run', run.id, 'waits'
            FROM run WHERE came.kind = 'run' AND run.after_run_id = came.id
            UNION ALL
            SELECT 'run', run.id, 'waits'
            FROM run WHERE came.kind = 'run' AND run.reward_run_id = came.id
            UNION ALL
            SELECT 'snapshot', wrote.snapshot_id, 'written'
            FROM snapshot_writer AS wrote
            WHERE came.kind = 'checkpoint' AND wrote.checkpoint_id = came.id
        ) AS next
    )
    SELECT kind, id, how, begin FROM came
    """
).bindparams(
    bindparam("snapshots", type_=ARRAY(Uuid())), bindparam("checkpoints", type_=ARRAY(Uuid()))
)


def descendants(
    session: Session,
    *,
    snapshot_ids: Collection[UUID] = (),
    checkpoint_ids: Collection[UUID] = (),
) -> Descendants:
    """All that comes from these, however far down, in one statement that follows each link once."""
    rows = session.execute(
        _FORWARD, {"snapshots": list(snapshot_ids), "checkpoints": list(checkpoint_ids)}
    ).all()
    ids: dict[str, set[UUID]] = {"snapshot": set(), "run": set(), "checkpoint": set()}
    for row in rows:
        ids[row.kind].add(row.id)
    return Descendants(
        seeds=frozenset([*snapshot_ids, *checkpoint_ids]),
        snapshots=session.scalars(
            select(Snapshot)
            .where(among(Snapshot.id, ids["snapshot"]))
            .order_by(Snapshot.created_at, Snapshot.id)
        ).all(),
        runs=session.scalars(
            select(Run).where(among(Run.id, ids["run"])).order_by(Run.created_at, Run.id)
        ).all(),
        checkpoints=session.scalars(
            select(Checkpoint)
            .where(among(Checkpoint.id, ids["checkpoint"]))
            .order_by(Checkpoint.created_at, Checkpoint.id)
        ).all(),
        links=[Link(row.begin, row.id, How(row.how)) for row in rows if row.begin is not None],
    )


# -- where judgements lie: what the way forward begins with -----------------------------------


def snapshots_with_person(
    session: Session, *, project: Project, user_id: UUID
) -> Sequence[tuple[Snapshot, int]]:
    """The snapshots of a project that hold judgements of hers, with how many."""
    rows = session.execute(
        select(Snapshot, SnapshotAnnotator.judgements)
        .join(SnapshotAnnotator, SnapshotAnnotator.snapshot_id == Snapshot.id)
        .where(
            Snapshot.project_id == project.id,
            SnapshotAnnotator.annotator == pseudonym(project.id, user_id),
        )
        .order_by(Snapshot.created_at, Snapshot.id)
    )
    return [(row[0], row[1]) for row in rows]


def snapshots_under(
    session: Session, *, project: Project, version: int
) -> Sequence[tuple[Snapshot, int]]:
    """Those that hold judgements made under a version of the guidelines, with how many."""
    rows = session.execute(
        select(Snapshot, SnapshotGuidelines.judgements)
        .join(SnapshotGuidelines, SnapshotGuidelines.snapshot_id == Snapshot.id)
        .where(Snapshot.project_id == project.id, SnapshotGuidelines.version == version)
        .where(SnapshotGuidelines.judgements > 0)
        .order_by(Snapshot.created_at, Snapshot.id)
    )
    return [(row[0], row[1]) for row in rows]


def is_in_snapshots(session: Session, *, project: Project, user_id: UUID) -> bool:
    """Whether any snapshot of the project holds judgements of hers."""
    rows = snapshots_with_person(session, project=project, user_id=user_id)
    return bool(rows)


def snapshots_with_prompt(session: Session, *, prompt: Prompt) -> Sequence[tuple[Snapshot, int]]:
    """Those whose manifests name judgements about a prompt; files that are gone tell nothing."""
    frozen = session.scalars(
        select(Snapshot)
        .where(
            Snapshot.project_id == prompt.project_id,
            Snapshot.state == JobState.SUCCEEDED,
            Snapshot.files_removed_at.is_(None),
            Snapshot.created_at >= prompt.created_at,
        )
        .order_by(Snapshot.created_at, Snapshot.id)
    ).all()
    found = []
    for snapshot in frozen:
        with suppress(AppError, OSError, ValueError, KeyError):
            entries = judgements_of(folder_of(snapshot), prompt.content_hash.hex())
            if entries:
                found.append((snapshot, len(entries)))
    return found
