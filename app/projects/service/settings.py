"""Making a project, and changing its settings."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.models import AuditEvent, Role, User
from app.accounts.service import audit
from app.db import JsonObject
from app.errors import Conflict, found
from app.jobs import JobName, defer
from app.projects import queries, rules
from app.projects.models import Guidelines, Membership, Project
from app.projects.schemas import ProjectBody, ProjectPatch
from app.projects.service.moving import versions_of
from app.projects.service.qualification import admit_proven

ABOUT_A_VERSION = {"guidelines_version", "guidelines_note", "guidelines_kind"}
STRAGGLERS = 20  # seconds by which every request that saw the earlier settings has ended


def create(session: Session, *, by: User, body: ProjectBody) -> Project:
    """A project with version 1 of its guidelines and its maker as first admin."""
    _refuse_taken_name(session, name=body.name)
    project = Project(
        name=body.name,
        description=body.description,
        criteria=[criterion.model_dump() for criterion in body.criteria],
        strength_levels=body.strength_levels,
        allow_ties=body.allow_ties,
        overlap_min=body.overlap.min,
        overlap_max=body.overlap.max,
        overlap_confidence=body.overlap.confidence,
        gold_rate=body.gold_rate,
        gold_threshold=body.gold_threshold,
        lease_minutes=body.lease_minutes,
        repeat_rate=body.repeat_rate,
        daily_limit=body.daily_limit,
        total_limit=body.total_limit,
        largest_share=body.largest_share,
        cost_per_hour=body.cost_per_hour,
        cost_per_judgement=body.cost_per_judgement,
        currency=body.currency,
        qualification_size=body.qualification.size,
        qualification_pass=body.qualification.pass_mark,
        qualification_attempts=body.qualification.attempts,
        qualification_wait_hours=body.qualification.wait_hours,
        guidelines_version=max(1, len(body.guidelines_versions)),
        created_by=by.id,
    )
    session.add(project)
    session.flush()  # its id is needed below
    session.add(Membership(project_id=project.id, user_id=by.id, role=Role.ADMIN))
    if body.guidelines_versions:
        session.add_all(versions_of(project, body.guidelines_versions, by=by))
    else:
        session.add(_version(project, text=body.guidelines, by=by))
    audit(session, user=by, action="project.create", target=project.name, project_id=project.id)
    session.flush()  # times and other defaults of the database are part of the answer
    return project


class Outdated(Conflict):
    """Settings were reviewed that are not the ones of now: what was said of them may be wrong."""


def update_settings(
    session: Session,
    *,
    project: Project,
    patch: ProjectPatch,
    by: User,
    now: datetime,
    reviewed: str | None = None,
) -> Project:
    """Change what `patch` names; a new meaning of judgements is a new guideline version.

    Raises `Conflict` when the patch was made on an older version of the guidelines, `Outdated`
    when the settings are not those that were `reviewed` (see `edition`).
    """
    lock(session, project)
    if reviewed and reviewed != edition(session, project=project):
        raise Outdated("Somebody has changed the settings meanwhile. Nothing was saved.")
    require_current(project, patch)
    before, changed = changes(session, project=project, patch=patch)
    if not changed:
        return project
    _apply(
        session,
        project=project,
        before=before,
        changed=changed,
        by=by,
        now=now,
        note=patch.guidelines_note,
        is_clarification=patch.guidelines_kind == "clarification",
    )
    return project


def require_current(project: Project, patch: ProjectPatch) -> None:
    """`Conflict` when the patch was made on an older version of the guidelines."""
    if patch.guidelines_version not in {None, project.guidelines_version}:
        raise Conflict(
            f"Somebody has published version {project.guidelines_version} of the guidelines while "
            f"you worked on version {patch.guidelines_version}. Nothing of yours was saved: keep "
            "a copy of your text, open the page again and put your changes into the new version."
        )


def changes(
    session: Session, *, project: Project, patch: ProjectPatch
) -> tuple[dict[str, Any], dict[str, Any]]:
    """All settings as they are, and those that `patch` would change, by column."""
    before = _settings(session, project)
    return before, {key: value for key, value in _named(patch).items() if value != before.get(key)}


def edition(session: Session, *, project: Project) -> str:
    """The settings as they are now, as a short word that is another one after each change."""
    content = [_settings(session, project), project.guidelines_version]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _apply(
    session: Session,
    *,
    project: Project,
    before: Mapping[str, Any],
    changed: Mapping[str, Any],
    by: User,
    now: datetime,
    note: str = "",
    is_clarification: bool = False,
) -> None:
    """Write what is changed and all that follows; the project's row is held."""
    before_version = project.guidelines_version
    if "name" in changed:
        _refuse_taken_name(session, name=changed["name"], but=project)
    for key, value in changed.items():
        if key == "paused":
            project.paused_at = now if value else None
        elif key not in rules.TOLD:
            setattr(project, key, value)
    if rules.alters_meaning(changed):
        needed = found(queries.guidelines_of(session, project=project)).needed
        project.guidelines_version += 1
        # What people are asked is never a matter of words: that they must see.
        if not is_clarification or not changed.keys().isdisjoint(rules.SCALE):
            needed = project.guidelines_version
        after = {**before, **changed}
        session.add(
            _version(
                project,
                text=after["guidelines"],
                examples=after["guidelines_examples"],
                note=note,
                needed=needed,
                by=by,
                created_at=now,
            )
        )
    if not changed.keys().isdisjoint(rules.OVERLAP):
        # Tasks stand right of projects: a job brings their wanted numbers in line. Another one
        # comes later for what was under way just now: it may have read the earlier settings.
        of = f"{project.id}"
        defer(session, JobName.OVERLAP, queueing_lock=of, project_id=of)
        defer(session, JobName.OVERLAP, delay_seconds=STRAGGLERS, project_id=of)
    if "guidelines_examples" in changed:
        # A task that they show must not be asked any more: its answer is told in advance.
        defer(session, JobName.EXAMPLES, project_id=f"{project.id}")
    if "qualification_size" in changed and not before["qualification_size"]:
        admit_proven(session, project=project, now=now)
    audit(
        session,
        user=by,
        action="project.update",
        target=project.name,
        project_id=project.id,
        was={key: before[key] for key in changed if key not in rules.TOLD},
        was_version=before_version,
        **rules.audited(changed),
    )
    session.flush()  # a clash of names is told now, while there is somebody to tell


def follow_overlap(session: Session, *, project: Project) -> None:
    """At the end of a long transaction that made tasks by the overlap it had read at its start.

    Where somebody has changed it meanwhile, her job has not seen these tasks: another one will.
    Who changes it from now on waits until they are there. Where it is adaptive, judgements that
    came with the tasks, or have gone, may leave an answer unsure: the job asks for more.
    """
    known = [getattr(project, key) for key in rules.OVERLAP]
    session.refresh(project, with_for_update={"read": True})
    is_adaptive = project.overlap_min < project.overlap_max
    if is_adaptive or known != [getattr(project, key) for key in rules.OVERLAP]:
        defer(session, JobName.OVERLAP, project_id=f"{project.id}")


def undoing(session: Session, *, project: Project, event: AuditEvent) -> dict[str, Any]:
    """The settings that were before a change, by column: what it takes to undo it."""
    was = dict(event.details["was"])
    if not event.details.keys().isdisjoint(rules.TOLD):
        version = event.details["was_version"]
        earlier = found(queries.guidelines_of(session, project=project, version=version))
        told = {"guidelines": earlier.text, "guidelines_examples": earlier.examples}
        was |= {key: told[key] for key in rules.TOLD if key in event.details}
    now = _settings(session, project)
    return {key: value for key, value in was.items() if key in now and value != now[key]}


def undo(session: Session, *, project: Project, event_id: int, by: User, now: datetime) -> None:
    """Take the last change of settings back, as a change of its own.

    Raises `Outdated` when there is a later one by now.
    """
    lock(session, project)
    event = queries.last_change(session, project=project)
    if event is None or event.id != event_id:
        raise Outdated("Somebody has changed the settings meanwhile. Nothing was taken back.")
    before, changed = _settings(session, project), undoing(session, project=project, event=event)
    if changed:
        _apply(session, project=project, before=before, changed=changed, by=by, now=now)


def lock(session: Session, project: Project) -> None:
    """Hold the project's row; rows that refer to it, as those of an import, still come in."""
    session.refresh(project, with_for_update={"key_share": True})


def _refuse_taken_name(session: Session, *, name: str, but: Project | None = None) -> None:
    taken = select(Project.id).where(func.lower(Project.name) == func.lower(name))
    if but is not None:
        taken = taken.where(Project.id != but.id)
    if session.scalar(taken.limit(1)) is not None:
        raise Conflict(f"There is already a project called “{name}”. Choose another name.")


def _settings(session: Session, project: Project) -> dict[str, Any]:
    current = found(queries.guidelines_of(session, project=project))
    columns = [key for key in rules.SETTINGS if key not in {"guidelines", "paused"}]
    values = {key: getattr(project, key) for key in columns}
    told = {"guidelines": current.text, "guidelines_examples": current.examples}
    return {**values, **told, "paused": project.paused_at is not None}


def _named(patch: ProjectPatch) -> dict[str, Any]:
    """The settings a patch names, by column; null is unchanged, but takes a limit or cost away."""
    values: Mapping[str, Any] = patch.model_dump(
        exclude_none=True, exclude={"overlap", "qualification", *ABOUT_A_VERSION}
    )
    if patch.guidelines_examples is not None:  # complete, with what is null in them
        values = {
            **values,
            "guidelines_examples": [each.model_dump() for each in patch.guidelines_examples],
        }
    limits = dict.fromkeys((rules.LIMITS | rules.COSTS) & patch.model_fields_set)
    values = {**limits, **values, **_named_of_qualification(patch)}
    if patch.overlap is None:
        return dict(values)
    return {
        **values,
        "overlap_min": patch.overlap.min,
        "overlap_max": patch.overlap.max,
        "overlap_confidence": patch.overlap.confidence,
    }


def _named_of_qualification(patch: ProjectPatch) -> dict[str, Any]:
    named = patch.qualification.model_dump(exclude_unset=True) if patch.qualification else {}
    column = {"pass_mark": "qualification_pass"}
    return {column.get(key, f"qualification_{key}"): value for key, value in named.items()}


def _version(project: Project, *, text: str, by: User, **fields: Any) -> Guidelines:
    scale: JsonObject = {key: getattr(project, key) for key in rules.SCALE}
    return Guidelines(
        project_id=project.id,
        version=project.guidelines_version,
        text=text,
        scale=scale,
        created_by=by.id,
        **fields,
    )
