"""Who may see and do what with runs and checkpoints.

They belong to a project: a stranger to it gets 404; whoever may see its data may see them, and its
admins launch, cancel and resume.
"""

from typing import Annotated
from uuid import UUID

from fastapi import Depends
from sqlalchemy.orm import Session

from app.accounts.auth import CurrentUser
from app.accounts.models import Role, User
from app.annotation.service import projects_of_work
from app.corpus.models import Prompt
from app.datasets.models import Snapshot
from app.db import SessionDep
from app.errors import found
from app.projects.auth import AdminProject, ViewerProject, require
from app.projects.queries import project_for
from app.runs import queries
from app.runs.models import Checkpoint, Run, RunCheck
from app.runs.schemas import RunBody

VIEWERS = (Role.VIEWER, Role.REVIEWER, Role.ADMIN)


def may(session: Session, user: User, project_id: UUID, *allowed: Role) -> None:
    _, role = found(project_for(session, user=user, project_id=project_id))
    require(role, *allowed)


def snapshot_to_train_on(session: SessionDep, user: CurrentUser, body: RunBody) -> Snapshot:
    """The snapshot that `POST /runs` names, in a project whose admin the caller is."""
    snapshot = found(session.get(Snapshot, body.snapshot_id))
    may(session, user, snapshot.project_id, Role.ADMIN)
    return snapshot


def viewed_run(session: SessionDep, user: CurrentUser, run_id: UUID) -> Run:
    run = found(session.get(Run, run_id))
    may(session, user, run.project_id, *VIEWERS)
    return run


def managed_run(session: SessionDep, user: CurrentUser, run_id: UUID) -> Run:
    run = found(session.get(Run, run_id))
    may(session, user, run.project_id, Role.ADMIN)
    return run


def viewed_checkpoint(session: SessionDep, user: CurrentUser, checkpoint_id: UUID) -> Checkpoint:
    checkpoint = found(session.get(Checkpoint, checkpoint_id))
    may(session, user, checkpoint.project_id, *VIEWERS)
    return checkpoint


def managed_checkpoint(session: SessionDep, user: CurrentUser, checkpoint_id: UUID) -> Checkpoint:
    checkpoint = found(session.get(Checkpoint, checkpoint_id))
    may(session, user, checkpoint.project_id, Role.ADMIN)
    return checkpoint


def viewed_prompt(session: SessionDep, user: CurrentUser, prompt_id: UUID) -> Prompt:
    prompt = found(session.get(Prompt, prompt_id))
    may(session, user, prompt.project_id, *VIEWERS)
    return prompt


def viewed_check(session: SessionDep, user: CurrentUser, check_id: UUID) -> RunCheck:
    check = found(session.get(RunCheck, check_id))
    may(session, user, check.project_id, Role.ADMIN)
    return check


TrainingSnapshot = Annotated[Snapshot, Depends(snapshot_to_train_on)]
ViewedCheck = Annotated[RunCheck, Depends(viewed_check)]
ViewedRun = Annotated[Run, Depends(viewed_run)]
ManagedRun = Annotated[Run, Depends(managed_run)]
ViewedCheckpoint = Annotated[Checkpoint, Depends(viewed_checkpoint)]
ViewedPrompt = Annotated[Prompt, Depends(viewed_prompt)]
ManagedCheckpoint = Annotated[Checkpoint, Depends(managed_checkpoint)]


# Pages name the project in their address, too: what lies in another project is not there.


def page_run(session: SessionDep, project: ViewerProject, run_id: UUID) -> Run:
    return found(queries.run_in(session, project_id=project.id, run_id=run_id))


def admin_page_run(session: SessionDep, project: AdminProject, run_id: UUID) -> Run:
    return found(queries.run_in(session, project_id=project.id, run_id=run_id))


def page_checkpoint(session: SessionDep, project: ViewerProject, checkpoint_id: UUID) -> Checkpoint:
    return found(queries.checkpoint_in(session, project_id=project.id, checkpoint_id=checkpoint_id))


PageRun = Annotated[Run, Depends(page_run)]
AdminPageRun = Annotated[Run, Depends(admin_page_run)]
PageCheckpoint = Annotated[Checkpoint, Depends(page_checkpoint)]


def admin_page_checkpoint(
    session: SessionDep, project: AdminProject, checkpoint_id: UUID
) -> Checkpoint:
    return found(queries.checkpoint_in(session, project_id=project.id, checkpoint_id=checkpoint_id))


def page_prompt(session: SessionDep, project: ViewerProject, prompt_id: UUID) -> Prompt:
    prompt = session.get(Prompt, prompt_id)
    return found(prompt if prompt is not None and prompt.project_id == project.id else None)


def person_of_project(session: SessionDep, project: AdminProject, user_id: UUID) -> User:
    """Whoever has or had a part in the project, for its admins."""
    person = found(session.get(User, user_id))
    hers = {each.id for each in projects_of_work(session, user=person)}
    kept = queries.is_in_snapshots(session, project=project, user_id=user_id)
    return found(person if project.id in hers or kept else None)


AdminPageCheckpoint = Annotated[Checkpoint, Depends(admin_page_checkpoint)]
PagePrompt = Annotated[Prompt, Depends(page_prompt)]
ProjectPerson = Annotated[User, Depends(person_of_project)]
