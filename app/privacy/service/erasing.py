"""Erasing a person: who she is, what she judged, what she wrote. One transaction, all or nothing.

Locks come in the usual order: the person, her memberships, her assignments, tasks, snapshots, and
at last the audit log.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app.accounts import service as accounts
from app.accounts.models import User
from app.annotation import service as annotation
from app.annotation.service import Removable
from app.corpus import service as corpus
from app.datasets import service as datasets
from app.errors import Conflict, NotFound
from app.privacy.formats.ledger import remember
from app.privacy.models import Erasure
from app.privacy.schemas import Scope
from app.projects import service as projects
from app.projects.models import Project
from app.quality.service import erasing as quality
from app.runs.service import look_through
from app.tasks import service as tasks


def reach(session: Session, *, user: User, project: Project | None) -> Removable:
    """What there is to remove of her, here or everywhere."""
    total = Removable()
    for each in _projects(session, user=user, project=project):
        total += annotation.removable(session, user=user, project=each)
    return total


def erase(
    session: Session,
    *,
    user: User,
    scope: Scope,
    by: User | None,
    now: datetime,
    again: UUID | None = None,
) -> Erasure:
    """Erase what `scope` says, for good.

    `again` is the id of an erasure that a restored backup does not know of.
    """
    if by is not None and by.id == user.id:
        raise Conflict(
            "You cannot erase yourself: whoever erases somebody stays to answer for it. Ask "
            "another admin."
        )
    if scope.identity:
        accounts.lock_erasures(session)
    session.refresh(user, with_for_update={"key_share": True})  # one erasure of her at a time
    if scope.identity:
        accounts.require_erasable(session, user=user)
    project = None if scope.project_id is None else session.get(Project, scope.project_id)
    if scope.project_id is not None and project is None:
        raise NotFound
    where = _projects(session, user=user, project=project)
    annotation.lock_work(session, user=user, projects=where)
    if scope.judgements or scope.texts:
        look_through(session, projects=where)  # else some of her snapshots would not be marked
    counts = {"judgements": 0, "texts": 0, "opened": 0, "snapshots": 0, "checks": 0}
    for each in where:
        done = _erase_in(session, user=user, project=each, scope=scope, by=by, now=now)
        counts = {name: counts[name] + done[name] for name in counts}
    if scope.identity:
        freed = tasks.give_all_back(session, user=user, now=now)
        for each in where:
            annotation.spare_overlap(session, project=each, task_ids=freed)
        if scope.texts:
            projects.forget_messages_from(session, user=user)
        _forget(session, user=user, texts=scope.texts, now=now)
    return _record(session, user=user, scope=scope, counts=counts, by=by, now=now, again=again)


def _projects(session: Session, *, user: User, project: Project | None) -> list[Project]:
    if project is not None:
        return [project]
    return list(annotation.projects_of_work(session, user=user))


def _erase_in(
    session: Session, *, user: User, project: Project, scope: Scope, by: User | None, now: datetime
) -> dict[str, int]:
    """What goes in one project, in numbers."""
    found = Removable()
    texts = 0
    checks = corpus.throw_checks_away(session, project=project)
    corpus.forget_reports(session, project=project)
    if scope.texts:
        texts = annotation.remove_texts(session, user=user, project=project, by=by, now=now)
        quality.forget_reasons(session, user=user, project=project)
    if scope.judgements:
        found = annotation.remove_judgements(session, user=user, project=project, by=by, now=now)
        quality.forget_figures(session, project=project)
    marked = 0
    if found.judgements or texts:
        marked = len(datasets.mark_erased(session, user=user, project=project))
    return {
        "judgements": found.judgements,
        "texts": max(texts, found.texts),
        "opened": found.opened,
        "snapshots": marked,
        "checks": checks,
    }


def _forget(session: Session, *, user: User, texts: bool, now: datetime) -> None:
    imported = projects.imported_names(session, user=user)
    known = [name for name in (user.email, user.name, *imported) if name]
    projects.forget_member(session, user=user)
    annotation.forget_meta(session, user=user)
    datasets.name_by_id(session, user=user, names=known)
    accounts.erase_identity(session, user=user, names=imported, texts=texts, now=now)


def _record(
    session: Session,
    *,
    user: User,
    scope: Scope,
    counts: dict[str, int],
    by: User | None,
    now: datetime,
    again: UUID | None,
) -> Erasure:
    """In the database, in the audit log, and beside the database."""
    erasure = Erasure(
        **({"id": again} if again else {}),
        user_id=user.id,
        project_id=scope.project_id,
        identity=scope.identity,
        judgements=scope.judgements,
        texts=scope.texts,
        counts=counts,
        by=by.id if by else None,
        at=now,
    )
    session.add(erasure)
    session.flush()  # its id is what is remembered
    accounts.audit(
        session,
        user=by,
        action="person.erase",
        target=str(user.id),
        project_id=scope.project_id,
        what=[name for name in ("identity", "judgements", "texts") if getattr(scope, name)],
        went=counts,
    )
    remember(session, erasure)
    return erasure
