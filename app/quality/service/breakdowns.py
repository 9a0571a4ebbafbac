"""Agreement part by part, as the JSON that is kept and sent."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from sqlalchemy.orm import Session

from app.db import JsonObject
from app.projects.models import Project
from app.quality.models import Part
from app.quality.queries import summary as queries
from app.quality.queries.crowd import Crowd
from app.quality.queries.tags import tasks_by_tag
from app.quality.rules import breakdowns, every_two
from app.quality.rules.between import cross_figures
from app.quality.rules.bootstrap import RESAMPLES
from app.quality.rules.breakdowns import Fields
from app.quality.rules.fields import all_fields, ranking_agreement
from app.quality.rules.intervals import Ints
from app.quality.rules.judgements import Judgements
from app.quality.rules.overview import SEED
from app.quality.rules.scales import Field, Scale, fields_of

NO_PAIR = (
    "There is nothing to compare: no two people have judged the same task. The project’s overlap "
    "says how many people a task gets."
)
FEWER_RESAMPLES = 200  # of a breakdown into many parts
MANY_PARTS = 300
MOST_WEEKS, MOST_DAYS, MOST_SOURCES, MOST_TAGS, MOST_VERSIONS = 52, 90, 50, 50, 20


def scales_of(project: Project) -> dict[str, Scale]:
    return {
        criterion["key"]: Scale(int(criterion["min"]), int(criterion["max"]))
        for criterion in project.criteria
    }


def has_ties(project: Project, judgements: Judgements) -> bool:
    """Whether a tie is an answer: where it is allowed, or came with the data all the same."""
    return project.allow_ties or judgements.once().has_ties


def broken_down(session: Session, *, project: Project, crowd: Crowd, part: Part) -> JsonObject:
    """One breakdown: `{key, fields}` per part of the judgements, and what is left out."""
    rng = np.random.default_rng(SEED)
    judgements = crowd.judgements.once()
    ties = has_ties(project, judgements)
    levels, scales = project.strength_levels, scales_of(project)
    figures = partial(all_fields, levels=levels, scales=scales, ties=ties, rng=rng)
    kinds = fields_of(levels=levels, scales=scales, ties=ties)
    match part:
        case Part.WEEK:
            return _weeks(judgements, figures)
        case Part.DAY:
            return _days(
                judgements,
                lambda day: {"ranking": ranking_agreement(day, ties=ties, rng=rng)},
            )
        case Part.GUIDELINES_VERSION:
            return _versions(judgements, figures)
        case Part.SOURCE:
            return _sources(session, project, crowd, figures)
        case Part.TAG:
            return _tags(session, project, crowd, figures)
        case Part.GROUP:
            return _people_groups(session, project, crowd, figures, kinds, rng)
        case Part.ANNOTATOR_PAIR:
            return _pairs(crowd, kinds, rng)
        case _:
            raise ValueError(f"{part} is no breakdown of agreement.")


def _answer(groups: list[JsonObject], *, number: int, most: int, shown: str) -> JsonObject:
    """The groups, and a sentence where there are more than are shown."""
    if number <= most:
        return {"groups": groups}
    return {"groups": groups, "reason": f"Only the {most} {shown} here, of {number:,}."}


def _weeks(judgements: Judgements, figures: Callable[[Judgements], Fields]) -> JsonObject:
    return _answer(
        [
            slice_json(week.key, week.fields)
            for week in breakdowns.by_week(judgements, figures, most=MOST_WEEKS)
        ],
        number=len(np.unique(breakdowns.task_weeks(judgements))),
        most=MOST_WEEKS,
        shown="latest weeks are shown",
    )


def _days(judgements: Judgements, figures: Callable[[Judgements], Fields]) -> JsonObject:
    """The ranking alone: it is what everything rests on, and there are many days."""
    return _answer(
        [
            slice_json(day.key, day.fields)
            for day in breakdowns.by_day(judgements, figures, most=MOST_DAYS)
        ],
        number=len(np.unique(breakdowns.task_days(judgements))),
        most=MOST_DAYS,
        shown="latest days are shown",
    )


def _versions(judgements: Judgements, figures: Callable[[Judgements], Fields]) -> JsonObject:
    versions = breakdowns.by_key(judgements, judgements.version, figures, most=MOST_VERSIONS)
    return _answer(
        [slice_json(str(version.key), version.fields) for version in versions],
        number=len(np.unique(judgements.version)),
        most=MOST_VERSIONS,
        shown="versions with most judgements are shown",
    )


def _sources(
    session: Session, project: Project, crowd: Crowd, figures: Callable[[Judgements], Fields]
) -> JsonObject:
    names = queries.sources_of(session, project=project)
    keys: Ints = crowd.sources[~crowd.judgements.repeat]
    sources = breakdowns.by_key(crowd.judgements.once(), keys, figures, most=MOST_SOURCES)
    return _answer(
        [slice_json(names.get(source.key, ""), source.fields) for source in sources],
        number=len(np.unique(keys)),
        most=MOST_SOURCES,
        shown="sources with most judgements are shown",
    )


def _tags(
    session: Session, project: Project, crowd: Crowd, figures: Callable[[Judgements], Fields]
) -> JsonObject:
    tags = tasks_by_tag(session, project=project, crowd=crowd)
    found = breakdowns.by_tag(crowd.judgements.once(), tags, figures, most=MOST_TAGS)
    return _answer(
        [slice_json(tag.key, tag.fields) for tag in found],
        number=len(tags),
        most=MOST_TAGS,
        shown="tags with most judgements are shown",
    )


def _people_groups(
    session: Session,
    project: Project,
    crowd: Crowd,
    figures: Callable[[Judgements], Fields],
    kinds: Mapping[str, Field],
    rng: np.random.Generator,
) -> JsonObject:
    """Groups of five and more, and how far every two of them say the same."""
    codes = {user_id: code for code, user_id in enumerate(crowd.annotator_ids())}
    groups = {
        name: frozenset(codes[user_id] for user_id in ids if user_id in codes)
        for name, ids in queries.groups_of(session, project=project).items()
    }
    judgements = crowd.judgements.once()
    answer: JsonObject = {
        "groups": [
            slice_json(group.key, group.fields)
            for group in breakdowns.by_group(judgements, groups, figures)
        ],
        "between": [
            {
                "groups": list(names),
                "fields": {
                    name: _cross_json(field.of(one), field.of(other), field, rng)
                    for name, field in kinds.items()
                },
            }
            for names, one, other in breakdowns.pairs_of_groups(judgements, groups)
        ],
    }
    if sentence := _too_small(answer, breakdowns.small_groups(judgements, groups)):
        answer["reason"] = sentence
    return answer


def _too_small(answer: JsonObject, number: int) -> str | None:
    """What is not shown, and why; which groups they are is not said either."""
    smallest = breakdowns.SMALLEST_GROUP
    if not answer["groups"]:
        return (
            f"No group that people have described themselves by has {smallest} annotators; "
            "smaller ones are not shown, so that nobody can be recognised."
        )
    if not number:
        return None
    which = "1 group is" if number == 1 else f"{number} groups are"
    return (
        f"{which} not shown: where fewer than {smallest} people have judged, they could be "
        "recognised."
    )


def _cross_json(
    one: Judgements, other: Judgements, field: Field, rng: np.random.Generator
) -> JsonObject:
    found = cross_figures(one, other, field, rng=rng, resamples=FEWER_RESAMPLES)
    common = np.intersect1d(one.task, other.task)
    return {"n_shared_tasks": len(common)} | {
        name: figure.as_json() for name, figure in found.items()
    }


def _pairs(crowd: Crowd, kinds: Mapping[str, Field], rng: np.random.Generator) -> JsonObject:
    """Every two people who share a task."""
    judgements = crowd.judgements.once()
    beside = every_two.side_by_side(judgements)
    resamples = FEWER_RESAMPLES if len(beside.people) > MANY_PARTS else RESAMPLES
    of_fields = {
        name: every_two.agreement_of_each(beside, field, rng=rng, resamples=resamples)
        for name, field in kinds.items()
    }
    if not len(beside.people):
        return {"groups": [], "reason": NO_PAIR}
    ids = [str(user_id) for user_id in crowd.annotator_ids()]
    found = []
    for two in beside.people:
        user_ids = [ids[code] for code in two]
        group = slice_json(" ".join(user_ids), {name: next(of_fields[name]) for name in kinds})
        found.append({**group, "user_ids": user_ids})
    return _answer(
        found,
        number=len(np.unique(judgements.annotator)),
        most=every_two.MOST_PEOPLE,
        shown="people with most judgements are paired",
    )


def slice_json(key: str, fields: Fields) -> JsonObject:
    return {"key": key, "fields": fields_json(fields)}


def fields_json(fields: Fields) -> JsonObject:
    return {name: field.as_json() for name, field in fields.items()}
