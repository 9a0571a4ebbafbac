"""The settings of a project, with every version of its guidelines, on their way elsewhere."""

import json
import tomllib
from collections.abc import Iterator, Sequence

from pydantic import ValidationError
from sqlalchemy.orm import Session

from app.accounts.models import User
from app.db import JsonObject
from app.errors import Invalid
from app.projects import queries
from app.projects.models import Guidelines, Project
from app.projects.schemas import ProjectBody, Scale, VersionBody

MOST_PROBLEMS = 5  # of a file that are told at once


def plain_settings(project: Project) -> JsonObject:
    """The settings but for the guidelines, under the names of the API."""
    return {
        "name": project.name,
        "description": project.description,
        "criteria": project.criteria,
        "strength_levels": project.strength_levels,
        "allow_ties": project.allow_ties,
        "overlap": {
            "min": project.overlap_min,
            "max": project.overlap_max,
            "confidence": project.overlap_confidence,
        },
        "gold_rate": project.gold_rate,
        "gold_threshold": project.gold_threshold,
        "lease_minutes": project.lease_minutes,
        "repeat_rate": project.repeat_rate,
        "daily_limit": project.daily_limit,
        "total_limit": project.total_limit,
        "largest_share": project.largest_share,
        "cost_per_hour": project.cost_per_hour,
        "cost_per_judgement": project.cost_per_judgement,
        "currency": project.currency,
        "qualification": {
            "size": project.qualification_size,
            "pass_mark": project.qualification_pass,
            "attempts": project.qualification_attempts,
            "wait_hours": project.qualification_wait_hours,
        },
    }


def settings_of(session: Session, *, project: Project) -> ProjectBody:
    """What `POST /projects` takes to make such a project; nobody's name is in it.

    Examples lose the tasks that they were taken from: elsewhere those have other ids.
    """
    versions = reversed(queries.guidelines_versions(session, project=project))
    return ProjectBody(
        **plain_settings(project),
        guidelines_versions=[
            VersionBody(
                text=each.text,
                note=each.note,
                is_clarification=each.needed < each.version,
                examples=[{**example, "task_id": None} for example in each.examples],
                scale=Scale.model_validate(each.scale) if each.scale else None,
                created_at=each.created_at,
            )
            for each in versions
        ],
    )


def versions_of(
    project: Project, versions: Sequence[VersionBody], *, by: User
) -> Iterator[Guidelines]:
    """The versions as rows of a new project: what needs no reading keeps what was needed before."""
    needed = 1
    for number, each in enumerate(versions, 1):
        needed = needed if each.is_clarification and number > 1 else number
        its = each.scale or Scale(
            criteria=project.criteria,
            strength_levels=project.strength_levels,
            allow_ties=project.allow_ties,
        )
        moment = {"created_at": each.created_at} if each.created_at else {}
        yield Guidelines(
            project_id=project.id,
            version=number,
            text=each.text,
            note=each.note,
            examples=[example.model_dump() for example in each.examples],
            scale=its.model_dump(),
            needed=needed,
            created_by=by.id,
            **moment,
        )


def settings_from(text: str, *, name: str = "") -> ProjectBody:
    """What a file of settings says, in JSON or TOML; a `name` goes before that of the file.

    Raises `Invalid` with what is wrong, and where.
    """
    stripped = text.removeprefix("\ufeff").strip()
    is_json = stripped.startswith("{")
    try:
        found = json.loads(stripped) if is_json else tomllib.loads(stripped)
    except (ValueError, RecursionError) as error:
        kind = "JSON" if is_json else "TOML"
        raise Invalid(f"This file is not valid {kind}: {error}.") from error
    if not found:
        raise Invalid("There are no settings in this file.")
    try:
        return ProjectBody.model_validate(found | ({"name": name.strip()} if name.strip() else {}))
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, each['loc'])) or 'settings'}: "
            f"{each['msg'].removeprefix('Value error, ')}"
            for each in error.errors()[:MOST_PROBLEMS]
        ]
        raise Invalid(f"These are no settings of a project. {'; '.join(problems)}.") from error
