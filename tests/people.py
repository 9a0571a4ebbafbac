"""Ana annotates, Rui reviews, Ada is admin, Vic only looks, Sam is a stranger."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.models import Role, User
from app.projects.models import Project
from tests.factories import make_member, make_project, make_user

PASSWORD = "a long enough passphrase"


@dataclass(frozen=True)
class People:
    ana: User
    rui: User
    ada: User
    vic: User
    sam: User
    project: Project


def make_people(session: Session) -> People:
    """A project with its four members, and a stranger who is signed in."""
    ada = make_user(session, "Ada", role=Role.ADMIN)
    ana, rui = make_user(session, "Ana"), make_user(session, "Rui")
    vic, sam = make_user(session, "Vic"), make_user(session, "Sam")
    project = make_project(session, "Kitchen help", by=ada)
    make_member(session, project, ada, Role.ADMIN)
    make_member(session, project, rui, Role.REVIEWER)
    make_member(session, project, ana, Role.ANNOTATOR)
    make_member(session, project, vic, Role.VIEWER)
    session.flush()
    return People(ana=ana, rui=rui, ada=ada, vic=vic, sam=sam, project=project)


def find_people(session: Session) -> People:
    """Those that `make_people` made."""
    users = session.scalars(select(User).where(User.name.in_(["Ana", "Rui", "Ada", "Vic", "Sam"])))
    project = session.scalars(select(Project).where(Project.name == "Kitchen help")).one()
    return People(project=project, **{user.name.lower(): user for user in users})


def make_noise(session: Session) -> None:
    """Another project with its own people and judgements: a forgotten WHERE finds them."""
    from tests.factories import make_annotation, make_task

    nia = make_user(session, "Nia")
    other = make_project(session, "Somebody else's project", by=nia)
    make_member(session, other, nia, Role.ANNOTATOR)
    for number in range(3):
        task = make_task(session, other, prompt=f"noise {number}", responses=["x", "y"], wanted=3)
        make_annotation(session, task, nia, ranks=[2, 1])
    make_task(session, other, prompt="noise gold", responses=["x", "y"], prefers=[[0, 1]])
    session.flush()
