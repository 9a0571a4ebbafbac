"""Fills an installation with the demo project, through the same services that people use."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.models import Role, User, UserKind
from app.annotation import service as annotation
from app.annotation.queries import assignment_view
from app.annotation.schemas import AssignmentOut, JudgementBody, Times
from app.corpus.models import Import
from app.datasets.models import Snapshot
from app.datasets.schemas import Recipe
from app.db import JobState, database_now, transaction
from app.demo import content
from app.demo.crowd import CROWD, Persona, Shown, judge
from app.projects import service as projects
from app.projects.models import Membership, Project
from app.projects.schemas import Overlap, ProjectBody
from app.tasks.models import Task, TaskKind
from app.worker.imports import import_file
from app.worker.snapshots import freeze_now

NAME = "Demo: everyday assistant"
HOST = "Touchstone demo"
SEED = 2024
SEED_LOCK = 7_204_020
LEFT_FOR_VISITORS = 25  # ordinary tasks that still want judgements

# When each of the crowd works: (days ago, hour of the day, tasks).
SHIFTS = {
    "careful": ((16, 9, 12), (9, 10, 12), (4, 9, 12), (1, 14, 9)),
    "even-handed": ((15, 11, 9), (8, 15, 10), (2, 10, 8)),
    "quick": ((14, 8, 14), (3, 18, 14)),
    "longer-wins": ((16, 16, 9), (9, 9, 9), (2, 8, 7)),
    "left-clicker": ((10, 13, 14), (3, 16, 10)),
    "tired-afternoon": ((15, 14, 6), (10, 9, 8), (4, 17, 8), (1, 16.5, 8)),
}


@dataclass(frozen=True, slots=True)
class Shift:
    """A sitting of one of the crowd: `first` … `last` are her tasks, counted from 1."""

    persona: Persona
    starts_at: datetime
    first: int
    last: int


def fill() -> None:
    """Make the demo project, or what is still missing of it; quick when all is there.

    Several at once wait for each other. A project that people have worked in or renamed is left
    as it is.
    """
    with transaction() as guard:
        guard.execute(select(func.pg_advisory_xact_lock(SEED_LOCK)))
        with transaction() as session:
            project = _project(session)
            project_id, host_id = project.id, project.created_by
            is_complete = _has(session, Snapshot, project_id)
            is_imported = _has(session, Import, project_id)
        if is_complete:
            return
        loaded = content.load()
        if not is_imported:
            _import(loaded, project_id=project_id, by=host_id)
        _let_them_judge(loaded, project_id=project_id)
        freeze_now(project_id=project_id, recipe=Recipe(), name="First snapshot")


def _project(session: Session) -> Project:
    """The demo project with its simulated members; found by its maker, so it can be renamed."""
    host = _simulated(session, HOST)
    project = session.scalar(select(Project).where(Project.created_by == host.id))
    if project is not None:
        return project
    project = projects.create(session, by=host, body=_settings(_free_name(session)))
    for persona in CROWD:
        user = _simulated(session, persona.name)
        projects.set_member(session, project=project, user=user, role=Role.ANNOTATOR, by=host)
        projects.acknowledge_guidelines(session, project=project, user=user, version=1)
    return project


def _settings(name: str) -> ProjectBody:
    return ProjectBody(
        name=name,
        description=(
            "Short answers to everyday questions, written for this demonstration. "
            "The judgements that are here already come from simulated annotators. Once round the "
            "loop: rank some, look at the overview, freeze a snapshot, train on it, and let the "
            "new model write responses."
        ),
        strength_levels=3,
        allow_ties=True,
        overlap=Overlap(min=3, max=3),
        gold_rate=0.06,
        repeat_rate=0.03,
        gold_threshold=0.8,  # strict, so that the careless show
        guidelines=content.guidelines(),
    )


def _free_name(session: Session) -> str:
    taken = session.scalar(select(Project.id).where(func.lower(Project.name) == NAME.lower()))
    return NAME if taken is None else f"{NAME} (Touchstone)"


def _simulated(session: Session, name: str) -> User:
    """The simulated user of this name: no address, no password, so nobody can sign in as her."""
    user = session.scalar(select(User).where(User.kind == UserKind.SIMULATED, User.name == name))
    if user is None:
        user = User(kind=UserKind.SIMULATED, name=name, role=Role.ANNOTATOR)
        session.add(user)
        session.flush()  # its id is needed for the membership
    return user


def _has(session: Session, kind: type[Import | Snapshot], project_id: UUID) -> bool:
    done = select(kind.id).where(kind.project_id == project_id, kind.state == JobState.SUCCEEDED)
    return session.scalar(done.limit(1)) is not None


def _import(loaded: content.Content, *, project_id: UUID, by: UUID | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "demo-prompts.jsonl"
        file.write_bytes(loaded.file())
        row = import_file(project_id=project_id, file=file, by=by)
    if row.state is not JobState.SUCCEEDED:
        raise RuntimeError(f"The demo's own file was refused: {row.error} {row.errors}")


# -- the crowd at work --------------------------------------------------------------------------


def _let_them_judge(loaded: content.Content, *, project_id: UUID) -> None:
    """Each shift in turn, in a transaction; what an earlier start did is not repeated."""
    with transaction() as session:
        midnight = database_now(session).replace(hour=0, minute=0, second=0, microsecond=0)
    for shift in _shifts(midnight):
        with transaction() as session:
            _work(session, loaded, project=session.get_one(Project, project_id), shift=shift)


def _work(session: Session, loaded: content.Content, *, project: Project, shift: Shift) -> None:
    user = _simulated(session, shift.persona.name)
    done = session.get_one(Membership, (project.id, user.id)).claimed
    size = shift.last - max(shift.first - 1, done)
    if _wanted_tasks(session, project=project) - size < LEFT_FOR_VISITORS:
        return
    rng = Random(f"{SEED} {shift.persona.key} {shift.first}")  # noqa: S311 – a simulation
    now = shift.starts_at
    for _ in range(size):
        assignment = annotation.claim(session, project=project, user=user, now=now, rng=rng)
        if assignment is None:  # paused by now, for example
            return
        view = assignment_view(session, assignment=assignment, project=project)
        judgement = _judgement(loaded, shift.persona, view, now=now, rng=rng)
        now += timedelta(milliseconds=(judgement.times.visible_ms or 0) + rng.randint(100, 900))
        annotation.submit(
            session,
            assignment=assignment,
            project=project,
            user=user,
            judgement=judgement,
            key=f"demo-{assignment.id}",
            now=now,
        )
        now += timedelta(seconds=rng.uniform(1, 6))


def _judgement(
    loaded: content.Content,
    persona: Persona,
    view: AssignmentOut,
    *,
    now: datetime,
    rng: Random,
) -> JudgementBody:
    """What `persona` hands in for the texts on her screen; she does not know what is gold."""
    known = [(response.text, loaded.judged[response.text]) for response in view.responses]
    verdict = judge(
        persona,
        [Shown(text, judged.quality, judged.note) for text, judged in known],
        rng=rng,
        hour=now.hour + now.minute / 60,
        strength_levels=view.strength_levels,
        allow_ties=view.allow_ties,
    )
    return JudgementBody(
        ranking=verdict.ranking,
        strength=verdict.strength,
        rationale=verdict.rationale,
        times=Times(visible_ms=verdict.visible_ms, active_ms=verdict.active_ms),
    )


def _wanted_tasks(session: Session, *, project: Project) -> int:
    return session.scalars(
        select(func.count()).where(
            Task.project_id == project.id,
            Task.kind == TaskKind.ORDINARY,
            Task.counted < Task.wanted,
        )
    ).one()


def _shifts(midnight: datetime) -> Sequence[Shift]:
    """All shifts in the order of time."""

    def of(persona: Persona) -> Iterator[Shift]:
        done = 0
        for days_ago, hour, size in SHIFTS[persona.key]:
            starts_at = midnight - timedelta(days=days_ago) + timedelta(hours=hour)
            yield Shift(persona, starts_at, done + 1, done + size)
            done += size

    shifts = [shift for persona in CROWD for shift in of(persona)]
    return sorted(shifts, key=lambda shift: shift.starts_at)
