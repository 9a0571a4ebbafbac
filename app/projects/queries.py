"""Reads of projects, their members and their guidelines."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, column, func, literal_column, select, table, tuple_
from sqlalchemy.orm import Session, contains_eager

from app.accounts.models import AuditEvent, Role, User, UserKind
from app.db import JsonObject
from app.projects import rules
from app.projects.models import Guidelines, GuidelinesDraft, MemberMessage, Membership, Project

# Tasks stand right of projects: the list counts them by the table's name, as a string key would.
TASK = table(
    "task",
    *map(column, ("id", "project_id", "kind", "lane", "leased", "wanted", "counted")),
)
GOLD_KEY = table("gold_key", *map(column, ("task_id", "suspended_at")))
LANE = table("task_lane", *map(column, ("project_id", "key", "language", "expertise")))
# Written out, so that the planner recognises the partial index.
IS_WANTED: ColumnElement[bool] = literal_column(
    "task.kind = 'ordinary' AND task.leased + task.counted < task.wanted"
)

PROJECT_FOR = (
    select(Project, Membership.role)
    .outerjoin(
        Membership,
        (Membership.project_id == Project.id) & (Membership.user_id == bindparam("person")),
    )
    .where(Project.id == bindparam("id"))
)


@dataclass(frozen=True, slots=True)
class Progress:
    """Judgements wanted and had on the ordinary tasks of a project."""

    tasks: int = 0
    wanted: int = 0
    counted: int = 0


def project_for(session: Session, *, user: User, project_id: UUID) -> tuple[Project, Role] | None:
    """The project and the user's role in it; None where she has no part in it.

    Admins of the installation have every project, as admins.
    """
    row = session.execute(PROJECT_FOR, {"id": project_id, "person": user.id}).one_or_none()
    if row is None:
        return None
    project, role = row
    if user.is_admin:
        return project, Role.ADMIN
    return None if role is None else (project, role)


def projects_of(
    session: Session, *, user: User, after: Project | None = None, limit: int | None = None
) -> list[tuple[Project, Role]]:
    """The user's projects with her role, newest first; `after` is the last one she has seen."""
    mine = (Membership.project_id == Project.id) & (Membership.user_id == user.id)
    projects = select(Project, Membership.role).join(Membership, mine, isouter=user.is_admin)
    if after is not None:
        seen = (after.created_at, after.id)
        projects = projects.where(tuple_(Project.created_at, Project.id) < seen)
    rows = session.execute(
        projects.order_by(Project.created_at.desc(), Project.id.desc()).limit(limit)
    )
    return [(project, Role.ADMIN if user.is_admin else role) for project, role in rows]


def progress_of(session: Session, *, projects: Sequence[Project]) -> dict[UUID, Progress]:
    """How far each of the projects is; a project without tasks has zeros."""
    rows = session.execute(
        select(
            TASK.c.project_id,
            func.count(),
            func.sum(TASK.c.wanted),
            func.sum(func.least(TASK.c.counted, TASK.c.wanted)),
        )
        .where(TASK.c.project_id.in_([project.id for project in projects]))
        .where(TASK.c.wanted.is_not(None))
        .group_by(TASK.c.project_id)
    )
    progress = {project.id: Progress() for project in projects}
    for project_id, tasks, wanted, counted in rows:
        progress[project_id] = Progress(tasks=tasks, wanted=wanted, counted=counted)
    return progress


@dataclass(frozen=True, slots=True)
class Lane:
    """What some tasks ask of their judges."""

    key: str
    language: str
    expertise: list[str]


@dataclass(frozen=True, slots=True)
class Stranded:
    """Open tasks that nobody in the project may judge, by what they ask for."""

    lane: Lane
    tasks: int


def lanes_of(session: Session, *, project: Project) -> list[Lane]:
    """What tasks of the project ask for, beside those that ask nothing."""
    rows = session.execute(
        select(LANE.c.key, LANE.c.language, LANE.c.expertise)
        .where(LANE.c.project_id == project.id)
        .order_by(LANE.c.language, LANE.c.expertise)
    )
    return [Lane(row.key, row.language, row.expertise) for row in rows]


def takes_part(project: Project) -> tuple[ColumnElement[bool], ...]:
    """Members who can come to work, paused or not: not of imported data, with an open account."""
    return (
        Membership.project_id == project.id,
        Membership.imported_name.is_(None),
        User.disabled_at.is_(None),
    )


def _may_judge(lane: Lane, languages: Sequence[str], expertise: Sequence[str]) -> bool:
    return rules.may_judge(
        language=lane.language, needs=lane.expertise, languages=languages, expertise=expertise
    )


def stranded_tasks(session: Session, *, project: Project) -> list[Stranded]:
    """Open tasks that no member who gets tasks may judge. A pause is not counted: it may end."""
    lanes = lanes_of(session, project=project)
    if not lanes:
        return []
    skills = select(Membership.languages, Membership.expertise).join(User).distinct()
    judges = session.execute(
        skills.where(*takes_part(project), Membership.role != Role.VIEWER)
    ).all()
    keys = [lane.key for lane in lanes if not any(_may_judge(lane, *judge) for judge in judges)]
    open_ones = (
        select(TASK.c.lane, func.count())
        .where(TASK.c.project_id == project.id, TASK.c.lane.in_(keys), IS_WANTED)
        .group_by(TASK.c.lane)
    )
    counts = {row[0]: row[1] for row in session.execute(open_ones)} if keys else {}
    return [Stranded(lane, counts[lane.key]) for lane in lanes if lane.key in counts]


def to_qualify_in(session: Session, *, user: User) -> set[UUID]:
    """The projects where the person is to pass the qualification before she gets real work."""
    asked = session.scalars(
        select(Membership.project_id)
        .join(Project, Project.id == Membership.project_id)
        .where(
            Membership.user_id == user.id,
            Membership.role == Role.ANNOTATOR,
            Membership.qualified_at.is_(None),
            Project.qualification_size > 0,
        )
    )
    return set() if user.is_admin else set(asked)


def questions_in_set(session: Session, *, project: Project) -> int:
    """How many tasks are questions of the qualification, with a key in force."""
    return sum(_questions(session, project=project).values())


def short_of_questions(session: Session, *, project: Project) -> int:
    """Annotators who are to qualify, but may judge fewer questions than an attempt takes."""
    if not project.qualification_size:
        return 0
    lanes = {lane.key: lane for lane in lanes_of(session, project=project)}
    questions = _questions(session, project=project)
    people = session.execute(
        select(Membership.languages, Membership.expertise)
        .join(User)
        .where(
            *takes_part(project),
            Membership.role == Role.ANNOTATOR,
            Membership.qualified_at.is_(None),
        )
    ).all()
    may_answer = [
        sum(n for key, n in questions.items() if not key or _may_judge(lanes[key], *person))
        for person in people
    ]
    return sum(number < project.qualification_size for number in may_answer)


def _questions(session: Session, *, project: Project) -> dict[str, int]:
    """The questions of the qualification by lane."""
    is_question = TASK.c.kind == literal_column("'qualification'")  # for its partial index
    rows = session.execute(
        select(TASK.c.lane, func.count())
        .join(GOLD_KEY, GOLD_KEY.c.task_id == TASK.c.id)
        .where(TASK.c.project_id == project.id, is_question, GOLD_KEY.c.suspended_at.is_(None))
        .group_by(TASK.c.lane)
    )
    return {row[0]: row[1] for row in rows}


def members_of(session: Session, *, project: Project) -> Sequence[Membership]:
    """Everyone with a part in the project, by role and name; `user` is loaded."""
    return session.scalars(
        select(Membership)
        .join(Membership.user)
        .options(contains_eager(Membership.user))
        .where(Membership.project_id == project.id)
        .order_by(User.kind != UserKind.PERSON, Membership.role, func.lower(User.name), User.id)
    ).all()


def member(session: Session, *, project: Project, user_id: UUID) -> Membership | None:
    """The membership of one person, with `user` loaded."""
    return session.scalars(
        select(Membership)
        .join(Membership.user)
        .options(contains_eager(Membership.user))
        .where(Membership.project_id == project.id, Membership.user_id == user_id)
    ).one_or_none()


def guidelines_of(
    session: Session, *, project: Project, version: int | None = None
) -> Guidelines | None:
    """One version of the guidelines, the current one unless another is asked for."""
    return session.get(Guidelines, (project.id, version or project.guidelines_version))


def guidelines_versions(session: Session, *, project: Project) -> Sequence[Guidelines]:
    """All versions, newest first."""
    return session.scalars(
        select(Guidelines)
        .where(Guidelines.project_id == project.id)
        .order_by(Guidelines.version.desc())
    ).all()


def shown_since(session: Session, *, project: Project) -> dict[UUID, datetime]:
    """The tasks that the guidelines in force show as examples, and since when without a break."""
    newest, *earlier = guidelines_versions(session, project=project)
    since = dict.fromkeys(tasks_shown(newest.examples), newest.created_at)
    still = set(since)
    for version in earlier:
        still &= tasks_shown(version.examples)
        since |= dict.fromkeys(still, version.created_at)
    return since


def told_since(session: Session, *, project_id: UUID, task_id: UUID) -> datetime | None:
    """When the guidelines first showed the task as an example; None where they never did.

    Whoever has read it knows the answer, also once a later version shows it no more.
    """
    versions = session.execute(
        select(Guidelines.examples, Guidelines.created_at)
        .where(
            Guidelines.project_id == project_id, func.jsonb_array_length(Guidelines.examples) > 0
        )
        .order_by(Guidelines.version)
    )
    return next((at for examples, at in versions if task_id in tasks_shown(examples)), None)


def shown_anywhere(session: Session) -> set[UUID]:
    """The tasks that any project's guidelines in force show as examples."""
    in_force = select(Guidelines.examples).join(
        Project,
        (Project.id == Guidelines.project_id) & (Project.guidelines_version == Guidelines.version),
    )
    every = session.scalars(in_force.where(func.jsonb_array_length(Guidelines.examples) > 0))
    return {task_id for examples in every for task_id in tasks_shown(examples)}


def tasks_shown(examples: Sequence[JsonObject]) -> set[UUID]:
    """What a program wrote may name no task at all."""
    found = set()
    for each in examples:
        with suppress(ValueError):
            found.add(UUID(each.get("task_id") or ""))
    return found


def guidelines_draft(session: Session, *, project: Project, user: User) -> GuidelinesDraft | None:
    """What she has written and not published."""
    return session.get(GuidelinesDraft, (project.id, user.id))


def authors_of(session: Session, *, versions: Sequence[Guidelines]) -> dict[UUID, str]:
    """Names of those who made the versions, by id."""
    ids = {each.created_by for each in versions if each.created_by}
    rows = session.execute(select(User.id, User.name).where(User.id.in_(ids)))
    return {row.id: row.name for row in rows} if ids else {}


def last_change(session: Session, *, project: Project) -> AuditEvent | None:
    """The last change of the settings, if it says what they were before."""
    event = session.scalars(
        select(AuditEvent)
        .where(AuditEvent.project_id == project.id, AuditEvent.action == "project.update")
        .order_by(AuditEvent.id.desc())
        .limit(1)
    ).one_or_none()
    return event if event and "was" in event.details else None


def unread_messages(
    session: Session, *, project: Project, user: User
) -> Sequence[tuple[MemberMessage, str | None]]:
    """What admins tell her and she has not read, oldest first, with the sender's name."""
    rows = session.execute(
        select(MemberMessage, User.name)
        .outerjoin(User, User.id == MemberMessage.sent_by)
        .where(
            MemberMessage.project_id == project.id,
            MemberMessage.user_id == user.id,
            MemberMessage.read_at.is_(None),
            MemberMessage.withdrawn_at.is_(None),
        )
        .order_by(MemberMessage.sent_at)
    )
    return [(message, name) for message, name in rows]


def messages_to(
    session: Session, *, membership: Membership
) -> Sequence[tuple[MemberMessage, str | None]]:
    """Everything she was told here, newest first, with the sender's name."""
    rows = session.execute(
        select(MemberMessage, User.name)
        .outerjoin(User, User.id == MemberMessage.sent_by)
        .where(
            MemberMessage.project_id == membership.project_id,
            MemberMessage.user_id == membership.user_id,
        )
        .order_by(MemberMessage.sent_at.desc(), MemberMessage.id)
    )
    return [(message, name) for message, name in rows]


def excluded_members(session: Session, *, project: Project) -> Sequence[Membership]:
    """People whose judgements an admin keeps out of snapshots, by name."""
    return session.scalars(
        select(Membership)
        .join(Membership.user)
        .options(contains_eager(Membership.user))
        .where(Membership.project_id == project.id, Membership.excluded_at.is_not(None))
        .order_by(func.lower(User.name), User.id)
    ).all()
