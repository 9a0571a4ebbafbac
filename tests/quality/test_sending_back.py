"""More people are asked for a task, beyond the overlap; and asked no more."""

from collections.abc import Callable
from random import Random

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.models import Role, User
from app.annotation.service import apply_overlap
from app.annotation.service.overlap import decide_overlap
from app.db import database_now
from app.projects.models import Membership
from app.quality.models import SendBack
from app.tasks import service as tasks
from app.tasks.models import SkipReason, Task, TaskLane
from app.tasks.queries import takers
from app.tasks.rules import lane
from app.work.queries.figures import census_of
from app.work.rules.effects import target
from tests.factories import make_annotation, make_member, make_task
from tests.people import People
from tests.quality.reviewing import FIRST, SECOND, TIE, claimed, crowd, disputed, holds

SignIn = Callable[[User], TestClient]
Api = Callable[[User], TestClient]


@pytest.fixture
def task(session: Session, people: People) -> Task:
    return disputed(session, people)


def test_a_task_sent_back_is_handed_out_first_and_beyond_the_overlap(
    session: Session, people: People, task: Task, api: Api
):
    for number in range(5):
        make_task(session, people.project, prompt=f"Waiting {number}", wanted=2)
    one, other = crowd(session, people, 2)
    ada = api(people.ada)
    body = {"more": 2, "reason": "Is it about time?"}
    reply = ada.post(f"/api/v1/tasks/{task.id}/send-backs", json=body)
    assert reply.status_code == 201, reply.text
    session.refresh(task)
    assert (task.wanted, task.at_least, task.counted) == (4, 4, 2)
    assert claimed(session, people.project, one).id == task.id
    assert claimed(session, people.project, people.ana).id != task.id  # she has judged it
    assert claimed(session, people.project, other).id == task.id
    session.refresh(task)
    assert (task.leased, task.counted, task.wanted) == (2, 2, 4)
    holds(session)


def test_settings_and_the_overlap_job_leave_what_was_asked_for(
    session: Session, people: People, task: Task, api: Api
):
    plain = make_task(session, people.project, prompt="Plain", wanted=2)
    crowd(session, people, 3)
    api(people.rui).post(f"/api/v1/tasks/{task.id}/send-backs", json={"more": 2})
    for least, most in ((1, 1), (3, 3), (1, 5)):
        people.project.overlap_min, people.project.overlap_max = least, most
        session.flush()
        apply_overlap(session, project=people.project)
        session.expire_all()
        assert (task.wanted, plain.wanted) == (4, max(1, least))


def test_a_place_given_back_or_late_work_is_still_asked_for(
    session: Session, people: People, task: Task, api: Api
):
    one, other = crowd(session, people, 2)
    project = people.project
    api(people.rui).post(f"/api/v1/tasks/{task.id}/send-backs", json={"more": 1})
    now = database_now(session)
    for give_up in (tasks.release, tasks.skip):
        lent = tasks.claim(session, project=project, user=one, now=now, rng=Random(1))
        assert lent.task_id == task.id
        how = {"reason": SkipReason.OTHER, "note": None} if give_up is tasks.skip else {}
        give_up(session, assignment=lent, now=now, **how)
        session.refresh(task)
        assert (task.wanted, task.leased) == (3, 0)
    assert tasks.complete(session, assignment=lent, now=now).counts  # late, and wanted still
    session.refresh(task)
    assert (task.counted, task.leased) == (3, 0)
    assert claimed(session, project, other) is None


def test_adaptive_overlap_asks_for_no_more_than_was_asked_for(
    session: Session, people: People, task: Task, api: Api
):
    people.project.overlap_max = 3
    users = crowd(session, people, 4)
    api(people.rui).post(f"/api/v1/tasks/{task.id}/send-backs", json={"more": 3})
    session.refresh(task)
    assert task.wanted == 5  # beyond the most that the project asks for
    for user, ranks in zip(users, (FIRST, SECOND, TIE), strict=False):
        make_annotation(session, task, user, ranks=ranks)
        decide_overlap(session, project=people.project, task_ids=[task.id])
        session.refresh(task)
        assert task.wanted == 5
    assert task.counted == 5
    holds(session)


def test_what_was_asked_for_is_forgotten_with_gold(
    session: Session, people: People, task: Task, api: Api
):
    crowd(session, people, 2)
    ada, address = api(people.ada), f"/api/v1/tasks/{task.id}"
    ada.post(f"{address}/send-backs", json={"more": 2})
    ids = [each["id"] for each in ada.get(address).json()["responses"]]
    assert ada.put(f"{address}/gold", json={"prefers": [ids]}).status_code == 200
    refused = ada.post(f"{address}/send-backs", json={"more": 1})
    assert refused.status_code == 422
    assert "everybody may get it" in refused.json()["detail"]
    assert ada.delete(f"{address}/gold").status_code == 204
    session.refresh(task)
    assert (task.wanted, task.at_least) == (2, 0)


def test_the_work_that_was_asked_for_is_demand_and_survives_a_smaller_overlap(
    session: Session, people: People, task: Task, api: Api
):
    crowd(session, people, 2)
    api(people.rui).post(f"/api/v1/tasks/{task.id}/send-backs", json={"more": 2})
    cells = census_of(session, project=people.project)
    assert cells.left == 2
    (cell,) = cells.cells
    assert [target(cell, least=least) for least in (1, 3, 6)] == [4, 4, 6]


def test_it_is_taken_back_while_nobody_has_begun(
    session: Session, people: People, task: Task, sign_in: SignIn
):
    (one,) = crowd(session, people, 1)
    rui = sign_in(people.rui)
    form = {"more": "1", "reason": "Look at the time."}
    assert rui.post(f"/tasks/{task.id}/send-back", data=form).status_code == 303
    row = session.scalars(select(SendBack)).one()
    undo = f"/tasks/{task.id}/send-back/{row.id}/undo"
    page = rui.get(f"/tasks/{task.id}/review").text
    assert undo in page
    assert "Look at the time." in page
    for _ in range(2):
        assert rui.post(undo).status_code == 303
    session.expire_all()
    assert (task.wanted, task.at_least, task.priority) == (2, 0, 0)
    assert claimed(session, people.project, one) is None

    rui.post(f"/tasks/{task.id}/send-back", data=form)
    second = session.scalars(select(SendBack).where(SendBack.undone_at.is_(None))).one()
    assert claimed(session, people.project, one).id == task.id
    session.commit()
    reply = rui.post(f"/tasks/{task.id}/send-back/{second.id}/undo")
    assert reply.status_code == 409
    assert "Somebody has judged this task or holds it" in reply.text
    session.expire_all()
    assert task.wanted == 3
    holds(session)


def test_a_closed_task_stays_closed_when_it_is_taken_back(
    session: Session, people: People, task: Task, api: Api
):
    crowd(session, people, 2)
    path = f"/api/v1/tasks/{task.id}/send-backs"
    sent = api(people.ada).post(path, json={"more": 2, "reason": "Is it?"}).json()
    tasks.close_tasks(session, task_ids=[task.id])
    session.commit()
    people.project.overlap_min = people.project.overlap_max = 3
    assert api(people.ada).delete(f"{path}/{sent['id']}").status_code == 204
    session.refresh(task)
    assert (task.leased, task.counted, task.wanted) == (0, 2, 2)
    holds(session)


def test_only_the_newest_request_is_taken_back(
    session: Session, people: People, task: Task, api: Api
):
    crowd(session, people, 2)
    rui, address = api(people.rui), f"/api/v1/tasks/{task.id}/send-backs"
    first, second = (rui.post(address, json={}).json()["id"] for _ in range(2))
    reply = rui.delete(f"{address}/{first}")
    assert reply.status_code == 409
    assert "newest one back first" in reply.json()["detail"]
    assert rui.delete(f"{address}/{second}").status_code == 204
    assert rui.delete(f"{address}/{first}").status_code == 204
    session.expire_all()
    assert (task.wanted, task.at_least) == (2, 0)


def test_who_is_left_decides_how_many_can_be_asked(
    session: Session, people: People, task: Task, sign_in: SignIn
):
    rui, address = sign_in(people.rui), f"/tasks/{task.id}/send-back"
    nobody = rui.post(address, data={"more": "1"})
    assert nobody.status_code == 422
    assert "Nobody is left who could judge this task" in nobody.text
    one, other = crowd(session, people, 2)
    too_many = rui.post(address, data={"more": "3", "reason": "Why?"})
    assert "Only 2 people have not judged this task yet. Ask for 2 more at most." in too_many.text
    assert 'value="Why?"' in too_many.text
    assert rui.post(address, data={"more": "1"}).status_code == 303
    waiting = rui.post(address, data={"more": "2"})
    assert "and it waits for 1 already. Ask for 1 more at most." in waiting.text
    assert session.query(SendBack).count() == 1
    assert "Person 0, Person 1" in rui.get(f"/tasks/{task.id}/review").text
    assert {one.name, other.name} == {"Person 0", "Person 1"}


def test_who_may_not_judge_it_is_not_counted(
    session: Session, people: People, task: Task, api: Api
):
    paused, away, fits = crowd(session, people, 3)
    make_member(session, people.project, people.sam, Role.VIEWER)
    member = session.get_one(Membership, (people.project.id, paused.id))
    member.paused_at = database_now(session)
    away.disabled_at = database_now(session)
    session.commit()
    reply = api(people.rui).post(f"/api/v1/tasks/{task.id}/send-backs", json={"more": 2})
    assert reply.status_code == 422
    assert "Only 1 person has not judged this task yet" in reply.json()["detail"]
    assert fits.disabled_at is None


def test_who_lacks_the_language_or_the_expertise_is_not_counted(
    session: Session, people: People, task: Task
):
    users = crowd(session, people, 4)
    task.lane = lane(language="pt", expertise=["law"])
    session.add(
        TaskLane(project_id=people.project.id, key=task.lane, language="pt", expertise=["law"])
    )
    skills = ([], ["law"]), (["en"], ["law"]), (["pt", "en"], ["art", "law"]), (["pt"], [])
    for user, (languages, expertise) in zip(users, skills, strict=True):
        member = session.get_one(Membership, (people.project.id, user.id))
        member.languages, member.expertise = languages, expertise
    session.flush()
    assert [each.name for each in takers(session, task=task)] == ["Person 0", "Person 2"]


def test_the_queue_knows_what_was_sent_back(session: Session, people: People, task: Task, api: Api):
    crowd(session, people, 1)
    rui = api(people.rui)
    listed = f"/api/v1/projects/{people.project.id}/tasks?state="
    rui.post(f"/api/v1/tasks/{task.id}/send-backs", json={})
    assert [each["id"] for each in rui.get(f"{listed}sent_back").json()["items"]] == [str(task.id)]
    assert rui.get(f"{listed}open").json()["items"] == []
    make_annotation(session, task, people.ada, ranks=FIRST)
    session.commit()
    assert [each["state"] for each in rui.get(f"{listed}open").json()["items"]] == ["open"]
