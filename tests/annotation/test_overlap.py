"""How many judgements a task gets."""

import pytest

from app.annotation import service
from tests.factories import make_annotation, make_member, make_task, make_user


@pytest.fixture
def adaptive(session, project):
    project.overlap_min, project.overlap_max, project.overlap_confidence = 2, 4, 0.9
    session.commit()
    return project


def apply(session, project, *, limit=1000):
    after, batches = b"", 0
    while after is not None:
        after = service.apply_overlap(session, project=project, after=after, limit=limit)
        batches += 1
    session.expire_all()
    return batches


def label_of(mine, text):
    return next(each["label"] for each in mine["responses"] if each["text"] == text)


def prefer(worker, text):
    mine = worker.claim().json()
    label = label_of(mine, text)
    return worker.submit(mine, f"{label}>{'B' if label == 'A' else 'A'}")


def test_agreement_is_enough_and_disagreement_asks_one_more(
    session, adaptive, ana, rui, ada, works
):
    task = make_task(session, adaptive, responses=["0", "1"], wanted=2)
    session.commit()
    prefer(works(ana), "0")
    prefer(works(rui), "1")
    session.refresh(task)
    assert (task.counted, task.wanted) == (2, 3)
    prefer(works(ada), "0")
    session.refresh(task)
    assert (task.counted, task.wanted) == (3, 4)


def test_two_who_agree_settle_it(session, adaptive, ana, rui, works):
    task = make_task(session, adaptive, responses=["0", "1"], wanted=2)
    session.commit()
    for user in (ana, rui):
        prefer(works(user), "0")
    session.refresh(task)
    assert (task.counted, task.wanted) == (2, 2)


def test_it_stops_at_the_most_however_unsure(session, adaptive, works):
    task = make_task(session, adaptive, responses=["0", "1"], wanted=2)
    people = [make_user(session, f"P{number}") for number in range(5)]
    for user in people:
        make_member(session, adaptive, user, "annotator")
    session.commit()
    for number, user in enumerate(people[:4]):
        assert prefer(works(user), str(number % 2)).status_code == 201
    session.refresh(task)
    assert (task.counted, task.wanted) == (4, 4)
    assert works(people[4]).claim().status_code == 204


def test_a_fixed_overlap_never_asks_for_more(session, project, ana, rui, works):
    task = make_task(session, project, responses=["0", "1"], wanted=2)
    session.commit()
    prefer(works(ana), "0")
    prefer(works(rui), "1")
    session.refresh(task)
    assert (task.counted, task.wanted) == (2, 2)


def test_a_change_of_the_project_reaches_every_task_in_batches(session, project, ana, rui):
    idle = [make_task(session, project, prompt=f"p{number}") for number in range(5)]
    split = make_task(session, project, prompt="split", wanted=2)
    make_annotation(session, split, ana, ranks=[1, 2])
    make_annotation(session, split, rui, ranks=[2, 1])
    gold = make_task(session, project, prompt="gold", prefers=[[0, 1]])

    project.overlap_min = project.overlap_max = 3
    assert apply(session, project, limit=2) == 4
    assert {task.wanted for task in (*idle, split)} == {3}
    assert gold.wanted is None

    project.overlap_min = project.overlap_max = 1
    apply(session, project)
    assert {task.wanted for task in idle} == {1}
    assert split.wanted == 2  # what is there stays wanted

    project.overlap_max, project.overlap_confidence = 5, 0.9
    apply(session, project)
    assert {task.wanted for task in idle} == {1}
    assert split.wanted == 3  # undecided, so one more is asked
