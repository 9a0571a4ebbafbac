"""Re-queue: hers stop counting, others judge the tasks again, and there is a way back."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random

import pytest
from sqlalchemy import func, select

from app.accounts.models import AuditEvent, User
from app.annotation import service as annotation
from app.annotation.models import Annotation, Requeue
from app.annotation.schemas import GoldBody
from app.annotation.service import Which, reach, requeue, undo_requeue
from app.db import SessionLocal, database_now, transaction
from app.errors import Invalid
from app.projects.models import Membership, Project
from app.projects.queries import member
from app.quality.models import Part
from app.quality.queries.summary import fingerprint
from app.tasks import service as tasks
from app.tasks.models import Task
from app.tasks.queries import responses_of
from app.work.queries.checks import invariants
from tests.exactly_k import check_exactly_k
from tests.factories import make_annotation, make_task
from tests.people import make_people
from tests.tasks.test_exactly_k import Person, make_work


@pytest.fixture
def hers(session, project, ana, ada):
    """What an admin does about Ana."""

    class Hers:
        @property
        def membership(self):
            return member(session, project=project, user_id=ana.id)

        def reach(self, **which):
            return reach(session, project=project, membership=self.membership, which=Which(**which))

        def requeue(self, **which):
            done = requeue(
                session,
                project=project,
                membership=self.membership,
                which=Which(**which),
                by=ada,
                now=database_now(session),
            )
            session.expire_all()
            return done

        def undo(self, entry):
            done = undo_requeue(
                session,
                project=project,
                membership=self.membership,
                entry=entry,
                by=ada,
                now=database_now(session),
            )
            session.expire_all()
            return done

    return Hers()


def judged(session, project, user, number=4, **fields):
    made = [make_task(session, project, prompt=f"p{place}", wanted=2) for place in range(number)]
    for task in made:
        make_annotation(session, task, user, ranks=[1, 2], **fields)
    return made


def sound(project):
    with SessionLocal() as session:
        assert [each for each in invariants(session, project=project) if not each.holds] == []


def test_hers_stop_counting_and_the_tasks_open_again(session, project, ana, rui, hers):
    made = judged(session, project, ana)
    make_annotation(session, made[0], rui, ranks=[2, 1])  # complete
    assert hers.reach() == annotation.Reach(4, opened=4, closed=0)
    entry, done = hers.requeue()
    assert (done.judgements, done.opened, done.closed) == (4, 4, 0)
    assert [(task.leased, task.counted, task.wanted) for task in made] == [(0, 1, 2)] + [
        (0, 0, 2)
    ] * 3
    kept = session.scalars(select(Annotation).where(Annotation.user_id == ana.id)).all()
    assert {(each.counted, each.requeue_id) for each in kept} == {(False, entry.id)}
    sound(project)


def test_she_does_not_get_them_again_and_others_do(session, project, ana, rui, ada, hers):
    task = judged(session, project, ana, 1)[0]
    hers.requeue()
    now, rng = database_now(session), Random(1)
    assert tasks.claim(session, project=project, user=ana, now=now, rng=rng) is None
    assert tasks.claim(session, project=project, user=rui, now=now, rng=rng).task_id == task.id


def test_gold_repeats_and_other_peoples_judgements_stay(session, project, ana, rui, hers):
    (task,) = judged(session, project, ana, 1)
    make_annotation(session, task, ana, ranks=[2, 1], is_repeat=True)
    make_annotation(session, task, rui, ranks=[2, 1])
    gold = make_task(session, project, prefers=[[0, 1]])
    make_annotation(session, gold, ana, ranks=[1, 2], gold_passed=True)
    _, done = hers.requeue()
    assert done.judgements == 1
    assert (task.counted, gold.counted) == (1, 0)
    sound(project)


def test_only_since_a_moment_or_the_last_ones(session, project, ana, hers):
    now = database_now(session)
    judged(session, project, ana, 3, submitted_at=now - timedelta(days=3))
    new = judged(session, project, ana, 2, submitted_at=now - timedelta(hours=1))
    assert hers.reach(since=now - timedelta(days=1)).judgements == 2
    assert hers.reach(last=4).judgements == 4
    assert hers.reach(last=4, since=now - timedelta(days=1)).judgements == 2
    hers.requeue(last=2)
    assert [task.counted for task in new] == [0, 0]
    assert hers.reach().judgements == 3


def test_nothing_to_requeue_is_said(session, project, ana, hers):
    with pytest.raises(Invalid, match="Ana has no judgements that count"):
        hers.requeue(last=10)


def test_a_task_that_has_enough_without_hers_stays_closed_and_undo_finds_its_place(
    session, project, ana, rui, ada, hers
):
    (task,) = judged(session, project, ana, 1)
    for user in (rui, ada):
        make_annotation(session, task, user, ranks=[2, 1])
    assert (task.counted, task.wanted, project.overlap_max) == (3, 3, 2)
    assert hers.reach() == annotation.Reach(1, opened=0, closed=1)
    entry, done = hers.requeue()
    assert (done.opened, done.closed) == (0, 1)
    assert (task.counted, task.wanted) == (2, 2)
    sound(project)
    assert hers.undo(entry) == annotation.Restored(1, 0)
    assert (task.counted, task.wanted) == (3, 3)
    sound(project)


def test_undo_counts_those_again_whose_place_nobody_has_taken(session, project, ana, rui, hers):
    made = [make_task(session, project, prompt=f"p{place}", wanted=1) for place in range(3)]
    for task in made:
        make_annotation(session, task, ana, ranks=[1, 2])
    entry, _ = hers.requeue()
    make_annotation(session, made[0], rui, ranks=[2, 1])  # taken
    made[1].leased = 1  # being judged
    for _ in range(2):  # twice is once
        assert hers.undo(entry) == annotation.Restored(1, 2)
    assert [task.counted for task in made] == [1, 0, 1]
    counted = dict(
        session.execute(
            select(Annotation.task_id, Annotation.counted).where(Annotation.user_id == ana.id)
        ).all()
    )
    assert [counted[task.id] for task in made] == [False, False, True]
    actions = session.scalars(
        select(AuditEvent.action).where(AuditEvent.project_id == project.id)
    ).all()
    assert actions == ["project.member.requeue", "project.member.requeue.undo"]


def test_under_adaptive_overlap_only_what_is_unsure_without_hers_is_asked_again(
    session, project, ana, rui, ada, vic, hers
):
    project.overlap_min, project.overlap_max, project.overlap_confidence = 2, 4, 0.9
    agreed, split, few, done = (
        make_task(session, project, prompt=f"p{place}", wanted=3) for place in range(4)
    )
    for task, of_rui, of_ada in ((agreed, [1, 2], [1, 2]), (split, [1, 2], [2, 1])):
        make_annotation(session, task, rui, ranks=of_rui)
        make_annotation(session, task, ada, ranks=of_ada)
    make_annotation(session, few, rui, ranks=[1, 2])
    for user in (rui, ada):
        make_annotation(session, done, user, ranks=[1, 2])
    make_annotation(session, done, vic, ranks=[2, 1])
    for task in (agreed, split, few, done):
        make_annotation(session, task, ana, ranks=[2, 1])
    session.flush()
    assert hers.reach() == annotation.Reach(4, opened=3, closed=1)
    entry, reached = hers.requeue()
    assert reached == annotation.Reach(4, opened=3, closed=1)
    assert {
        name: (task.counted, task.wanted)
        for name, task in (("agreed", agreed), ("split", split), ("few", few), ("done", done))
    } == {"agreed": (2, 2), "split": (2, 3), "few": (1, 2), "done": (3, 4)}
    sound(project)
    assert hers.undo(entry) == annotation.Restored(4, 0)
    assert [task.counted for task in (agreed, split, few, done)] == [3, 3, 2, 4]
    sound(project)


def test_a_closed_task_asks_for_nobody_in_her_place(session, project, ana, hers):
    (task,) = judged(session, project, ana, 1)
    tasks.close_tasks(session, task_ids=[task.id])
    assert hers.reach() == annotation.Reach(1, opened=0, closed=1)
    entry, _ = hers.requeue()
    assert (task.counted, task.wanted) == (0, 0)
    assert hers.undo(entry) == annotation.Restored(0, 1)


def test_a_task_that_was_gold_meanwhile_counts_hers_only_once_it_is_undone(
    session, project, ana, rui, ada, hers
):
    (task,) = judged(session, project, ana, number=1)
    make_annotation(session, task, rui, ranks=[2, 1])
    entry, _ = hers.requeue()

    def gold_and_back():
        first, second = map(str, responses_of(session, task_ids=[task.id])[task.id])
        by = {"task": task, "project": project, "by": ada}
        body = GoldBody(prefers=[(first, second)])
        annotation.set_gold(session, body=body, now=database_now(session), **by)
        annotation.unset_gold(session, **by)
        sound(project)

    gold_and_back()
    assert (task.counted, task.wanted) == (1, 2)
    assert hers.undo(entry).counted == 1
    gold_and_back()
    assert (task.counted, task.wanted) == (2, 2)


def test_a_change_of_hers_afterwards_does_not_count_either(session, project, ana, rui, hers, api):
    (task,) = judged(session, project, ana, 1)
    entry, _ = hers.requeue()
    session.commit()
    reply = api(ana).put(
        f"/api/v1/assignments/{_assignment(session, task, ana)}/annotation",
        json={"ranking": [["B"], ["A"]], "revision": 1},
    )
    assert reply.status_code == 201, reply.text
    session.expire_all()
    assert task.counted == 0
    sound(project)
    assert hers.undo(entry) == annotation.Restored(1, 0)
    now = session.scalars(
        select(Annotation).where(Annotation.user_id == ana.id, Annotation.is_current)
    ).one()
    assert (now.ranks, now.counted, task.counted) == ([2, 1], True, 1)


def _assignment(session, task, user):
    return session.scalars(
        select(Annotation.assignment_id).where(
            Annotation.task_id == task.id, Annotation.user_id == user.id
        )
    ).first()


def history(client):
    """By task: all were judged at the same moment here."""
    items = client.get("/api/v1/me/annotations").json()["items"]
    return sorted(items, key=lambda item: item["assignment_id"])


def test_she_cannot_tell_by_it_what_was_gold(session, project, ana, hers, api):
    """If only ordinary tasks stopped counting in her history, the others would be known."""
    judged(session, project, ana, 2)
    gold = make_task(session, project, prefers=[[0, 1]])
    make_annotation(session, gold, ana, ranks=[1, 2], gold_passed=True)
    hers.membership.gold_seen = hers.membership.gold_passed = 1
    session.commit()
    client = api(ana)
    before = history(client)
    hers.requeue()
    session.commit()
    assert history(client) == before
    assert {item["counted"] for item in before} == {True}
    for item in before:
        reply = client.put(
            f"/api/v1/assignments/{item['assignment_id']}/annotation",
            json={"ranking": [["B"], ["A"]], "revision": item["revision"]},
        )
        assert reply.json()["counted"] is True


def test_kept_figures_no_longer_hold_afterwards(session, project, ana, hers):
    judged(session, project, ana, 1)
    before = fingerprint(session, project=project, part=Part.OVERVIEW)
    entry, _ = hers.requeue()
    between = fingerprint(session, project=project, part=Part.OVERVIEW)
    hers.undo(entry)
    after = fingerprint(session, project=project, part=Part.OVERVIEW)
    assert len({before, between, after}) == 3


@pytest.mark.concurrency
def test_exactly_k_holds_while_others_claim_and_submit(concurrency_engine):
    """An admin re-queues and undoes what two people do, again and again, in the middle of it."""
    project_id, users = make_work(n_tasks=40, wanted=2)
    people = [Person(project_id, user, seed=n) for n, user in enumerate(users[:8])]
    start, rng, is_over = threading.Barrier(9), Random(3), threading.Event()

    def go(person):
        start.wait()
        return person.work()

    def care():
        start.wait()
        number = 0
        while not is_over.is_set() or number < 4:
            number += 1
            with transaction() as session:
                project = session.get_one(Project, project_id)
                boss = session.get_one(User, project.created_by)
                membership = member(session, project=project, user_id=rng.choice(users[:2]))
                assert membership is not None
                now = database_now(session)
                entry = session.scalars(
                    select(Requeue)
                    .where(Requeue.user_id == membership.user_id, Requeue.undone_at.is_(None))
                    .limit(1)
                ).first()
                about = {"project": project, "membership": membership, "by": boss, "now": now}
                try:
                    if entry is not None and rng.random() < 0.5:
                        undo_requeue(session, entry=entry, **about)
                    else:
                        requeue(session, which=Which(last=10), **about)
                except Invalid:
                    continue  # nothing of hers counts

    with ThreadPoolExecutor(9) as pool:
        admin = pool.submit(care)
        done = list(pool.map(go, people))
        is_over.set()
        admin.result()
    check_exactly_k(project_id, done, all_done=False)
    for person in people:  # whatever is open again is judged by whoever may
        person.work()
    check_exactly_k(project_id, people, all_done=True)
    with SessionLocal() as session:
        left = session.scalar(
            select(func.count())
            .select_from(Annotation)
            .where(Annotation.project_id == project_id, Annotation.requeue_id.is_not(None))
        )
        assert left
        assert session.scalar(select(func.count()).select_from(Membership))
        assert session.scalar(select(func.count()).select_from(Task)) == 40


def test_it_waits_for_no_import(concurrency_engine):
    with transaction() as session:
        people = make_people(session)
        project_id, ana, ada = people.project.id, people.ana.id, people.ada.id
        task = make_task(session, people.project)
        make_annotation(session, task, people.ana, ranks=[1, 2])
    with SessionLocal() as importing, SessionLocal() as session:
        tasks.lock_opening(importing, project=importing.get_one(Project, project_id))
        project = session.get_one(Project, project_id)
        with pytest.raises(Exception, match="An import into this project, or"):
            requeue(
                session,
                project=project,
                membership=member(session, project=project, user_id=ana),
                which=Which(),
                by=session.get_one(User, ada),
                now=database_now(session),
            )
        importing.rollback()
