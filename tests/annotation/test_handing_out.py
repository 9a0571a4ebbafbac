"""Who gets which task, as annotators meet it: through the API and on their page."""

import re
from datetime import timedelta
from random import Random

import pytest

from app.annotation.api import turns
from app.db import database_now
from app.projects.models import Membership
from app.tasks import rules
from app.tasks.models import Assignment, TaskLane
from tests.annotation.test_blinding import everything_she_gets, shape
from tests.factories import make_task


@pytest.fixture
def worker(works, ana):
    worker = works(ana)
    worker.user = ana
    return worker


@pytest.fixture
def membership(session, project, ana):
    return session.get(Membership, (project.id, ana.id))


@pytest.fixture
def tasks(session, project):
    for number in range(6):
        make_task(session, project, prompt=f"question {number:02}", wanted=2)
    session.commit()


def page(sign_in, user, project):
    return " ".join(sign_in(user).get(f"/projects/{project.id}/rank").text.split())


@pytest.mark.usefixtures("tasks")
@pytest.mark.parametrize("what", ["project", "person", "daily", "total"])
def test_an_end_holds_for_next_and_for_what_is_fetched_ahead(
    session, project, worker, membership, what
):
    first = worker.claim().json()
    if what in {"project", "person"}:
        row = project if what == "project" else membership
        row.paused_at = database_now(session)
    elif what == "daily":
        membership.daily_limit = 1
    else:
        project.total_limit = 1
    session.commit()
    assert worker.claim().json()["id"] == first["id"]
    assert worker.claim(after=first["id"]).status_code == 204
    done = worker.submit(first, "A>B", query="?next=true")
    assert done.status_code == 201
    assert done.json()["next"] is None
    assert worker.claim().status_code == 204


@pytest.mark.usefixtures("tasks")
def test_the_page_says_when_she_may_go_on(session, project, worker, sign_in, clock):
    project.daily_limit = 2
    session.commit()
    task = worker.claim().json()
    while task is not None:
        task = worker.submit(task, "A>B", query="?next=true").json()["next"]
    text = page(sign_in, worker.user, project)
    assert "You have reached today’s limit of 2 tasks, with 2 handed in. Go on tomorrow" in text
    clock.now = clock.now.replace(hour=0) + timedelta(days=1)
    assert "Start ranking" in page(sign_in, worker.user, project)


@pytest.mark.usefixtures("tasks")
def test_the_page_says_that_her_part_is_done(session, project, worker, sign_in, membership):
    membership.total_limit = 1
    session.commit()
    worker.submit(worker.claim().json(), "A>B")
    assert "all 1 task that one person may judge" in page(sign_in, worker.user, project)
    membership.total_limit, project.largest_share = None, 8
    session.commit()
    assert "8&nbsp;% of the judgements" in page(sign_in, worker.user, project)


def test_the_page_says_which_skills_are_listed_for_her(
    session, project, worker, sign_in, membership
):
    key = rules.lane(language="de", expertise=["law"])
    lane = {"key": key, "language": "de", "expertise": ["law"]}
    session.add(TaskLane(project_id=project.id, **lane))
    make_task(session, project, lane=key)
    membership.languages, membership.expertise = ["en"], ["tax"]
    session.commit()
    assert worker.claim().status_code == 204
    text = page(sign_in, worker.user, project)
    assert "ask for a language or expertise that is not listed for you" in text
    assert "Your languages: en. Your expertise: tax." in text
    membership.languages, membership.expertise = ["en", "de"], ["law", "tax"]
    session.commit()
    assert "Start ranking" in page(sign_in, worker.user, project)


def test_a_repeat_answers_and_looks_like_any_other_task(session, project, worker, monkeypatch):
    monkeypatch.setattr(turns, "CHANCE", Random(3))
    monkeypatch.setattr(rules, "FEWEST_BETWEEN", 3)
    project.repeat_rate = 0.2
    for number in range(16):
        responses = [f"reply {number:02} x", f"reply {number:02} y"]
        make_task(session, project, prompt=f"question {number:02}", responses=responses, wanted=9)
    session.commit()
    seen = {True: [], False: []}
    for _, replies in everything_she_gets(worker, session):
        mine = session.get(Assignment, replies[0].json()["id"])
        answers = []
        for reply in replies:
            text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", reply.text)
            text = re.sub(r"(question|reply) \d\d( [xy])?", "TEXT", text)
            text = re.sub(r"<strong data-done>\d+|data-today=\"\d+\"", "", text)
            text = re.sub(r'(form[-_]token" (?:value|content)=)"[^"]*"', r"\1", text)
            text = re.sub(r'data-seconds-left="\d+"', "", text)
            is_json = "json" in reply.headers["content-type"]
            headers = sorted(reply.headers.keys() - {"content-length", "x-request-id"})
            answers.append((reply.status_code, headers, shape(reply.json()) if is_json else text))
            assert "repeat" not in reply.text.lower()
        seen[mine.is_repeat].append(answers)
    assert len(seen[True]) >= 2
    assert all(answers == seen[False][0] for answers in seen[True] + seen[False])
    history = worker.client.get(f"/projects/{project.id}/rank/history").text
    assert "repeat" not in history.lower()
    items = worker.client.get("/api/v1/me/annotations").json()["items"]
    assert len({str(shape(item)) for item in items}) == 1
    assert {item["counted"] for item in items} == {True}


def test_what_she_gives_back_comes_again_be_it_gold_or_not(session, project, worker, monkeypatch):
    """Else she could look through the tasks first: those that stay away would be gold."""
    monkeypatch.setattr(turns, "CHANCE", Random(5))
    project.gold_rate = 0.5
    for number in range(12):
        gold = {"wanted": 2} if number % 3 else {"prefers": [[0, 1]]}
        task = make_task(session, project, prompt=f"question {number:02}", **gold)
        task.random_key = number / 12
    session.commit()
    met = set()
    for _ in range(150):
        mine = worker.claim().json()
        met.add(mine["id"])
        worker.draft(mine, revision=1, rationale="half a thought")
        assert worker.post(mine, "release").status_code == 204
    assert len(met) == 12
    judged = []
    while (claimed := worker.claim()).status_code != 204:
        assert claimed.json()["draft"]["rationale"] == "half a thought"
        judged.append(claimed.json()["id"])
        worker.submit(claimed.json(), "A>B")
    assert len(judged) == len(set(judged))
    assert set(judged) <= met
    session.expire_all()
    assert session.get(Membership, (project.id, worker.user.id)).gold_seen >= 2
