"""Nothing that an annotator gets tells gold from ordinary, nor who wrote a response."""

import re
from collections import Counter
from random import Random

import pytest
from scipy.stats import chisquare, mannwhitneyu
from sqlalchemy import select

from app.annotation.api import turns
from app.db import database_now
from app.projects import service as projects
from app.projects.models import Membership
from app.projects.schemas import ProjectPatch
from app.quality.service import re_asks
from app.tasks import rules
from app.tasks import service as tasks
from app.tasks.models import Assignment, Task, TaskKind
from app.tasks.queries import responses_of
from tests.factories import make_annotation, make_task

SECRETS = ["model-0", "model-1", "gpt-secret", "llama-secret", "line 7", "dataset:", "batch-3"]


@pytest.fixture
def mixed(session, project, monkeypatch):
    """Ordinary and gold tasks that differ in nothing but the key; some of each come."""
    monkeypatch.setattr(turns, "CHANCE", Random(2))
    project.gold_rate = 0.5
    for number in range(12):
        fields = {"sources": ["gpt-secret", "llama-secret"], "external_id": "line 7"}
        fields["meta"] = {"origin": "batch-3"}
        gold = {"prefers": [[0, 1]]} if number % 2 else {"wanted": 9}
        make_task(
            session,
            project,
            prompt=f"question {number:02}",
            responses=[f"reply {number:02} x", f"reply {number:02} y"],
            **fields,
            **gold,
        )
    session.commit()
    return project


def is_gold(session, assignment):
    task = session.get(Task, session.get(Assignment, assignment["id"]).task_id)
    return task.kind is TaskKind.GOLD


def shape(value):
    """A reply without its content: keys, kinds and lengths."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in sorted(value.items())}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return len(value) if isinstance(value, str) else type(value).__name__


def everything_she_gets(worker, session):
    """Every reply of the work on one task after the other, with whether it was gold."""
    while True:
        claimed = worker.claim()
        if claimed.status_code == 204:
            return
        mine = claimed.json()
        replies = [claimed]
        replies.append(worker.client.get(f"/api/v1/assignments/{mine['id']}?html=true"))
        replies.append(worker.client.get(f"/assignments/{mine['id']}"))
        base = f"/api/v1/assignments/{mine['id']}"
        replies += [worker.client.get(f"{base}/{view}") for view in ("source", "difference")]
        replies.append(worker.draft(mine, revision=1, rationale="r"))
        replies.append(worker.post(mine, "renew"))
        replies.append(worker.submit(mine, "A>B", key=f"{mine['id']}"))
        replies.append(worker.submit(mine, "A>B", key=f"{mine['id']}"))
        replies.append(worker.submit(mine, "B>A", revision=1))
        replies.append(worker.submit(mine, "B>A", revision=1))
        replies.append(worker.client.get(f"/assignments/{mine['id']}"))
        gold = is_gold(session, mine)
        membership = session.get(Membership, (worker.project.id, worker.user.id))
        membership.paused_at = None  # the wrong answers pause her; that is another test
        session.commit()
        yield gold, replies


@pytest.fixture
def worker(works, ana, mixed):
    worker = works(ana)
    worker.user = ana
    return worker


def test_gold_and_ordinary_tasks_answer_in_the_same_shape(session, worker):
    shapes = {True: [], False: []}
    for gold, replies in everything_she_gets(worker, session):
        seen = []
        for reply in replies:
            is_json = "json" in reply.headers["content-type"]
            body = shape(reply.json()) if is_json else re.sub(r"\d+", "0", str(len(reply.text)))
            headers = sorted(reply.headers.keys() - {"content-length", "x-request-id"})
            seen.append((reply.status_code, headers, body))
        shapes[gold].append(seen)
    assert len(shapes[True]) >= 2
    assert len(shapes[False]) >= 2
    assert all(seen == shapes[False][0] for seen in shapes[True] + shapes[False])


def test_pages_of_gold_and_ordinary_tasks_are_equal_but_for_texts_and_ids(session, worker):
    pages = {True: set(), False: set()}
    for gold, replies in everything_she_gets(worker, session):
        page = replies[2].text
        page = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", page)
        page = re.sub(r"(question|reply) \d\d( [xy])?", "TEXT", page)
        page = re.sub(r"<strong data-done>\d+|data-today=\"\d+\"", "", page)
        page = re.sub(r'(form[-_]token" (?:value|content)=)"[^"]*"', r"\1", page)
        pages[gold].add(re.sub(r'data-seconds-left="\d+"', "", page))
    assert len(pages[True] | pages[False]) == 1


def test_no_reply_carries_an_origin_an_id_or_the_word_gold(session, worker):
    hidden = set(SECRETS)
    for task in session.scalars(select(Task).where(Task.project_id == worker.project.id)):
        hidden |= {str(task.id), task.id.hex}
        hidden |= {str(each) for each in responses_of(session, task_ids=[task.id])[task.id]}
    for _, replies in everything_she_gets(worker, session):
        for reply in replies:
            text = reply.text + str(reply.headers)
            assert not [secret for secret in hidden if secret in text]
            assert not re.search(r"\bgold|is_repeat|gold_passed|standing", text, re.IGNORECASE)
    for path in ("/api/v1/me/annotations", f"/projects/{worker.project.id}/rank/history"):
        reply = worker.client.get(path)
        assert reply.status_code == 200
        assert not [secret for secret in hidden if secret in reply.text]
        assert not re.search(r"\bgold|passed|standing", reply.text, re.IGNORECASE)


@pytest.fixture
def re_asked(session, project, ana, ada, monkeypatch):
    """She has judged some tasks, the guidelines have changed, and many of those come again."""
    monkeypatch.setattr(turns, "CHANCE", Random(2))
    monkeypatch.setattr(rules, "RE_ASK_CHANCE", 0.5)
    for number in range(70):
        replies = [f"reply {number:02} x", f"reply {number:02} y"]
        make_task(session, project, prompt=f"question {number:02}", responses=replies, wanted=9)
    for number, task in enumerate(
        session.scalars(select(Task).where(Task.project_id == project.id).limit(24)).all()
    ):
        made = make_annotation(session, task, ana, ranks=[1, 2])
        session.get(Assignment, made.assignment_id).ordinal = number + 1
    session.get(Membership, (project.id, ana.id)).claimed = 60
    patch = ProjectPatch(guidelines="Prefer the shorter one.")
    now = database_now(session)
    projects.update_settings(session, project=project, patch=patch, by=ada, now=now)
    projects.acknowledge_guidelines(session, project=project, user=ana, version=2)
    re_asks.start(session, project=project, by=ada, now=now, size=12)
    session.commit()
    return project


def test_a_re_asked_task_looks_like_any_other(session, re_asked, works, ana):
    """Replies, pages and her history: equal in all but texts and ids, and no word of it."""
    worker = works(ana)
    worker.user = ana
    shapes, pages, again = {True: [], False: []}, {True: set(), False: set()}, set()
    for count, (_, replies) in enumerate(everything_she_gets(worker, session)):
        mine = replies[0].json()["id"]
        is_repeat = session.get(Assignment, mine).is_repeat
        if is_repeat:
            again.add(mine)
        seen = []
        for reply in replies:
            assert not re.search(r"re-?_?ask|repeat|again under", reply.text, re.IGNORECASE)
            is_json = "json" in reply.headers["content-type"]
            seen.append(
                (
                    reply.status_code,
                    sorted(reply.headers.keys() - {"content-length", "x-request-id"}),
                    shape(reply.json()) if is_json else None,
                )
            )
        shapes[is_repeat].append(seen)
        page = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", replies[2].text)
        page = re.sub(r"(question|reply) \d\d( [xy])?", "TEXT", page)
        page = re.sub(r"<strong data-done>\d+|data-today=\"\d+\"", "", page)
        page = re.sub(r'(form[-_]token" (?:value|content)=)"[^"]*"', r"\1", page)
        pages[is_repeat].add(re.sub(r'data-seconds-left="\d+"', "", page))
        if count >= 24:
            break
    assert len(shapes[True]) >= 4
    assert all(seen == shapes[False][0] for seen in shapes[True] + shapes[False])
    assert pages[True] <= pages[False]
    items = worker.client.get("/api/v1/me/annotations").json()["items"]
    hers = {item["assignment_id"]: shape(item) for item in items}
    ordinary = next(each for key, each in hers.items() if key not in again)
    assert all(hers[key] == ordinary for key in again if key in hers)
    assert {item["counted"] for item in items} == {True}
    for path in ("", "/rank/progress", "/guidelines", "/rank/history"):
        page = worker.client.get(f"/projects/{re_asked.id}{path}", follow_redirects=True)
        assert not re.search(r"re-ask|repeat", page.text, re.IGNORECASE)


def test_history_shows_gold_like_anything_else(session, worker):
    gold_ids = set()
    for gold, replies in everything_she_gets(worker, session):
        if gold:
            gold_ids.add(replies[0].json()["id"])
    items = worker.client.get("/api/v1/me/annotations").json()["items"]
    golden = [shape(item) for item in items if item["assignment_id"] in gold_ids]
    ordinary = [shape(item) for item in items if item["assignment_id"] not in gold_ids]
    assert golden
    assert ordinary
    assert all(each == ordinary[0] for each in golden + ordinary)
    assert {item["counted"] for item in items} == {True}


def test_the_order_on_the_screen_is_independent_of_who_wrote_it(session, project, ana):
    rng = Random(3)
    for number in range(400):
        make_task(session, project, prompt=str(number), responses=["a", "b"])
    session.commit()
    left = Counter()
    for _ in range(400):
        now = database_now(session)
        assignment = tasks.claim(session, project=project, user=ana, now=now, rng=rng)
        left[assignment.display_order[0]] += 1
        tasks.complete(session, assignment=assignment, now=now)
    assert chisquare([left[0], left[1]]).pvalue > 0.001


def test_gold_comes_at_no_place_in_particular(session, project, ana):
    """Neither the ids, nor when a task was made, nor the turn at which it comes tells gold."""
    project.gold_rate = 0.3
    for number in range(150):
        gold = {"prefers": [[0, 1]]} if number < 30 else {"wanted": 2}
        make_task(session, project, prompt=str(number), **gold)
    session.commit()
    rng, turns, ids = Random(8), {True: [], False: []}, {True: [], False: []}
    for turn in range(100):
        now = database_now(session)
        assignment = tasks.claim(session, project=project, user=ana, now=now, rng=rng)
        gold = session.get(Task, assignment.task_id).kind is TaskKind.GOLD
        turns[gold].append(turn)
        ids[gold].append(float(assignment.id.int))
        tasks.complete(session, assignment=assignment, now=now)
    assert len(turns[True]) >= 15
    assert mannwhitneyu(ids[True], ids[False]).pvalue > 1e-6  # uuid4 has no seed
    gaps = Counter(b - a for a, b in zip(turns[True], turns[True][1:], strict=False))
    assert len(gaps) >= 3  # not every n-th
