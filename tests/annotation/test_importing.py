"""Judgements that come with the data."""

import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from app.annotation import service
from app.annotation.models import Annotation
from app.annotation.schemas import ImportedJudgement
from app.db import database_now
from app.errors import Invalid
from app.projects.models import Membership, Standing
from app.tasks.models import Assignment, AssignmentState
from tests.factories import make_task

LONG_AGO = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.fixture
def record(session, project):
    def given(*judgements):
        return service.record_imported(
            session, project=project, judgements=judgements, now=database_now(session)
        )

    return given


def rows(session, task):
    session.expire_all()
    return (
        session.query(Annotation)
        .filter_by(task_id=task.id)
        .order_by(Annotation.submitted_at, Annotation.source)
        .all()
    )


def test_people_count_and_raise_what_is_wanted(session, project, record):
    task = make_task(session, project, responses=["a", "b", "c"], wanted=2)
    done = record(
        ImportedJudgement(
            task.id, "w1", [1, 3, 3], strength=2, rationale="so", created_at=LONG_AGO
        ),
        ImportedJudgement(task.id, "w2", [10, 20, 30]),
        ImportedJudgement(task.id, "w3", [2, 1, 1]),
    )
    assert (done.recorded, done.repeats, done.known) == (3, 0, 0)
    first, second, third = rows(session, task)
    assert [first.ranks, second.ranks, third.ranks] == [[1, 2, 2], [1, 2, 3], [3, 1, 1]]
    assert (first.strength, first.rationale, first.submitted_at) == (2, "so", LONG_AGO)
    assert {each.counted for each in (first, second, third)} == {True}
    assert (task.leased, task.counted, task.wanted) == (0, 3, 3)
    assignment = session.get(Assignment, first.assignment_id)
    assert (assignment.state, assignment.display_order) == (AssignmentState.SUBMITTED, None)
    members = session.query(Membership.imported_name).filter_by(project_id=project.id)
    assert {name for (name,) in members if name} == {"w1", "w2", "w3"}


def test_one_name_is_one_person_of_the_project(session, project, record):
    tasks = [make_task(session, project, prompt=f"p{number}") for number in range(3)]
    record(*(ImportedJudgement(task.id, "w1", [1, 2]) for task in tasks))
    record(ImportedJudgement(tasks[0].id, "w2", [1, 2]))
    people = {row.user_id for task in tasks for row in rows(session, task)}
    assert len(people) == 2


def test_people_do_not_take_more_places_than_they_need(session, project, record):
    task = make_task(session, project, wanted=3)
    record(ImportedJudgement(task.id, "w1", [1, 2]))
    session.refresh(task)
    assert (task.counted, task.wanted) == (1, 3)


def test_a_source_is_kept_beside_and_counts_nowhere(session, project, record):
    task = make_task(session, project, wanted=2)
    done = record(
        ImportedJudgement(task.id, "dataset:hh-rlhf", [1, 2]),
        ImportedJudgement(task.id, "model:judge", [2, 1]),
        ImportedJudgement(task.id, "dataset:hh-rlhf", [2, 1]),
    )
    assert (done.recorded, done.repeats, done.known) == (2, 0, 1)
    annotations = rows(session, task)
    assert done.is_new == [True, True, False]
    assert {(each.source, each.counted, each.user_id) for each in annotations} == {
        ("dataset:hh-rlhf", False, None),
        ("model:judge", False, None),
    }
    assert next(e.ranks for e in annotations if e.source == "dataset:hh-rlhf") == [1, 2]
    assert (task.counted, task.wanted) == (0, 2)


def test_the_same_again_adds_nothing(session, project, record):
    task = make_task(session, project)
    given = [
        ImportedJudgement(task.id, "w1", [1, 2], created_at=LONG_AGO),
        ImportedJudgement(task.id, "dataset:x", [1, 2]),
    ]
    assert record(*given).recorded == 2
    assert record(*given).is_new == [False, False]
    assert len(rows(session, task)) == 2
    assert (task.counted, task.wanted) == (1, 1)


def test_another_judgement_by_the_same_person_is_a_repeat(session, project, record):
    task = make_task(session, project)
    later = LONG_AGO + timedelta(days=1)
    done = record(
        ImportedJudgement(task.id, "w1", [1, 2], created_at=LONG_AGO),
        ImportedJudgement(task.id, "w1", [1, 2], created_at=later),
        ImportedJudgement(task.id, "w1", [2, 1], created_at=later + timedelta(days=1)),
    )
    assert (done.recorded, done.repeats, done.known) == (3, 2, 0)
    assert [(each.is_repeat, each.counted) for each in rows(session, task)] == [
        (False, True),
        (True, False),
        (True, False),
    ]
    assert (task.counted, task.wanted) == (1, 1)


def test_more_judgements_of_a_task_than_can_be_counted_are_refused(
    session, project, record, monkeypatch
):
    monkeypatch.setattr("app.annotation.service.importing.MOST_COUNTED", 3)
    task = make_task(session, project)
    record(*(ImportedJudgement(task.id, f"w{number}", [1, 2]) for number in range(3)))
    with pytest.raises(Invalid, match="more than 3 judgements that count"):
        record(ImportedJudgement(task.id, "one more", [1, 2]))


def test_many_new_people_come_in_with_few_statements(session, project, record, connection):
    task = make_task(session, project)
    statements = []
    event.listen(connection, "before_cursor_execute", lambda *given: statements.append(given[2]))
    record(*(ImportedJudgement(task.id, f"w{number}", [1, 2]) for number in range(300)))
    assert sum("INSERT" in each for each in statements) < 10


def test_gold_is_scored_and_never_counted(session, project, record):
    tasks = [
        make_task(session, project, prompt=f"g{number}", prefers=[[0, 1]]) for number in range(6)
    ]
    record(
        *(ImportedJudgement(task.id, "right", [1, 2]) for task in tasks),
        *(ImportedJudgement(task.id, "wrong", [2, 1]) for task in tasks),
        ImportedJudgement(tasks[0].id, "dataset:x", [2, 1]),
    )
    members = {
        each.imported_name: each
        for each in session.query(Membership).filter_by(project_id=project.id)
    }
    assert (members["right"].gold_seen, members["right"].gold_passed) == (6, 6)
    assert (members["wrong"].gold_seen, members["wrong"].gold_passed) == (6, 0)
    assert members["wrong"].standing is Standing.FAILED
    assert {each.counted for task in tasks for each in rows(session, task)} == {False}


def test_a_task_somebody_holds_keeps_room_for_her(session, project, ana, works, record):
    task = make_task(session, project, wanted=1)
    session.commit()
    worker = works(ana)
    mine = worker.claim().json()
    record(ImportedJudgement(task.id, "w1", [1, 2]))
    session.commit()
    session.refresh(task)
    assert (task.leased, task.counted, task.wanted) == (1, 1, 2)
    assert worker.submit(mine, "A>B").json()["counted"] is True


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"strength": 2},
        {"created_at": LONG_AGO, "rationale": 'Say "é" \u2028\n😀'},
        {"ratings": {"b": [1, None], "a": [2, 3]}, "flags": {"1": ["unsafe"]}},
        {"rewrite": ""},
    ],
)
def test_a_judgement_is_known_again_by_the_json_of_what_was_said(session, project, record, said):
    """As it always was: else what came in before would come in once more."""
    task = make_task(session, project)
    record(ImportedJudgement(task.id, "w1", [4, 3], **said))
    [row] = rows(session, task)
    created_at = said.get("created_at")
    content = [
        [2, 1],
        said.get("strength"),
        said.get("rationale"),
        created_at.isoformat() if created_at else None,
        said.get("ratings", {}),
        said.get("flags", {}),
        *([said["rewrite"]] if "rewrite" in said else []),
    ]
    written = json.dumps(content, sort_keys=True).encode()
    assert row.body_hash == hashlib.sha256(written).digest()


@pytest.mark.parametrize("zone", ["+23:59", "-16:00", "+05:30:15.5"])
def test_a_time_of_any_zone_comes_in(session, project, record, zone):
    task = make_task(session, project)
    time = datetime.fromisoformat(f"2024-05-01T12:00:00{zone}")
    record(
        ImportedJudgement(task.id, "w1", [1, 2], created_at=time),
        ImportedJudgement(task.id, "w2", [1, 2], created_at=LONG_AGO),
    )
    assert {row.submitted_at for row in rows(session, task)} == {time, LONG_AGO}
