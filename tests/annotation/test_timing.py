"""The time a reply takes does not tell gold from ordinary tasks."""

import http.client
import json
import time
from contextlib import contextmanager
from random import Random
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from scipy.stats import mannwhitneyu
from sqlalchemy import event

from app.accounts import service as accounts
from app.accounts.models import Role
from app.annotation.api import turns
from app.db import SessionLocal, database_now, transaction
from app.projects.models import Membership
from app.tasks.models import Assignment, Task, TaskKind
from app.tasks.queries import wanted
from tests.factories import make_member, make_project, make_task, make_user

JUDGEMENTS = 240
CHANCE_OF_A_FALSE_ALARM = 1e-4  # of each comparison: the kinds take turns at random


@contextmanager
def statements(session):
    """What is asked of the database meanwhile."""
    asked = []

    def note(_connection, _cursor, statement, *_rest):
        is_of_the_test = "SAVEPOINT" in statement
        is_second_half = asked[-1:] == [statement]  # of the random key: by chance, whatever comes
        if not is_of_the_test and not is_second_half:
            asked.append(statement)

    event.listen(session.get_bind(), "before_cursor_execute", note)
    yield asked
    event.remove(session.get_bind(), "before_cursor_execute", note)


@pytest.mark.parametrize("overlap_max", [1, 3])
def test_every_kind_of_task_takes_the_same_statements(
    session, project, works, ana, monkeypatch, overlap_max
):
    """To take it, to hand it in with the next one, and to change the answer; right or wrong."""
    chance = Random(5)
    chance.randrange = lambda *_: 1  # whether a claim looks for expired leases is another matter
    monkeypatch.setattr(turns, "CHANCE", chance)
    monkeypatch.setattr(wanted, "NO_LANES_HOLDS_SECONDS", 3600)  # so is whether there are lanes
    project.gold_rate, project.overlap_max = 0.5, overlap_max
    for number in range(24):
        gold = {"prefers": [[0, 1]]} if number % 2 else {"wanted": 1}
        make_task(session, project, prompt=f"question {number}", **gold)
    session.commit()
    worker = works(ana)
    kinds, ways = set(), set()
    mine = worker.claim().json()
    for number in range(14):
        task = session.get(Task, session.get(Assignment, mine["id"]).task_id)
        kinds.add(task.kind)
        membership = session.get(Membership, (project.id, ana.id))
        membership.paused_at = None  # wrong answers pause her, which may be seen
        session.commit()
        ranking = "A>B" if number % 4 < 2 else "B>A"
        with statements(session) as asked:
            reply = worker.submit(mine, ranking, query="?next=true")
            first = tuple(asked)
            worker.submit(mine, ranking[::-1], revision=1)
        following = reply.json()["next"] or worker.claim().json()
        if reply.json()["next"]:
            ways.add((first, tuple(asked[len(first) :])))
        mine = following
    assert kinds == {TaskKind.GOLD, TaskKind.ORDINARY}
    assert len(ways) == 1


def test_a_task_is_two_statements_to_take_and_three_to_hand_in(
    session, project, works, ana, monkeypatch
):
    """Who asks comes with what she asks for, and what is shown with the task: each way costs."""
    chance = Random(5)
    chance.randrange = lambda *_: 1
    monkeypatch.setattr(turns, "CHANCE", chance)
    monkeypatch.setattr(wanted, "NO_LANES_HOLDS_SECONDS", 3600)
    for number in range(4):
        make_task(session, project, prompt=f"question {number}")
    session.commit()
    worker = works(ana)
    worker.submit(worker.claim().json(), "A>B")  # whether there are lanes is known from now on
    with statements(session) as asked:
        mine = worker.claim().json()
        assert len(asked) == 2
        worker.submit(mine, "A>B", query="?next=true")
        assert len(asked) == 2 + 4


@pytest.mark.concurrency
def test_the_time_of_a_reply_does_not_tell_gold(live_server):
    with transaction() as session:  # where wrong answers pause nobody, which may be seen
        boss = make_user(session, "Boss")
        project = make_project(session, "Timed", by=boss, gold_rate=0.5, gold_threshold=0.0)
        for number in range(2 * JUDGEMENTS):
            gold = {"prefers": [[0, 1]]} if number % 2 else {"wanted": 2}
            make_task(session, project, prompt=f"question {number}", **gold)
        her = make_user(session, "Ana")
        make_member(session, project, her, Role.ANNOTATOR)
        key = accounts.create_token(session, user=her, name="t", now=database_now(session))
        project_id = project.id
    taken, handed_in = {}, {}
    connection = http.client.HTTPConnection(urlsplit(live_server).netloc, timeout=60)

    def ask(method, path, body=None):
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": str(uuid4())}
        headers["Content-Type"] = "application/json"
        begun = time.perf_counter()
        connection.request(method, f"/api/v1{path}", body and json.dumps(body), headers)
        reply = connection.getresponse()
        content, seconds = reply.read(), time.perf_counter() - begun
        assert reply.status in {200, 201}, content
        return json.loads(content), seconds

    right = {"ranking": [["A"], ["B"]]}
    for _ in range(JUDGEMENTS):
        task, seconds = ask("POST", f"/projects/{project_id}/assignments")
        taken[task["id"]] = seconds
        _, handed_in[task["id"]] = ask("PUT", f"/assignments/{task['id']}/annotation", right)
    connection.close()
    with SessionLocal() as session:
        golden = {
            each: session.get(Task, session.get(Assignment, UUID(each)).task_id).kind
            is TaskKind.GOLD
            for each in taken
        }
    assert sum(golden.values()) > JUDGEMENTS / 4
    for times in (taken, handed_in):
        gold = [seconds for each, seconds in times.items() if golden[each]]
        ordinary = [seconds for each, seconds in times.items() if not golden[each]]
        assert mannwhitneyu(gold, ordinary).pvalue > CHANCE_OF_A_FALSE_ALARM
