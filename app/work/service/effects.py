"""What a change of settings would do, told before it is made; nothing is changed here."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app.db import JsonObject
from app.projects import service as projects
from app.projects.models import Project
from app.projects.schemas import ProjectPatch
from app.work.queries import effects as queries
from app.work.queries import figures
from app.work.rules import effects as rules
from app.work.rules import shift
from app.work.rules.census import Census
from app.work.rules.demand import Pace
from app.work.schemas import EffectOut


def effects_of(
    session: Session, *, project: Project, patch: ProjectPatch, now: datetime
) -> list[EffectOut]:
    """One per setting that `patch` would change; none where all is as it says already."""
    _, changed = projects.changes(session, project=project, patch=patch)
    is_clarification = patch.guidelines_kind == "clarification"
    return effects_of_values(
        session, project=project, changed=changed, now=now, is_clarification=is_clarification
    )


def effects_of_values(
    session: Session,
    *,
    project: Project,
    changed: Mapping[str, Any],
    now: datetime,
    is_clarification: bool = False,
) -> list[EffectOut]:
    """The same for settings by column."""
    if not changed:
        return []
    before, _ = projects.changes(session, project=project, patch=ProjectPatch())
    facts = replace(
        _facts(session, project=project, before=before, changed=changed, now=now),
        is_clarification=is_clarification,
    )
    return [
        EffectOut(setting=each.setting, from_=each.was, to=each.becomes, sentence=each.sentence)
        for each in rules.effects(facts)
    ]


def _facts(
    session: Session,
    *,
    project: Project,
    before: Mapping[str, Any],
    changed: Mapping[str, Any],
    now: datetime,
) -> rules.Facts:
    census = figures.census_of(session, project=project)
    held = figures.held(session, project=project)
    hours = figures.hours_since(session, project=project, since=now - shift.LOOK_BACK)
    _, at_work = shift.people_at_work(held, hours, now=now)
    unsure = _unsure(session, project=project, census=census, before=before, changed=changed)
    return rules.Facts(
        before=before,
        changed=changed,
        version=project.guidelines_version,
        census=census,
        pace=Pace(
            counted=sum(hour.counted for hour in hours),
            hours=sum(hour.active_ms for hour in hours) / 3_600_000,
            people=at_work,
        ),
        readers=queries.readers(
            session, project=project, is_empty=rules.are_empty({**before, **changed})
        ),
        judgements=queries.judgements_under(
            session, project=project, version=project.guidelines_version
        ),
        holders=len({each.user_id for each in held}),
        held=len(held),
        gold_tasks=queries.gold_tasks(session, project=project),
        in_doubt=queries.in_doubt(session, project=project),
        own_limits=queries.own_limits(session, project=project),
        unfit=unfit(queries.open_drafts(session, project=project), changed),
        **unsure,
    )


def _unsure(
    session: Session,
    *,
    project: Project,
    census: Census,
    before: Mapping[str, Any],
    changed: Mapping[str, Any],
) -> dict[str, Any]:
    """Of `Facts`, what is told of the tasks that the new overlap finds unsure."""
    if set(rules.OVERLAP).isdisjoint(changed):
        return {}
    after = {**before, **changed}
    least, most, confidence = (after[setting] for setting in rules.OVERLAP)
    among = census.count(lambda cell: rules.may_be_unsure(cell, least=least, most=most))
    if most <= least or not among:
        return {}
    found = queries.unsure(session, project=project, overlap=(least, most, confidence), among=among)
    scale = among / found.seen if found.seen else 0.0
    return {
        "unsure": found.complete * scale,
        "still": found.waiting * scale,
        "still_fewer": (found.want_fewer * scale, found.spare * scale),
        "is_guess": among > queries.SAMPLE,
    }


def unfit(drafts: Collection[JsonObject], changed: Mapping[str, Any]) -> dict[str, int]:
    """Of unfinished judgements, those that a new scale has no room for, by setting."""
    found: dict[str, int] = {}
    if "strength_levels" in changed:
        levels = changed["strength_levels"]
        found["strength_levels"] = sum((draft.get("strength") or 0) > levels for draft in drafts)
    if changed.get("allow_ties") is False:
        found["allow_ties"] = sum(
            any(len(group) > 1 for group in draft.get("ranking") or []) for draft in drafts
        )
    if "criteria" in changed:
        scales = {each["key"]: (each["min"], each["max"]) for each in changed["criteria"]}
        found["criteria"] = sum(
            any(
                key not in scales
                or any(not scales[key][0] <= value <= scales[key][1] for value in values.values())
                for key, values in (draft.get("ratings") or {}).items()
            )
            for draft in drafts
        )
    return found
