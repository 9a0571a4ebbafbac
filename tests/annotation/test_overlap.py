"""How many judgements a task gets."""

import pytest
from sqlalchemy import text, update

from app.accounts.models import Role
from app.annotation import service
from app.annotation.service.overlap import decide_overlap
from app.db import database_now
from app.projects.models import Project
from app.tasks import queries as task_queries
from app.tasks import service as tasks
from app.tasks.models import Assignment
from app.tasks.schemas import Nothing
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


@pytest.mark.parametrize("is_held", [False, True])
def test_a_slip_that_is_mended_asks_nobody_else_who_has_not_begun(
    session, adaptive, ana, rui, ada, works, is_held
):
    task = make_task(session, adaptive, responses=["0", "1"], wanted=2)
    session.commit()
    prefer(works(ana), "0")
    mine = works(rui).claim().json()
    right, wrong = label_of(mine, "0"), label_of(mine, "1")
    works(rui).submit(mine, f"{wrong}>{right}")
    session.refresh(task)
    assert task.wanted == 3
    if is_held:
        assert works(ada).claim().status_code == 201
    assert works(rui).submit(mine, f"{right}>{wrong}", revision=1).status_code == 201
    session.refresh(task)
    assert (task.leased, task.counted, task.wanted) == ((1, 2, 3) if is_held else (0, 2, 2))


def test_gold_that_becomes_ordinary_is_as_unsure_as_its_judgements(
    session, adaptive, ana, rui, ada
):
    gold = make_task(session, adaptive, prefers=[[0, 1]])
    make_annotation(session, gold, ana, ranks=[1, 2], gold_passed=True)
    make_annotation(session, gold, rui, ranks=[2, 1], gold_passed=False)
    session.commit()
    service.unset_gold(session, task=gold, project=adaptive, by=ada)
    session.refresh(gold)
    assert (gold.counted, gold.wanted) == (2, 3)


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


# -- between a change and the end of its job


def change(api, ada, project, **overlap):
    path = f"/api/v1/projects/{project.id}"
    assert api(ada).patch(path, json={"overlap": overlap}).status_code == 200


def test_a_smaller_number_holds_for_the_next_claim(session, project, ana, rui, ada, api, works):
    task = make_task(session, project, wanted=3)
    make_annotation(session, task, ana, ranks=[1, 2])
    make_annotation(session, task, rui, ranks=[1, 2])
    session.commit()
    assert task_queries.why_nothing(session, project=project, user=ada) is None

    change(api, ada, project, min=2)
    assert works(ada).claim().status_code == 204
    session.expire_all()
    assert task.wanted == 3  # the job has not come yet
    assert task_queries.why_nothing(session, project=project, user=ada) is Nothing.FINISHED

    change(api, ada, project, min=3)
    assert works(ada).claim().status_code == 201


@pytest.mark.parametrize("job_comes_first", [True, False])
def test_a_place_that_is_given_back_is_gone_where_fewer_are_asked_for(
    session, project, ana, rui, ada, api, works, job_comes_first
):
    task = make_task(session, project, wanted=3)
    make_annotation(session, task, ana, ranks=[1, 2])
    make_annotation(session, task, ada, ranks=[1, 2])
    session.commit()
    mine = works(rui).claim().json()
    change(api, ada, project, min=2)
    if job_comes_first:
        apply(session, project)
        assert task.wanted == 3  # her place stays hers as long as she holds it
    works(rui).post(mine, "release")
    session.expire_all()
    assert (task.leased, task.counted, task.wanted) == (0, 2, 2)


@pytest.mark.parametrize("verb", ["release", "skip"])
@pytest.mark.parametrize(("others_say", "wanted"), [([1, 2], 2), ([2, 1], 3)])
def test_a_place_from_before_adaptive_overlap_is_gone_where_the_others_are_sure(
    session, project, ana, rui, ada, api, works, verb, others_say, wanted
):
    task = make_task(session, project, wanted=3)
    make_annotation(session, task, ana, ranks=[1, 2])
    make_annotation(session, task, ada, ranks=others_say)
    session.commit()
    mine = works(rui).claim().json()
    change(api, ada, project, min=2, max=5, confidence=0.9)
    apply(session, project)
    assert task.wanted == 3  # she may hand it in
    works(rui).post(mine, verb, **({"reason": "other"} if verb == "skip" else {}))
    session.expire_all()
    assert (task.leased, task.counted, task.wanted) == (0, 2, wanted)


@pytest.mark.parametrize(("others_say", "is_offered"), [([1, 2], False), ([2, 1], True)])
def test_such_a_place_is_not_offered_either_where_her_time_is_over(
    session, project, ana, rui, ada, api, works, clock, others_say, is_offered
):
    task = make_task(session, project, wanted=3)
    make_annotation(session, task, ana, ranks=[1, 2])
    make_annotation(session, task, ada, ranks=others_say)
    eli = make_user(session, "Eli")
    make_member(session, project, eli, Role.ANNOTATOR)
    session.commit()
    works(rui).claim()
    change(api, ada, project, min=2, max=5, confidence=0.9)
    apply(session, project)
    clock.advance(hours=3)
    assert works(eli).claim().status_code == (201 if is_offered else 204)
    session.expire_all()
    assert (task.leased, task.counted, task.wanted) == (is_offered, 2, 2 + is_offered)


def test_late_work_counts_by_the_number_of_now(session, project, ana, rui, ada, api, works, stored):
    task = make_task(session, project, wanted=2)
    session.commit()
    late = works(rui).claim().json()
    tasks.release(
        session, assignment=session.get(Assignment, late["id"]), now=database_now(session)
    )
    make_annotation(session, task, ana, ranks=[1, 2])
    session.commit()
    change(api, ada, project, min=1)
    assert works(rui).submit(late, "A>B").json()["counted"] is False
    assert [each.counted for each in stored(rui)] == [False]  # kept, as surplus


def test_another_confidence_decides_anew(session, adaptive, ana, rui, ada, api):
    """Two who say the same make it 93 % sure: enough for 80 %, too little for 95 %."""
    sure = make_task(session, adaptive, prompt="alike", wanted=2)
    held = make_task(session, adaptive, prompt="held", wanted=2)
    for task in (sure, held):
        make_annotation(session, task, ana, ranks=[1, 2])
        make_annotation(session, task, rui, ranks=[1, 2])
    session.commit()

    def queued():
        jobs = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'overlap'"
        return session.scalar(text(jobs))

    before = queued()
    change(api, ada, adaptive, min=2, max=4, confidence=0.95)
    assert queued() > before
    apply(session, adaptive)
    assert (sure.wanted, held.wanted) == (3, 3)

    held.leased = 1
    session.commit()
    change(api, ada, adaptive, min=2, max=4, confidence=0.8)
    apply(session, adaptive)
    assert (sure.wanted, held.wanted) == (2, 3)  # what somebody holds stays wanted
    assert queued() > before


def test_a_request_that_read_the_earlier_settings_decides_by_those_of_now(
    session, adaptive, ana, rui
):
    task = make_task(session, adaptive, wanted=2)
    make_annotation(session, task, ana, ranks=[1, 2])
    make_annotation(session, task, rui, ranks=[2, 1])
    session.commit()
    assert adaptive.overlap_max == 4  # what this request has read
    session.execute(
        update(Project).where(Project.id == adaptive.id).values(overlap_max=2),
        execution_options={"synchronize_session": False},
    )
    decide_overlap(session, project=adaptive, task_ids=[task.id])
    session.refresh(task)
    assert task.wanted == 2
