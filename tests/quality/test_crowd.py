"""Which judgements count, and that the columns say what the rows say."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy.orm import Session

from app.accounts.models import User, UserKind
from app.annotation.models import Annotation
from app.projects.models import Project
from app.quality.queries import crowd as crowd_queries
from app.quality.queries.crowd import Crowd, crowd_of, last_tasks_of
from app.quality.queries.days import crowd_of_day
from tests.factories import make_annotation, make_prompt, make_task, make_user
from tests.people import People


def last_of(session: Session, project: Project, user: User) -> Crowd:
    return crowd_of(session, project=project, tasks=last_tasks_of(project, user.id))


def test_columns_hold_what_was_judged(session: Session, people: People):
    project = people.project
    project.criteria = [{"key": "100%_helpful", "label": "Helpful", "min": 1, "max": 5}]
    task = make_task(session, project, responses=["long enough", "tiny", "middling"], wanted=2)
    make_annotation(
        session,
        task,
        people.ana,
        ranks=[1, 3, 2],
        display_order=[2, 0, 1],
        ratings={"100%_helpful": [5, 1, 3]},
        strength=None,
        active_ms=12_500,
        submitted_at=datetime(2026, 3, 1, tzinfo=UTC),
    )
    session.flush()
    crowd = crowd_of(session, project=project)
    found = crowd.judgements
    assert len(found) == 1
    assert crowd.task_id(0) == task.id
    assert crowd.annotator_ids() == [people.ana.id]
    assert found.ranks.tolist() == [[1, 3, 2]]
    assert found.display.tolist() == [[1, 2, 0]]  # the third response stood first
    assert np.argsort(found.lengths[0]).tolist() == [1, 2, 0]
    assert found.ratings["100%_helpful"].tolist() == [[5, 1, 3]]
    assert np.isnan(found.strength).all()
    assert found.seconds.tolist() == [12.5]
    assert found.submitted[0] == datetime(2026, 3, 1, tzinfo=UTC).timestamp()


def test_the_longer_response_is_the_one_with_more_characters(session: Session, people: People):
    task = make_task(session, people.project, responses=["naïveté — déjà", "plain and longer"])
    make_annotation(session, task, people.ana, ranks=[1, 2])
    assert crowd_of(session, project=people.project).judgements.lengths.tolist() == [[14, 16]]


def test_only_peoples_counted_current_judgements_of_ordinary_tasks_are_there(
    session: Session, people: People
):
    project = people.project
    task = make_task(session, project, wanted=3)
    make_annotation(session, task, people.ana, ranks=[1, 2])
    make_annotation(session, task, people.ana, ranks=[2, 1], is_repeat=True)
    late = make_annotation(session, task, people.rui, ranks=[2, 1])
    late.counted = False
    old = make_annotation(session, task, people.ada, ranks=[2, 1])
    old.is_current = False
    gold = make_task(session, project, prefers=[[0, 1]])
    make_annotation(session, gold, people.ana, ranks=[1, 2], gold_passed=True)
    session.add(
        Annotation(
            project_id=project.id,
            task_id=task.id,
            source="dataset:hh-rlhf",
            guidelines_version=1,
            counted=False,
            ranks=[2, 1],
        )
    )
    session.flush()
    found = crowd_of(session, project=project).judgements
    told = zip(found.ranks.tolist(), found.repeat.tolist(), strict=True)
    assert sorted(told) == [([1, 2], False), ([2, 1], True)]


def test_imported_and_simulated_people_are_people(session: Session, project: Project):
    task = make_task(session, project, wanted=2)
    for name, kind in (("Kim", UserKind.IMPORTED), ("Robo", UserKind.SIMULATED)):
        make_annotation(session, task, make_user(session, name, kind=kind), ranks=[1, 2])
    assert len(crowd_of(session, project=project).judgements) == 2


def test_a_project_without_judgements_is_empty(session: Session, project: Project):
    crowd = crowd_of(session, project=project)
    assert len(crowd.judgements) == 0
    assert crowd.annotator_ids() == []


def test_rows_are_sorted_by_task_and_sources_told_apart(session: Session, people: People):
    for number in range(6):
        prompt = make_prompt(session, people.project, f"{number}", source=f"source {number % 2}")
        task = make_task(session, people.project, prompt=prompt, wanted=2)
        for user in (people.ana, people.rui):
            make_annotation(session, task, user, ranks=[1, 2])
    session.flush()
    crowd = crowd_of(session, project=people.project)
    assert (np.diff(crowd.judgements.task) >= 0).all()
    assert len(np.unique(crowd.sources)) == 2
    assert len(crowd.tasks) == 6


def test_around_a_person_are_her_last_tasks_with_what_others_said_of_them(
    session: Session, people: People, monkeypatch: pytest.MonkeyPatch
):
    tasks = [make_task(session, people.project, prompt=str(day), wanted=2) for day in range(4)]
    for day, task in enumerate(tasks[:3]):
        at = datetime(2026, 3, 1 + day, tzinfo=UTC)
        make_annotation(session, task, people.ana, ranks=[1, 2], submitted_at=at)
    for task in (tasks[0], tasks[2], tasks[3]):
        make_annotation(session, task, people.rui, ranks=[2, 1])
    session.flush()
    hers = crowd_of(
        session, project=people.project, tasks=last_tasks_of(people.project, people.ana.id)
    )
    assert {hers.task_id(code) for code in hers.judgements.task} == {task.id for task in tasks[:3]}
    assert len(hers.judgements) == 5
    monkeypatch.setattr("app.quality.queries.crowd.LAST", 1)
    last = crowd_of(
        session, project=people.project, tasks=last_tasks_of(people.project, people.ana.id)
    )
    assert [last.task_id(code) for code in last.judgements.task] == [tasks[2].id] * 2
    assert (
        len(
            crowd_of(
                session, project=people.project, tasks=last_tasks_of(people.project, people.vic.id)
            ).judgements
        )
        == 0
    )


def test_ids_that_begin_alike_are_told_apart():
    ids = np.array([(1, 5), (0, 9), (1, 3), (1, 5)], crowd_queries.UUID_BYTES)
    codes, halves = crowd_queries._codes(ids)
    assert codes.tolist() == [2, 0, 1, 2]
    assert halves.tolist() == [[0, 9], [1, 3], [1, 5]]


def test_words_and_characters_come_along(session: Session, people: People):
    task = make_task(session, people.project, responses=["twelve chars", "six ch"], wanted=2)
    make_annotation(session, task, people.ana, ranks=[1, 2], rationale=" Clearer. ")
    make_annotation(session, task, people.rui, ranks=[1, 2], rationale="clearer.")
    other = make_task(session, people.project, prompt="Other", responses=["é", "e"])
    make_annotation(session, other, people.ana, ranks=[1, 2], rationale="  ")
    found = crowd_of(session, project=people.project).judgements
    by_task = {tuple(found.characters[found.task == code]) for code in set(found.task)}
    assert by_task == {(18.0, 18.0), (2.0,)}
    words = found.rationale[found.characters == 18]
    assert words[0] == words[1] != 0  # the same words, whatever the case and the space around
    assert found.rationale[found.characters == 2].tolist() == [0]


def test_a_days_tasks_come_with_all_that_was_said_of_them_by_what_their_prompts_are(
    session: Session, people: People
):
    at = {day: datetime(2026, 3, day, 12, tzinfo=UTC) for day in (1, 2, 3)}
    tasks = {}
    for name, source, tags, days in (
        ("law", "web", ["law", "law", "long"], (2, 1)),
        ("none", None, [], (2, 2)),
        ("other day", "web", ["law", "law", "long"], (1, 3)),
    ):
        prompt = make_prompt(session, people.project, name, source=source, tags=tags)
        tasks[name] = make_task(session, people.project, prompt=prompt, wanted=2)
        for user, day in zip((people.ana, people.rui), days, strict=True):
            make_annotation(session, tasks[name], user, ranks=[2, 1], submitted_at=at[day])
    make_annotation(
        session, tasks["law"], people.ana, ranks=[1, 2], is_repeat=True, submitted_at=at[3]
    )
    crowd, lots = crowd_of_day(
        session,
        project=people.project,
        start=at[2] - timedelta(hours=12),
        end=at[2] + timedelta(hours=12),
    )
    found = crowd.judgements
    said = {
        (crowd.task_id(task), crowd.annotator_ids()[who], tuple(ranks[:2]), bool(repeat), moment)
        for task, who, ranks, repeat, moment in zip(
            found.task, found.annotator, found.ranks, found.repeat, found.submitted, strict=True
        )
    }
    law, none = tasks["law"].id, tasks["none"].id
    assert said == {
        (law, people.ana.id, (2, 1), False, at[2].timestamp()),
        (law, people.rui.id, (2, 1), False, at[1].timestamp()),
        (law, people.ana.id, (1, 2), True, at[3].timestamp()),
        (none, people.ana.id, (2, 1), False, at[2].timestamp()),
        (none, people.rui.id, (2, 1), False, at[2].timestamp()),
    }
    assert {(lot.source, tuple(lot.tags), *map(crowd.task_id, lot.tasks)) for lot in lots} == {
        ("web", ("law", "law", "long"), law),
        (None, (), none),
    }
    assert found.sizes.tolist() == [2] * 5
