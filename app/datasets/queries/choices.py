"""Reads for the choices of a recipe: values and people, a few of however many there are."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, or_, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.annotation.models import Annotation
from app.corpus.models import Prompt
from app.projects.models import Membership, Project

SHOWN = 30  # boxes of a kind
FOUND = 20  # that a search answers
SAMPLE = 20_000  # prompts that are looked at first
PATIENCE = 1_500  # milliseconds of looking at the rest


def values_like(session: Session, *, project: Project, kind: str, search: str) -> list[str]:
    """Sources, tags or languages (`kind`) that contain `search`, the commonest of a sample first.

    Rarer ones come from all prompts, as far as they are found in a moment.
    """
    prompts = select(Prompt).where(Prompt.project_id == project.id)
    sample = prompts.order_by(Prompt.content_hash).limit(SAMPLE)
    found = list(session.scalars(_counted(sample, kind=kind, search=search)))
    if len(found) == FOUND:
        return found
    try:
        with session.begin_nested():
            session.execute(text(f"SET LOCAL statement_timeout = {PATIENCE}"))
            found += session.scalars(_counted(prompts, kind=kind, search=search))
    except OperationalError:  # it took too long: those of the sample are what there is
        pass
    finally:
        session.execute(text("SET LOCAL statement_timeout = DEFAULT"))
    return list(dict.fromkeys(found))[:FOUND]


def _counted(prompts: Select[Prompt], *, kind: str, search: str) -> Select[str]:
    read = prompts.subquery()
    value: ColumnElement[str] = {
        "sources": read.c.source,
        "tags": func.unnest(read.c.tags),
        "languages": read.c.language,
    }[kind]
    each = select(value.label("value")).select_from(read).subquery()
    return (
        select(each.c.value)
        .where(each.c.value.icontains(search, autoescape=True))
        .group_by(each.c.value)
        .order_by(func.count().desc(), each.c.value)
        .limit(FOUND)
    )


def people_like(session: Session, *, project: Project, search: str = "") -> Sequence[Any]:
    """Some who judged: (id, name, email, imported_name, standing), by name."""
    people = _people(project)
    if search:
        means = (User.name, User.email, Membership.imported_name)
        people = people.where(or_(*(each.icontains(search, autoescape=True) for each in means)))
    return session.execute(people.limit(FOUND if search else SHOWN)).all()


def people_with(session: Session, *, project: Project, ids: Collection[UUID]) -> Sequence[Any]:
    """Those of the ids who judged, however many."""
    return session.execute(_people(project).where(User.id.in_(ids))).all() if ids else []


def _people(project: Project) -> Any:
    judged = (
        select(Annotation.id)
        .where(Annotation.project_id == project.id, Annotation.user_id == User.id)
        .exists()
    )
    return (
        select(User.id, User.name, User.email, Membership.imported_name, Membership.standing)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.project_id == project.id, judged)
        .order_by(User.name, User.id)
    )
