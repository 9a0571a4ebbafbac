"""Erasing people while everybody works: exactly K holds, nobody comes back, all or nothing."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import NoResultFound
from sqlalchemy.orm.exc import ObjectDeletedError

from app.accounts.models import Role, User, UserKind
from app.annotation.models import Annotation
from app.db import SessionLocal, database_now, transaction
from app.errors import AppError
from app.privacy import service
from app.privacy.formats import ledger
from app.privacy.schemas import Scope
from app.privacy.service import erasing
from app.projects.models import Project
from app.tasks.models import Assignment, Task
from tests.exactly_k import check_exactly_k
from tests.factories import make_annotation, make_member, make_task, make_user
from tests.people import make_people
from tests.privacy.world import everything
from tests.tasks.test_exactly_k import Killed, Person, make_work


class Erasable(Person):
    """One whose work may end under her hands."""

    def work(self):
        try:
            return super().work()
        except (NoResultFound, ObjectDeletedError, AppError):
            return self


@pytest.mark.concurrency
def test_exactly_k_holds_while_people_are_erased(concurrency_engine):
    project_id, users = make_work(n_tasks=20, wanted=3)
    people = [Erasable(project_id, user, seed=n) for n, user in enumerate(users[:6])]
    leaving, staying = people[:2], people[2:]
    start = threading.Barrier(len(people) + 1)

    def go(person):
        start.wait()
        return person.work()

    def erase_them():
        start.wait()
        for number, person in enumerate(leaving):
            time.sleep(0.03)  # so that they have judged something; any other moment will do
            erase(person.user_id, identity=number == 0)

    with ThreadPoolExecutor(len(people) + 1) as pool:
        care = pool.submit(erase_them)
        list(pool.map(go, people))
        care.result()
    for person in leaving:  # what was open when the others ended is theirs now
        person.acknowledged.clear()
    others = [Erasable(project_id, user, seed=99 + n) for n, user in enumerate(users[6:10])]
    for person in (*staying, *others):
        person.work()
    assert check_exactly_k(project_id, [*staying, *others]) == set()
    with SessionLocal() as session:
        gone = [person.user_id for person in leaving]
        for model in (Annotation, Assignment):
            left = select(func.count()).select_from(model).where(model.user_id.in_(gone))
            assert session.scalars(left).one() == 0


def erase(user_id, **what):
    with transaction() as session:
        service.erase(
            session,
            user=session.get_one(User, user_id),
            scope=Scope(judgements=True, **what),
            by=None,
            now=database_now(session),
        )


@pytest.fixture
def judged(concurrency_engine):
    """Ana has judged four tasks and holds a fifth; answers ids and the assignment she holds."""
    with transaction() as session:
        cast = make_people(session)
        tasks = [make_task(session, cast.project, prompt=f"p{n}", wanted=2) for n in range(5)]
        for task in tasks[:4]:
            make_annotation(session, task, cast.ana, ranks=[1, 2])
        held = Assignment(
            project_id=cast.project.id,
            task_id=tasks[4].id,
            user_id=cast.ana.id,
            display_order=[0, 1],
            leased_until=func.now(),
        )
        tasks[4].leased += 1
        session.add(held)
        session.flush()
        return cast.project.id, cast.ana.id, held.id


@pytest.mark.concurrency
def test_what_is_cut_off_has_changed_nothing(judged, monkeypatch):
    with SessionLocal() as session:
        before = sorted(everything(session))

    def die(*_arguments, **_more):
        raise Killed

    monkeypatch.setattr(erasing, "remember", die)  # the last step of all
    with pytest.raises(Killed):
        erase(judged[1], identity=True)
    with SessionLocal() as session:
        assert sorted(everything(session)) == before
    assert ledger.entries() == []


@pytest.mark.concurrency
def test_a_submission_that_waited_for_the_erasure_does_not_bring_her_back(judged):
    project_id, ana_id, held_id = judged
    person = Person(project_id, ana_id, seed=1)
    has_erased, refusals = threading.Event(), []

    def submit():
        try:
            with transaction() as session:
                session.get_one(Assignment, held_id)  # read before, as a request does
                has_erased.wait()
                person.step(session, held_id)
        except Exception as error:  # noqa: BLE001
            refusals.append(error)

    thread = threading.Thread(target=submit)
    with transaction() as session:
        service.erase(
            session,
            user=session.get_one(User, ana_id),
            scope=Scope(identity=True, judgements=True),
            by=None,
            now=database_now(session),
        )
        thread.start()
        has_erased.set()
        time.sleep(0.2)  # it waits for her membership, which we hold
    thread.join()
    assert refusals
    with SessionLocal() as session:
        hers = select(Annotation).where(Annotation.user_id == ana_id)
        assert session.scalars(hers).all() == []
        assert set(session.scalars(select(Task.leased).where(Task.project_id == project_id))) == {0}


@pytest.mark.concurrency
def test_two_at_once_erase_her_once_and_number_others_apart(judged):
    with transaction() as session:
        project = session.get_one(Project, judged[0])
        more = [make_user(session, f"More {n}") for n in range(4)]
        for user in more:
            make_member(session, project, user, Role.ANNOTATOR)
        ids = [judged[1], judged[1], *(user.id for user in more)]

    def one(user_id):
        try:
            erase(user_id, identity=True)
        except AppError:
            return 0
        return 1

    with ThreadPoolExecutor(len(ids)) as pool:
        done = list(pool.map(one, ids))
    assert sum(done[:2]) == 1
    assert sum(done) == 5
    with SessionLocal() as session:
        erased = session.scalars(select(User.name).where(User.kind == UserKind.ERASED))
        assert sorted(erased) == [f"Person {number}" for number in range(1, 6)]
    assert len(ledger.entries()) == 5


@pytest.mark.concurrency
def test_what_an_open_page_sends_later_is_refused_with_a_sentence(judged, app, sign_in_there):
    _, ana_id, held_id = judged
    browser = sign_in_there(ana_id)
    erase(ana_id)
    sent = browser.put(
        f"/api/v1/assignments/{held_id}/annotation",
        json={"ranking": [["A"], ["B"]]},
        headers={"Idempotency-Key": "offline"},
    )
    assert sent.status_code == 404
    assert "have been removed" in sent.json()["detail"]
    with SessionLocal() as session:
        assert (
            session.scalars(select(Annotation.id).where(Annotation.user_id == ana_id)).all() == []
        )


@pytest.fixture
def sign_in_there(app):
    """The program of somebody in a database of its own."""
    from starlette.testclient import TestClient

    from app.accounts import service as accounts

    def program_of(user_id):
        with transaction() as session:
            user = session.get_one(User, user_id)
            key = accounts.create_token(session, user=user, name="t", now=database_now(session))
        return TestClient(
            app, base_url="https://testserver", headers={"Authorization": f"Bearer {key}"}
        )

    return program_of
