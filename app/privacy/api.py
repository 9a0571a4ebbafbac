"""Erasing people and saying where their work went, as JSON."""

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from app.accounts.auth import CurrentUser
from app.accounts.models import User
from app.datasets import service as datasets
from app.datasets.api.snapshots import snapshot_out
from app.datasets.schemas import SnapshotOut
from app.db import Now, SessionDep
from app.errors import found
from app.privacy import queries, service
from app.privacy.auth import ManagedSnapshot, PersonAskedAbout, PersonToErase
from app.privacy.formats.own_data import data_reply, own_data
from app.privacy.models import Erasure
from app.privacy.queries import Traced
from app.privacy.schemas import (
    ErasureOut,
    ReachOut,
    Scope,
    TracedCheckpoint,
    TracedGeneration,
    TracedProject,
    TracedRun,
    TracedSnapshot,
    TracesOut,
)

router = APIRouter(tags=["privacy"])


@router.get("/users/{user_id}/erasure")
def see_erasure(session: SessionDep, person: PersonAskedAbout) -> ReachOut:
    """What an erasure would find now; nothing is done."""
    user, project = person
    found_now = service.reach(session, user=user, project=project)
    return ReachOut(
        judgements=found_now.judgements,
        counted=found_now.counted,
        opened=found_now.opened,
        texts=found_now.texts,
    )


@router.post("/users/{user_id}/erasure")
def erase_person(
    session: SessionDep, person: PersonToErase, user: CurrentUser, now: Now, body: Scope
) -> ErasureOut:
    """Erase who a person is, what she judged or what she wrote. There is no way back."""
    return erasure_out(service.erase(session, user=person, scope=body, by=user, now=now), person)


@router.get("/users/{user_id}/traces")
def get_traces(session: SessionDep, person: PersonAskedAbout) -> TracesOut:
    """Where a person's work went: snapshots, runs and checkpoints; also of an erased one."""
    user, project = person
    traced = service.trace(session, user=user, project=project)
    erasures = queries.erasures_of(session, user=user, project=project)
    return traces_out(user, traced, [erasure for erasure, _ in erasures])


@router.get(
    "/users/{user_id}/export",
    response_class=Response,
    responses={200: {"content": {"application/x-ndjson": {}}}},
)
def export_person(session: SessionDep, person: PersonAskedAbout, now: Now) -> Response:
    """Everything that is stored about a person, as JSON lines."""
    user, project = person
    return data_reply("".join(own_data(session, user=user, project=project, now=now)))


@router.post("/snapshots/{snapshot_id}/correction", status_code=202)
def correct_snapshot(
    session: SessionDep, user: CurrentUser, snapshot: ManagedSnapshot, without: UUID | None = None
) -> SnapshotOut:
    """Freeze the recipe of a snapshot over the judgements that there are now.

    `without` leaves somebody out whose judgements are there still.
    """
    person = None if without is None else found(session.get(User, without))
    corrected = datasets.correct(session, snapshot=snapshot, without=person, by=user)
    return snapshot_out(corrected, twin=None)


@router.delete("/snapshots/{snapshot_id}/files", status_code=204)
def remove_snapshot_files(
    session: SessionDep, user: CurrentUser, snapshot: ManagedSnapshot
) -> None:
    """Delete the files of a snapshot with judgements that have been erased; its record stays."""
    service.remove_files(session, snapshot=snapshot, by=user)


def erasure_out(erasure: Erasure, person: User) -> ErasureOut:
    return ErasureOut(
        id=str(erasure.id),
        user_id=str(erasure.user_id),
        called=person.name,
        identity=erasure.identity,
        judgements=erasure.judgements,
        texts=erasure.texts,
        project_id=str(erasure.project_id) if erasure.project_id else None,
        counts=erasure.counts,
        at=erasure.at,
    )


def traces_out(user: User, traced: Traced, erasures: list[Erasure]) -> TracesOut:
    return TracesOut(
        user_id=str(user.id),
        called=user.name,
        projects=[
            TracedProject(id=str(each.id), name=each.name, annotator=name, judgements=number)
            for each, name, number in traced.projects
        ],
        snapshots=[
            TracedSnapshot(
                id=str(each.id),
                project_id=str(each.project_id),
                name=each.name,
                judgements=number,
                created_at=each.created_at,
                erased_at=each.erased_at,
                files_removed_at=each.files_removed_at,
            )
            for each, number in traced.snapshots
        ],
        runs=[
            TracedRun(
                id=str(each.id),
                project_id=str(each.project_id),
                name=each.name,
                kind=each.kind,
                snapshot_id=str(each.snapshot_id),
                directly=each.id in traced.direct,
            )
            for each in traced.runs
        ],
        checkpoints=[
            TracedCheckpoint(
                id=str(each.id),
                project_id=str(each.project_id),
                name=each.name,
                kind=each.kind,
                run_id=str(each.run_id),
                directly=each.run_id in traced.direct,
                responses=traced.responses.get(each.id, 0),
            )
            for each in traced.checkpoints
        ],
        generations=[
            TracedGeneration(
                id=str(each.id),
                project_id=str(each.project_id),
                checkpoint_id=str(each.checkpoint_id) if each.checkpoint_id else None,
                created_at=each.created_at,
            )
            for each in traced.generations
        ],
        erasures=[erasure_out(each, user) for each in erasures],
    )
