"""Where a person's work went, and what was erased of her."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import exists, func, or_, select
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.annotation.models import Annotation, Removal
from app.annotation.service import projects_of_work
from app.corpus.models import Response
from app.datasets.models import Snapshot, SnapshotAnnotator
from app.datasets.rules.identity import pseudonym
from app.db import JobState
from app.generation.models import Generation, Writer
from app.privacy.models import Erasure
from app.projects.models import Project
from app.runs.models import Checkpoint, Run
from app.runs.queries.descendants import How, descendants


@dataclass(frozen=True, slots=True)
class Traced:
    """Everything that a person's judgements went into.

    `direct`: runs on a snapshot with them; `ways`: what each checkpoint was built on.
    """

    projects: Sequence[tuple[Project, str, int]]
    snapshots: Sequence[tuple[Snapshot, int]] = ()
    runs: Sequence[Run] = ()
    checkpoints: Sequence[Checkpoint] = ()
    generations: Sequence[Generation] = ()
    responses: dict[UUID, int] = field(default_factory=dict)  # by checkpoint
    direct: frozenset[UUID] = frozenset()
    editions: dict[UUID, Snapshot] = field(default_factory=dict)  # corrected, by what they replace
    ways: dict[UUID, frozenset[How]] = field(default_factory=dict)

    @property
    def models(self) -> int:
        return len(self.checkpoints)


def traces(session: Session, *, user: User, project: Project | None = None) -> Traced:
    """All snapshots with judgements of hers, and what was trained on them, however far down.

    With `project` only what lies in it.
    """
    theirs = projects_of(session, user=user) if project is None else [project]
    projects = [
        (each, pseudonym(each.id, user.id), _judgements(session, user=user, project=each))
        for each in theirs
    ]
    snapshots = _snapshots(session, projects)
    found = descendants(session, snapshot_ids=[snapshot.id for snapshot, _ in snapshots])
    runs, checkpoints = found.runs, found.checkpoints
    if project is not None:
        runs = [run for run in runs if run.project_id == project.id]
        checkpoints = [each for each in checkpoints if each.project_id == project.id]
    ids = [each.id for each in checkpoints]
    generations = session.scalars(
        select(Generation)
        .where(
            or_(
                Generation.checkpoint_id.in_(ids),
                exists().where(
                    Writer.generation_id == Generation.id, Writer.checkpoint_id.in_(ids)
                ),
            )
        )
        .order_by(Generation.created_at)
    ).all()
    written = session.execute(
        select(Response.checkpoint_id, func.count())
        .where(Response.checkpoint_id.in_(ids))
        .group_by(Response.checkpoint_id)
    )
    held = {snapshot.id for snapshot, _ in snapshots}
    return Traced(
        projects=projects,
        snapshots=snapshots,
        runs=runs,
        checkpoints=checkpoints,
        generations=generations,
        responses={checkpoint_id: number for checkpoint_id, number in written if checkpoint_id},
        direct=frozenset(run.id for run in runs if run.snapshot_id in held),
        editions=_editions(session, held),
        ways=found.ways(),
    )


def projects_of(session: Session, *, user: User) -> Sequence[Project]:
    """Where she has a part or has had tasks, and where something of hers was removed."""
    now = {project.id: project for project in projects_of_work(session, user=user)}
    before = session.scalars(
        select(Project)
        .join(Removal, Removal.project_id == Project.id)
        .where(Removal.user_id == user.id)
    )
    now |= {project.id: project for project in before}
    return sorted(now.values(), key=lambda project: project.name.lower())


def _judgements(session: Session, *, user: User, project: Project) -> int:
    return session.scalars(
        select(func.count())
        .select_from(Annotation)
        .where(
            Annotation.user_id == user.id,
            Annotation.project_id == project.id,
            Annotation.is_current.is_(True),
        )
    ).one()


def _snapshots(
    session: Session, projects: Iterable[tuple[Project, str, int]]
) -> list[tuple[Snapshot, int]]:
    """With how many judgements of hers, the newest first."""
    called = {project.id: name for project, name, _ in projects}
    rows = session.execute(
        select(Snapshot, SnapshotAnnotator.judgements, SnapshotAnnotator.annotator)
        .join(SnapshotAnnotator, SnapshotAnnotator.snapshot_id == Snapshot.id)
        .where(
            SnapshotAnnotator.annotator.in_(called.values()), Snapshot.project_id.in_(called.keys())
        )
        .order_by(Snapshot.created_at.desc(), Snapshot.id)
    )
    return [
        (snapshot, number) for snapshot, number, name in rows if called[snapshot.project_id] == name
    ]


def _editions(session: Session, snapshot_ids: Collection[UUID]) -> dict[UUID, Snapshot]:
    """The newest corrected edition of each that has one."""
    rows = session.scalars(
        select(Snapshot)
        .where(Snapshot.replaces_id.in_(snapshot_ids), Snapshot.state != JobState.FAILED)
        .order_by(Snapshot.created_at)
    )
    return {row.replaces_id: row for row in rows if row.replaces_id is not None}


def erasures_of(
    session: Session, *, user: User, project: Project | None = None
) -> Sequence[tuple[Erasure, str | None]]:
    """What was erased of her, the last first, with the name of who did it."""
    rows = select(Erasure, User.name).outerjoin(User, User.id == Erasure.by)
    rows = rows.where(Erasure.user_id == user.id)
    if project is not None:
        rows = rows.where(or_(Erasure.project_id == project.id, Erasure.project_id.is_(None)))
    return [(row, name) for row, name in session.execute(rows.order_by(Erasure.at.desc()))]


def all_erasures(session: Session) -> Sequence[Erasure]:
    return session.scalars(select(Erasure).order_by(Erasure.at, Erasure.id)).all()


def snapshots_without_files(session: Session) -> Sequence[UUID]:
    """Those whose files were removed."""
    return session.scalars(
        select(Snapshot.id).where(Snapshot.files_removed_at.is_not(None)).order_by(Snapshot.id)
    ).all()


def unfinished_runs_on(session: Session, *, snapshot: Snapshot) -> Sequence[Run]:
    return session.scalars(
        select(Run).where(Run.snapshot_id == snapshot.id, Run.finished_at.is_(None))
    ).all()
