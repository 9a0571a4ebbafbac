"""Which models contain this? From people, guidelines, prompts and snapshots, as JSON."""

from uuid import UUID

from fastapi import APIRouter

from app.datasets.auth import ViewedSnapshot
from app.db import SessionDep
from app.projects.auth import AdminProject, ViewerProject
from app.runs.api.words import text
from app.runs.auth import ProjectPerson, ViewedPrompt
from app.runs.queries.descendants import Descendants, descendants
from app.runs.schemas import DescendantsOut, DescendedCheckpoint, DescendedSnapshot, LinkOut
from app.runs.service import origins

router = APIRouter(tags=["lineage"])


@router.get("/snapshots/{snapshot_id}/descendants")
def snapshot_descendants(session: SessionDep, snapshot: ViewedSnapshot) -> DescendantsOut:
    """Everything that was trained on a snapshot, however far down."""
    return descendants_out(descendants(session, snapshot_ids=[snapshot.id]))


@router.get("/projects/{project_id}/annotators/{user_id}/models")
def models_of_annotator(
    session: SessionDep, project: AdminProject, person: ProjectPerson
) -> DescendantsOut:
    """The snapshots that hold judgements of hers, and the models that descend from them."""
    return descendants_out(*origins.of_person(session, project=project, user_id=person.id))


@router.get("/projects/{project_id}/guidelines/{version}/models")
def models_of_guidelines(
    session: SessionDep, project: ViewerProject, version: int
) -> DescendantsOut:
    """The snapshots with judgements made under a version, and the models that descend from them."""
    return descendants_out(*origins.of_version(session, project=project, version=version))


@router.get("/prompts/{prompt_id}/models")
def models_of_prompt(session: SessionDep, prompt: ViewedPrompt) -> DescendantsOut:
    """The snapshots with judgements about a prompt, and the models that descend from them."""
    return descendants_out(*origins.of_prompt(session, prompt=prompt))


def descendants_out(
    found: Descendants, judgements: dict[UUID, int] | None = None
) -> DescendantsOut:
    """`judgements`: of those asked about, by snapshot."""
    ways = found.ways()
    return DescendantsOut(
        snapshots=[
            DescendedSnapshot(
                id=str(each.id),
                project_id=str(each.project_id),
                name=each.name,
                judgements=(judgements or {}).get(each.id),
                is_written=each.id not in found.seeds,
            )
            for each in found.snapshots
        ],
        checkpoints=[
            DescendedCheckpoint(
                id=str(each.id),
                project_id=str(each.project_id),
                name=each.name,
                kind=each.kind,
                run_id=text(each.run_id),
                through=sorted(ways[each.id]),
                removed_at=each.removed_at,
            )
            for each in found.checkpoints
            if each.id not in found.seeds
        ],
        links=[
            LinkOut(begin=str(each.begin), to=str(each.to), how=each.how) for each in found.links
        ],
    )
