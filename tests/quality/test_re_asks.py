"""A sample is judged again by the same people under changed guidelines, and they cannot tell."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from random import Random

import pytest
from sqlalchemy import func, select

from app.accounts.models import Role, User, UserKind
from app.annotation import queries as annotation_queries
from app.annotation import service as annotation
from app.annotation.models import Annotation
from app.annotation.schemas import JudgementBody
from app.db import database_now, transaction
from app.errors import Conflict, Invalid, TooManyRequests
from app.projects.models import Membership, Project
from app.quality.service import re_asks, summary
from app.tasks import queries as task_queries
from app.tasks import rules
from app.tasks import service as tasks
from app.tasks.models import Assignment, ReAsk, ReAskPair, SkipReason, Task
from app.tasks.schemas import Nothing
from tests.conftest import furnished
from tests.exactly_k import check_exactly_k
from tests.factories import make_annotation, make_member, make_project, make_task, make_user
from tests.people import make_noise, make_people
from tests.quality.re_asking import MORNING, publish, read, work


def have_judged(session):
    """Ana has judged 40 of 200 tasks when the guidelines change; she has read what is new."""
    make_noise(session)
    people = make_people(session)
    for number in range(200):
        responses = ["a", "b"] if number % 2 else ["a", "b", "c"]
        make_task(session, people.project, prompt=f"p{number}", responses=responses, wanted=3)
    work(session, people.project, people.ana, rng=Random(1), most=40)
    publish(session, people.project, people.ada, note="Length counts now.")
    read(session, people.project, people.ana)


@pytest.fixture(scope="module")
def judged_engine(server_url, template):
    with furnished(server_url, template, have_judged) as engine:
        yield engine


@pytest.fixture
def peopled_engine(request, peopled_engine):
    needs_judged = "judged" in request.fixturenames
    return request.getfixturevalue("judged_engine") if needs_judged else peopled_engine


@pytest.fixture
def judged(project):
    """A project in the state of `have_judged`."""
    return project


@pytest.fixture
def often(monkeypatch):
    """Half of what comes is of the sample, while it lasts."""
    monkeypatch.setattr(rules, "RE_ASK_CHANCE", 0.5)


def begin(session, project, ada, **asked):
    return re_asks.start(
        session, project=project, by=ada, now=MORNING, rng=Random(4), **({"size": 10} | asked)
    )


def waiting(session, project, user):
    session.expire_all()
    return session.get(Membership, (project.id, user.id)).re_asks


def test_it_says_first_what_it_will_do_and_changes_nothing(session, judged):
    plan = re_asks.plan(session, project=judged, size=25)
    assert (plan.from_version, plan.to_version, plan.people, plan.eligible) == (1, 2, 1, 40)
    assert "25 tasks that 1 person judged under version 1 come again" in plan.sentence
    assert "at most 25 for one person" in plan.sentence
    assert plan.warning is None
    assert "only a very large change" in re_asks.plan(session, project=judged, size=5).warning
    assert "only 40 tasks" in re_asks.plan(session, project=judged, size=60).warning
    assert len(re_asks.plan(session, project=judged, share=0.5).pairs) == 20
    assert session.scalar(select(func.count()).select_from(ReAsk)) == 0


@pytest.mark.usefixtures("often")
def test_the_same_person_judges_them_again_and_nothing_counts(session, judged, ana, ada):
    re_ask = begin(session, judged, ada)
    assert waiting(session, judged, ana) == 10
    planned = set(session.scalars(select(ReAskPair.task_id)))
    before = {
        task.id: (task.counted, task.wanted)
        for task in session.scalars(select(Task).where(Task.id.in_(planned)))
    }
    given = work(session, judged, ana, rng=Random(7), most=60, start=60)
    again = [held for held in given if held.is_repeat]
    assert {held.task_id for held in again} == planned
    assert len(again) == 10
    assert waiting(session, judged, ana) == 0
    for task in session.scalars(select(Task).where(Task.id.in_(planned))):
        assert (task.counted, task.wanted) == before[task.id]
        assert task.leased == 0
    for held in again:  # in another order, each twenty tasks or more after it came first
        first = session.scalars(
            select(Assignment).where(
                Assignment.task_id == held.task_id,
                Assignment.user_id == ana.id,
                ~Assignment.is_repeat,
            )
        ).one()
        assert held.ordinal - first.ordinal >= rules.FEWEST_BETWEEN
        if len(held.display_order) == 2:
            assert held.display_order != first.display_order
    history = annotation_queries.history(
        session, user=ana, project_id=judged.id, before=None, limit=300
    )
    assert {each.counted for each in history} == {True}
    report = re_asks.report(session, project=judged, re_ask=re_ask)
    assert (report.progress.state, report.progress.judged) == ("succeeded", 10)


def test_they_come_at_no_place_in_particular(session, judged, ana, ada):
    begin(session, judged, ada)
    given = work(session, judged, ana, rng=Random(3), most=150, start=60)
    places = [place for place, held in enumerate(given) if held.is_repeat]
    gaps = Counter(b - a for a, b in pairwise(places))
    assert len(gaps) >= 4
    assert places[-1] - places[0] > 30  # spread, not one after the other
    draws = [rules.re_ask_chance(claimed, waiting=9) for claimed in (21, 500, 9_000)]
    assert len(set(draws)) == 1
    assert rules.re_ask_chance(20, waiting=9) == rules.re_ask_chance(500, waiting=0) == 0


@pytest.mark.usefixtures("often")
def test_nothing_comes_before_she_has_read_what_changed(session, judged, ana, ada):
    publish(session, judged, ada, "Prefer the longer one.")
    begin(session, judged, ada)
    given = work(session, judged, ana, rng=Random(7), most=15, start=60)
    assert not [held for held in given if held.is_repeat]
    read(session, judged, ana)
    given = work(session, judged, ana, rng=Random(7), most=15, start=130)
    assert [held for held in given if held.is_repeat]


@pytest.mark.usefixtures("often")
def test_a_clarification_need_not_be_read_first(session, judged, ana, ada):
    publish(session, judged, ada, "Prefer the shorter one!", kind="clarification")
    re_ask = begin(session, judged, ada, from_version=1)
    work(session, judged, ana, rng=Random(7), most=60, start=60)
    assert re_asks.report(session, project=judged, re_ask=re_ask).progress.judged == 10


def test_they_come_at_the_end_too_where_nothing_else_is_left(session, judged, ana, ada, sign_in):
    re_ask = begin(session, judged, ada)
    session.execute(
        Task.__table__.update().where(Task.project_id == judged.id).values(wanted=Task.counted)
    )
    session.commit()
    page = sign_in(ana).get(f"/projects/{judged.id}/rank").text
    assert f'action="/projects/{judged.id}/rank/next"' in page  # a task is offered
    given = work(session, judged, ana, rng=Random(7), most=20, start=60)
    assert [held.is_repeat for held in given] == [True] * 10
    report = re_asks.report(session, project=judged, re_ask=re_ask)
    assert (report.progress.state, report.progress.judged) == ("succeeded", 10)
    nothing = task_queries.why_nothing(session, project=judged, user=ana, now=MORNING)
    assert nothing is Nothing.FINISHED


def test_they_come_at_the_end_of_little_work(session, project, ana, ada):
    """Twenty tasks cannot lie between her two looks: she is asked all the same."""
    for number in range(4):
        make_task(session, project, prompt=f"p{number}", wanted=1)
    work(session, project, ana, rng=Random(1), most=9)
    publish(session, project, ada)
    begin(session, project, ada, size=3)
    assert work(session, project, ana, rng=Random(1), most=9, start=20) == []  # has not read it
    read(session, project, ana)
    given = work(session, project, ana, rng=Random(1), most=9, start=40)
    assert [held.is_repeat for held in given] == [True] * 3


def test_it_does_not_wait_for_people_who_are_paused_or_gone(session, judged, ana, ada, sign_in):
    re_ask = begin(session, judged, ada, size=6)

    def progress():
        session.expire_all()
        return re_asks.report(session, project=judged, re_ask=re_ask).progress

    before = progress()
    assert [(user_id, number) for user_id, _, number in before.waits_for] == [(ana.id, 6)]
    session.get(Membership, (judged.id, ana.id)).paused_at = MORNING
    session.commit()
    assert (progress().state, progress().away, progress().waits_for) == ("succeeded", 6, [])
    page = sign_in(ada).get(f"/projects/{judged.id}/re-asks/{re_ask.id}").text
    assert "6 are of people who are paused or have left" in page
    assert "It waits for" not in page
    session.get(Membership, (judged.id, ana.id)).paused_at = None
    session.commit()
    assert progress().state == "running"  # she goes on, and so does it
    page = sign_in(ada).get(f"/projects/{judged.id}/re-asks/{re_ask.id}").text
    assert f'/annotators/{ana.id}">Ana</a> (6)' in page


def test_who_is_paused_gets_none(session, judged, ana, ada):
    begin(session, judged, ada)
    session.get(Membership, (judged.id, ana.id)).paused_at = MORNING
    session.flush()
    assert work(session, judged, ana, rng=Random(7), most=3, start=60) == []


def test_who_does_not_sign_in_is_not_asked(session, judged, ana):
    ana.kind, ana.email = UserKind.SIMULATED, None
    session.flush()
    assert re_asks.plan(session, project=judged, size=25).pairs == []


def test_a_claim_without_a_re_ask_asks_for_nothing_more(session, judged, ana, connection):
    """The statement that lends is the same as ever, and no further one is sent."""
    from sqlalchemy import event

    sent = []

    def listen(_connection, _cursor, statement, *_):
        sent.append(statement)

    event.listen(connection.engine, "before_cursor_execute", listen)
    try:
        tasks.claim(
            session, project=judged, user=ana, now=MORNING + timedelta(hours=9), rng=Random(1)
        )
    finally:
        event.remove(connection.engine, "before_cursor_execute", listen)
    assert not [statement for statement in sent if "re_ask_pair" in statement]


# -- what came of it


@pytest.mark.usefixtures("often")
def test_flips_are_told_from_what_people_change_anyway(session, judged, ana, ada):
    """She turns all re-asked tasks round, and none of her silent repeats."""
    judged.repeat_rate = 0.2
    work(session, judged, ana, rng=Random(5), most=90, start=60)  # silent repeats, unchanged
    planned = begin(session, judged, ada, size=12)
    task_ids = set(session.scalars(select(ReAskPair.task_id)))
    work(
        session, judged, ana, rng=Random(6), most=50, start=200,
        turns=lambda held: held.is_repeat and held.task_id in task_ids,
    )  # fmt: skip
    report = re_asks.report(session, project=judged, re_ask=planned)
    assert report.progress.judged == planned.size >= 5
    assert report.found.share == 1
    assert report.base.n_looks >= 8
    assert report.base.share == 0
    assert report.comparison.verdict == "more"
    assert report.directions["reversed"] == report.found.n_pairs
    assert len(report.flipped) == planned.size
    assert "made a difference" in report.sentence


@pytest.mark.usefixtures("often")
def test_second_looks_under_other_guidelines_are_not_her_self_consistency(
    session, judged, ana, ada
):
    begin(session, judged, ada)
    work(session, judged, ana, rng=Random(7), most=60, start=60, turns=lambda held: held.is_repeat)
    view = summary.current(session, project=judged)
    (hers,) = [row for row in view.figures["annotators"] if row["user_id"] == str(ana.id)]
    assert hers["self_consistency"]["value"] is None
    assert hers["n_repeats"] == 0


@pytest.mark.usefixtures("often")
def test_what_is_skipped_or_became_gold_is_told_and_not_counted(session, judged, ana, ada):
    re_ask = begin(session, judged, ada, size=4)
    rng, seen = Random(7), []
    for minute in range(60, 130):
        now = MORNING + timedelta(minutes=minute)
        held = tasks.claim(session, project=judged, user=ana, now=now, rng=rng)
        if held is None:
            break
        if held.is_repeat:
            seen.append(held)
            reason = SkipReason.UNCLEAR
            tasks.skip(session, assignment=held, reason=reason, note=None, now=now)
        else:
            tasks.complete(session, assignment=held, now=now)
    assert len(seen) == 4
    progress = re_asks.report(session, project=judged, re_ask=re_ask).progress
    assert (progress.judged, progress.lost, progress.state) == (0, 4, "succeeded")


# -- ends, and what there is nothing for


@pytest.mark.usefixtures("often")
def test_cancelling_stops_what_waits_and_keeps_what_is_in(session, judged, ana, ada):
    re_ask = begin(session, judged, ada)
    work(session, judged, ana, rng=Random(7), most=9, start=60)
    done = re_asks.report(session, project=judged, re_ask=re_ask).progress.judged
    assert 0 < done < 10
    for _ in range(2):  # twice is once
        re_asks.cancel(session, project=judged, re_ask=re_ask, by=ada, now=MORNING)
    session.expire_all()
    assert waiting(session, judged, ana) == 0
    given = work(session, judged, ana, rng=Random(8), most=20, start=100)
    assert not [held for held in given if held.is_repeat]
    progress = re_asks.report(session, project=judged, re_ask=re_ask).progress
    assert (progress.state, progress.judged) == ("cancelled", done)
    begin(session, judged, ada)  # what never came can be asked in another one


def test_one_sample_at_a_time(session, judged, ada):
    begin(session, judged, ada)
    with pytest.raises(Conflict, match="0 of 10 are in"):
        begin(session, judged, ada)


def test_no_second_version_nobody_left_and_no_such_version_say_so(session, project, judged, ada):
    with pytest.raises(Invalid, match="Choose a version before the current one, which is 2"):
        begin(session, judged, ada, from_version=2)
    session.execute(Membership.__table__.update().values(paused_at=MORNING))
    with pytest.raises(Invalid, match="None of the 40 judgements under version 1 can come again"):
        begin(session, judged, ada)
    other = make_project(session, "Young", by=ada)
    assert "There is one version" in re_asks.plan(session, project=other).reason
    with pytest.raises(Invalid, match="There is one version of the guidelines so far"):
        begin(session, other, ada)


def test_imported_judgements_and_tasks_that_came_twice_are_left_alone(
    session, project, ana, ada, rui
):
    for number in range(3):
        task = make_task(session, project, prompt=f"p{number}", wanted=3)
        made = make_annotation(session, task, ana, ranks=[1, 2])
        if number == 0:
            session.get(Assignment, made.assignment_id).display_order = None
        if number == 1:
            make_annotation(session, task, ana, ranks=[1, 2], is_repeat=True)
    publish(session, project, ada)
    assert re_asks.plan(session, project=project).eligible == 1
    assert rui is not None


# -- pages and programs


@pytest.mark.usefixtures("often")
def test_programs_plan_begin_follow_and_cancel_it(session, judged, ana, ada, api):
    session.commit()
    program, path = api(ada), f"/api/v1/projects/{judged.id}/re-asks"
    plan = program.get(f"{path}/plan", params={"size": 6}).json()
    assert (plan["tasks"], plan["people"], plan["reason"]) == (6, 1, None)
    made = program.post(path, json={"size": 6})
    assert made.status_code == 201
    assert (made.json()["state"], made.json()["waiting"]) == ("running", 6)
    assert made.json()["flip_rate"]["value"] is None
    assert "in yet" in made.json()["flip_rate"]["reason"]
    assert program.post(path, json={"size": 6}).status_code == 409
    assert program.post(path, json={"size": 6, "share": 0.5}).status_code == 422
    session.expire_all()
    work(session, judged, ana, rng=Random(7), most=50, start=60, turns=lambda h: h.is_repeat)
    session.commit()
    got = program.get(f"{path}/{made.json()['id']}").json()
    assert got["judged"] == 6
    assert got["flip_rate"]["value"] == 1
    assert got["verdict"] is None  # nothing to compare with
    assert len(got["flipped"]) == 6
    ended = program.post(f"{path}/{made.json()['id']}/cancel").json()
    assert ended["state"] == "cancelled"
    assert [each["id"] for each in program.get(path).json()] == [got["id"]]
    assert api(ana).get(f"{path}/{got['id']}").status_code == 403


@pytest.mark.usefixtures("often")
def test_the_pages_tell_what_will_happen_and_what_came_of_it(session, judged, ana, ada, sign_in):
    session.commit()
    browser, path = sign_in(ada), f"/projects/{judged.id}"
    page = browser.get(f"{path}/re-asks?size=8").text
    assert "8 tasks that 1 person judged under version 1 come again" in page
    made = browser.post(f"{path}/re-asks", data={"size": "8", "from_version": "1"})
    assert made.status_code == 303
    session.expire_all()
    assert "Nothing is in yet" in browser.get(made.headers["location"]).text
    twice = browser.post(f"{path}/re-asks", data={"size": "8", "from_version": "1"})
    assert twice.status_code == 409
    assert "being re-asked already" in twice.text
    work(session, judged, ana, rng=Random(7), most=60, start=60, turns=lambda h: h.is_repeat)
    session.commit()
    report = browser.get(made.headers["location"]).text
    assert "8 of 8 are in" in report
    assert "B &gt; A" in report
    table = browser.get(f"{made.headers['location']}.csv").text.splitlines()
    assert len(table) == 9
    assert table[0].endswith("judged_at")
    assert browser.get(f"{path}/re-asks?from_version=9").status_code == 422
    versions = browser.get(f"{path}/guidelines/versions").text
    assert "Length counts now." in versions
    assert browser.get(f"{path}/guidelines/versions.csv").text.count("\n") == 3


@pytest.mark.concurrency
@pytest.mark.usefixtures("often")
def test_a_crowd_that_is_re_asked_finishes_everything_exactly_k_times(concurrency_engine):
    with transaction() as session:
        boss = make_user(session, "Boss", role=Role.ADMIN)
        project = make_project(session, "Again", by=boss, gold_rate=0.05, repeat_rate=0.05)
        users = [make_user(session, f"Person {number}") for number in range(6)]
        for user in users:
            make_member(session, project, user, Role.ANNOTATOR)
        for number in range(60):
            make_task(session, project, prompt=f"prompt {number}", wanted=4)
        project_id, boss_id = project.id, boss.id
        user_ids = [user.id for user in users]

    class Person:
        def __init__(self, number):
            self.user_id, self.rng = user_ids[number], Random(number)
            self.acknowledged = []

        def step(self):
            with transaction() as session:
                project = session.get_one(Project, project_id)
                user = session.get_one(User, self.user_id)
                now = database_now(session)
                held = tasks.claim(session, project=project, user=user, now=now, rng=self.rng)
                if held is None:
                    return None
                body = JudgementBody(ranking=[["A"], ["B"]])
                done = annotation.submit(
                    session, assignment=held, project=project, user=user, judgement=body, key=None,
                    now=now,
                )  # fmt: skip
                return done.annotation_id

        def work(self, most=1_000):
            for _ in range(most):
                try:
                    done = self.step()
                except TooManyRequests:
                    continue
                if done is None:
                    break
                self.acknowledged.append(done)
            return self

    people = [Person(number) for number in range(len(user_ids))]
    with ThreadPoolExecutor(len(people)) as pool:
        list(pool.map(lambda person: person.work(most=24), people))
        ready = threading.Barrier(len(people) + 1)

        def on(person):
            ready.wait()
            return person.work()

        going = [pool.submit(on, person) for person in people]
        with transaction() as session:  # the sample is drawn while all of them are at work
            project, boss = session.get_one(Project, project_id), session.get_one(User, boss_id)
            publish(session, project, boss)
            session.execute(Membership.__table__.update().values(guidelines_read=2))
        ready.wait()
        with transaction() as session:
            project, boss = session.get_one(Project, project_id), session.get_one(User, boss_id)
            begin(session, project, boss, size=12)
        for each in going:
            each.result()
    assert check_exactly_k(project_id, people) == set()
    with transaction() as session:
        pairs = {(pair.task_id, pair.user_id) for pair in session.scalars(select(ReAskPair))}
        repeats = session.scalars(select(Annotation).where(Annotation.is_repeat))
        assert pairs & {(each.task_id, each.user_id) for each in repeats}  # some of them came
        for member in session.scalars(select(Membership).where(Membership.re_asks > 0)):
            assert member.re_asks <= 12
