"""The review of a task: decided with what one has seen, sent back, made gold, and each undone."""

import re
from collections.abc import Callable, Sequence
from random import Random

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.models import AuditEvent, Role, User
from app.annotation.models import Annotation
from app.annotation.service import apply_overlap
from app.annotation.service.overlap import decide_overlap
from app.datasets.queries import _adjudications  # what a snapshot reads
from app.db import database_now
from app.errors import Invalid
from app.projects.models import Membership, Project
from app.quality.models import Adjudication, Part, SendBack
from app.quality.queries.summary import fingerprint
from app.quality.rules.history import event_in_words
from app.quality.rules.keys import key_in_words, key_of, read_key
from app.quality.rules.seen import Fact, is_unchanged, news, stamp
from app.tasks import service as tasks
from app.tasks.models import GoldKey, SkipReason, Task, TaskKind, TaskLane
from app.tasks.queries import takers
from app.tasks.rules import lane
from app.work.queries.checks import invariants
from app.work.queries.figures import census_of
from app.work.rules.effects import target
from tests.factories import make_annotation, make_member, make_task, make_user
from tests.people import People

SignIn = Callable[[User], TestClient]
Api = Callable[[User], TestClient]
FIRST, SECOND, TIE = [1, 2], [2, 1], [1, 1]


@pytest.fixture
def task(session: Session, people: People) -> Task:
    """Judged by Ana and Rui, who differ; it wants no more."""
    task = make_task(session, people.project, wanted=2)
    make_annotation(session, task, people.ana, ranks=FIRST, rationale="It says *how long*.")
    make_annotation(session, task, people.rui, ranks=SECOND)
    session.commit()
    return task


def crowd(session: Session, people: People, number: int) -> list[User]:
    users = [make_user(session, f"Person {place}") for place in range(number)]
    for user in users:
        make_member(session, people.project, user, Role.ANNOTATOR)
    session.commit()
    return users


def claimed(session: Session, project: Project, user: User) -> Task | None:
    now = database_now(session)
    lent = tasks.claim(session, project=project, user=user, now=now, rng=Random(1))
    return lent and session.get(Task, lent.task_id)


def holds(session: Session) -> None:
    assert [result.name for result in invariants(session) if not result.holds] == []


# What one has seen


def test_what_is_new_is_told_and_what_is_the_same_is_not():
    one, other = Fact(("judgement", 1, True), "Ana: A."), Fact(("judgement", 2, True), "Rui: B.")
    seen = stamp([one])
    assert is_unchanged([one], seen)
    assert not is_unchanged([one, other], seen)
    assert news([other, one], seen) == ["Rui: B."]
    assert news([], seen) == []  # something is gone: told by the stamp alone
    assert not is_unchanged([], seen)


def seen_on(page: str) -> str:
    found = re.search(r'name="seen" value="([^"]*)"', page)
    assert found
    return found[1]


def test_a_judgement_that_came_meanwhile_is_shown_and_nothing_is_lost(
    session: Session, people: People, task: Task, sign_in: SignIn
):
    rui = sign_in(people.rui)
    seen = seen_on(rui.get(f"/tasks/{task.id}/review").text)
    task.wanted = 3
    make_annotation(session, task, people.ada, ranks=TIE)
    session.commit()
    form = {"answer": "2", "reason": "B is <right>.", "seen": seen, "then": "stay"}
    reply = rui.post(f"/tasks/{task.id}/adjudication", data=form)
    assert reply.status_code == 409
    assert "Ada judged: A = B." in reply.text
    assert "Ana judged" not in reply.text
    assert "B is &lt;right&gt;." in reply.text
    assert re.search(r'value="2" required checked', reply.text)
    assert session.query(Adjudication).filter_by(task_id=task.id).count() == 0
    again = rui.post(f"/tasks/{task.id}/adjudication", data=form | {"seen": seen_on(reply.text)})
    assert again.status_code == 303
    assert session.query(Adjudication).filter_by(task_id=task.id).one().ranks == SECOND


@pytest.mark.parametrize("what", ["revision", "adjudication", "withdrawal", "key", "send back"])
def test_whatever_changes_a_task_is_noticed(
    session: Session, people: People, task: Task, api: Api, what: str
):
    rui, address = api(people.rui), f"/api/v1/tasks/{task.id}"
    crowd(session, people, 2)
    body = {"ranking": [["A"], ["B"]], "reason": "Clear."}
    if what == "withdrawal":
        rui.put(f"{address}/adjudication", json=body)
    seen = rui.get(address).json()["stamp"]
    if what == "revision":
        first = session.query(Annotation).filter_by(user_id=people.ana.id, task_id=task.id).one()
        first.is_current = False
        session.flush()
        session.add(
            Annotation(
                project_id=task.project_id, task_id=task.id, assignment_id=first.assignment_id,
                user_id=people.ana.id, guidelines_version=1, revision=2, counted=True, ranks=TIE,
            )
        )  # fmt: skip
        session.commit()
    elif what == "adjudication":
        api(people.ada).put(f"{address}/adjudication", json=body)
    elif what == "withdrawal":
        assert api(people.ada).delete(f"{address}/adjudication").status_code == 204
    elif what == "key":
        ids = [each["id"] for each in rui.get(address).json()["responses"]]
        api(people.ada).put(f"{address}/gold", json={"prefers": [ids]})
    else:
        assert api(people.ada).post(f"{address}/send-backs", json={"more": 1}).status_code == 201
    reply = rui.put(
        f"{address}/adjudication",
        json={"ranking": [["B"], ["A"]], "reason": "No.", "if_unchanged": seen},
    )
    assert reply.status_code == (422 if what == "key" else 409)
    if what != "key":
        expected = {
            "revision": "Ana changed her mind: A = B.",
            "adjudication": "Ada settled it: A > B, because “Clear.”",
            "withdrawal": "that is withdrawn",
            "send back": "Ada sent it back for 1 more.",
        }
        assert expected[what] in reply.json()["detail"]
        unconditional = {"ranking": [["B"], ["A"]], "reason": "No."}
        assert rui.put(f"{address}/adjudication", json=unconditional).status_code == 200


def test_sending_twice_is_no_change_in_between(
    session: Session, people: People, task: Task, api: Api
):
    rui, address = api(people.rui), f"/api/v1/tasks/{task.id}"
    body = {"ranking": [["A"], ["B"]], "reason": "Clear."}
    body["if_unchanged"] = rui.get(address).json()["stamp"]
    answers = [rui.put(f"{address}/adjudication", json=body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert session.query(Adjudication).filter_by(task_id=task.id).count() == 1


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"reason": "Because."}, "Say which response is better"),
        ({"answer": "1", "reason": "  "}, "Say why"),
        ({"places": ["1", ""], "reason": "x"}, "Say which response is better"),
    ],
)
def test_a_decision_that_is_not_complete_is_kept_on_the_page(
    session: Session, people: People, task: Task, sign_in: SignIn, form: dict, sentence: str
):
    reply = sign_in(people.rui).post(f"/tasks/{task.id}/adjudication", data=form)
    assert reply.status_code == 422
    assert sentence in reply.text
    assert f">{form['reason']}</textarea>" in reply.text
    assert session.query(Adjudication).filter_by(task_id=task.id).count() == 0


def test_a_task_that_was_deleted_is_told(session: Session, people: People, task: Task, api: Api):
    task_id = task.id
    rui = api(people.rui)
    session.delete(task)
    session.commit()
    body = {"ranking": [["A"], ["B"]], "reason": "Clear."}
    assert rui.put(f"/api/v1/tasks/{task_id}/adjudication", json=body).status_code == 404
    assert rui.get(f"/api/v1/tasks/{task_id}").status_code == 404


def test_a_reviewer_who_was_removed_or_became_an_annotator_meanwhile_changes_nothing(
    session: Session, people: People, task: Task, sign_in: SignIn
):
    rui = sign_in(people.rui)
    seen = seen_on(rui.get(f"/tasks/{task.id}/review").text)
    form = {"answer": "1", "reason": "Clear.", "seen": seen}
    member = session.get_one(Membership, (people.project.id, people.rui.id))
    member.role = Role.ANNOTATOR
    session.commit()
    demoted = rui.post(f"/tasks/{task.id}/adjudication", data=form)
    assert demoted.status_code == 403
    assert "This needs a reviewer or an admin of the project" in demoted.text
    session.delete(member)
    session.commit()
    removed = rui.post(f"/tasks/{task.id}/adjudication", data=form)
    assert removed.status_code == 404
    assert "not yours to see" in removed.text
    assert session.query(Adjudication).filter_by(task_id=task.id).count() == 0


# Withdrawn


def test_a_withdrawn_decision_gives_way_to_the_one_before_and_leaves_the_snapshots(
    session: Session, people: People, task: Task, sign_in: SignIn
):
    rui = sign_in(people.rui)
    for answer, reason in (("1", "First thought."), ("2", "Second thought.")):
        rui.post(f"/tasks/{task.id}/adjudication", data={"answer": answer, "reason": reason})
    newest = session.scalars(
        select(Adjudication).where(Adjudication.reason == "Second thought.")
    ).one()
    asked = select(Task.id, Task.random_key.label("number")).where(Task.id == task.id).subquery()
    assert list(_adjudications(session, asked).values()) == [SECOND]
    for _ in range(2):  # twice is once
        address = f"/tasks/{task.id}/adjudication/{newest.id}/withdraw"
        assert rui.post(address).status_code == 303
    session.expire_all()
    assert newest.withdrawn_by == people.rui.id
    assert list(_adjudications(session, asked).values()) == [FIRST]
    page = rui.get(f"/tasks/{task.id}/review").text
    assert "(withdrawn" in page
    assert "(replaced)" not in page
    actions = session.scalars(select(AuditEvent.action).order_by(AuditEvent.id)).all()
    assert actions.count("task.withdraw_adjudication") == 1
    assert "Rui withdrew a decision" in page
    elsewhere = f"/tasks/{task.id}/adjudication/{people.project.id}/withdraw"
    assert rui.post(elsewhere).status_code == 404


def test_nothing_to_withdraw_is_a_sentence(people: People, task: Task, api: Api):
    reply = api(people.rui).delete(f"/api/v1/tasks/{task.id}/adjudication")
    assert reply.status_code == 404
    assert "Nothing has settled this task" in reply.json()["detail"]


def test_a_decision_changes_what_consensus_rests_on_and_nothing_else(
    session: Session, people: People, task: Task, api: Api
):
    def prints() -> dict[Part, str]:
        return {
            part: fingerprint(session, project=people.project, part=part)[1]
            for part in (Part.OVERVIEW, Part.CONSENSUS)
        }

    rui, address = api(people.rui), f"/api/v1/tasks/{task.id}/adjudication"
    before = prints()
    rui.put(address, json={"ranking": [["A"], ["B"]], "reason": "Clear."})
    settled = prints()
    assert settled[Part.CONSENSUS] != before[Part.CONSENSUS]
    assert settled[Part.OVERVIEW] == before[Part.OVERVIEW]
    rui.delete(address)
    assert prints() == before


# Sent back


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
    assert task.wanted == 3
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


# Gold


@pytest.mark.parametrize(
    ("key", "size", "prefers", "equal"),
    [
        ("A > B", 2, [(0, 1)], []),
        ("a>b = c , d>a", 4, [(0, 1), (3, 0)], [(1, 2)]),
        ("A = B", 2, [], [(0, 1)]),
    ],
)
def test_a_key_is_read_as_people_write_it(key: str, size: int, prefers: Sequence, equal: Sequence):
    read = read_key(key, size=size)
    assert (list(read.prefers), list(read.equal)) == (prefers, equal)
    again = read_key(key_in_words(read.prefers, read.equal), size=size)
    assert (set(again.prefers), set(again.equal)) == (set(prefers), set(equal))


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        (" ", "The key is empty"),
        ("A better B", "cannot be read"),
        ("A > C", "There is no response C here"),
        ("A > A", "compared with itself"),
    ],
)
def test_a_key_that_cannot_be_read_says_why(key: str, sentence: str):
    with pytest.raises(Invalid, match=sentence):
        read_key(key, size=2)


def test_an_order_suggests_its_key():
    assert key_of([2, 1, 2, 4]) == "B > A = C > D"
    assert key_of([1, 1]) == "A = B"


def test_a_settled_task_becomes_gold_and_ordinary_again(
    session: Session, people: People, task: Task, sign_in: SignIn
):
    ada, address = sign_in(people.ada), f"/tasks/{task.id}/review"
    settled = {"answer": "2", "reason": "B says *why*."}
    ada.post(f"/tasks/{task.id}/adjudication", data=settled)
    page = ada.get(address).text
    assert 'value="B &gt; A"' in page
    form = {"key": "B > A", "explanation": "It says why.", "seen": seen_on(page)}
    told = ada.post(f"{address}/gold", data=form)
    assert told.status_code == 200
    assert "Right by this key: Rui." in told.text
    assert "Wrong by this key: Ana." in told.text
    assert "2 judgements cease to count" in told.text
    assert "gold is not handed out until you raise it" in told.text
    session.refresh(task)
    assert task.kind is TaskKind.ORDINARY  # told, not done
    assert ada.post(f"{address}/gold", data=form | {"confirmed": "true"}).status_code == 303
    session.refresh(task)
    assert task.kind is TaskKind.GOLD
    assert session.get_one(GoldKey, task.id).prefers == [[1, 0]]
    judged = session.scalars(select(Annotation).where(Annotation.task_id == task.id)).all()
    assert {(each.user_id, each.counted, each.gold_passed) for each in judged} == {
        (people.ana.id, False, False),
        (people.rui.id, False, True),
    }
    page = ada.get(address).text
    assert "It says why." in page
    assert "Ada made it gold, or changed its key" in page
    assert ada.post(f"{address}/ordinary").status_code == 303
    session.expire_all()
    assert (task.kind, task.wanted, task.counted) == (TaskKind.ORDINARY, 2, 2)
    holds(session)


def test_a_key_that_contradicts_itself_changes_nothing(
    session: Session, people: People, task: Task, sign_in: SignIn
):
    ada, address = sign_in(people.ada), f"/tasks/{task.id}/review"
    form = {"key": "A > B, B > A", "explanation": "Both.", "seen": seen_on(ada.get(address).text)}
    for confirmed in ({}, {"confirmed": "true"}):
        reply = ada.post(f"{address}/gold", data=form | confirmed)
        assert reply.status_code == 422
        assert "its preferences run in a circle" in reply.text
        assert 'value="A &gt; B, B &gt; A"' in reply.text
        assert ">Both.</textarea>" in reply.text
    assert session.get(GoldKey, task.id) is None


def test_gold_is_not_made_of_what_has_changed(
    session: Session, people: People, task: Task, sign_in: SignIn
):
    ada, address = sign_in(people.ada), f"/tasks/{task.id}/review"
    form = {"key": "A > B", "seen": seen_on(ada.get(address).text), "confirmed": "true"}
    sign_in(people.rui).post(
        f"/tasks/{task.id}/adjudication", data={"answer": "2", "reason": "No: B."}
    )
    reply = ada.post(f"{address}/gold", data=form)
    assert reply.status_code == 409
    assert "Rui settled it: B &gt; A, because “No: B.”" in reply.text
    assert session.get(GoldKey, task.id) is None


def test_a_reviewer_sees_who_may_make_gold(people: People, task: Task, sign_in: SignIn):
    page = sign_in(people.rui).get(f"/tasks/{task.id}/review").text
    assert "Only an admin of the project can make a task gold" in page
    assert "/review/gold" not in page


# What is shown


def test_the_page_shows_who_said_what_and_how(
    session: Session, people: People, task: Task, sign_in: SignIn
):
    people.project.criteria = [{"key": "helpful", "label": "Helpful", "min": 1, "max": 5}]
    people.project.guidelines_version = 1
    make_annotation(
        session, task, people.ada, ranks=FIRST, strength=2, display_order=[1, 0],
        ratings={"helpful": [5, 2]}, flags={"1": ["unsafe"]}, active_ms=65_000,
    )  # fmt: skip
    task.wanted = 3
    session.commit()
    page = sign_in(people.rui).get(f"/tasks/{task.id}/review").text
    for words in (
        "It says <em>how long</em>.", "strength 2", "Helpful: A 5, B 2", "B: Unsafe or harmful",
        "on screen B A", "took 1 min 5 s", "By majority <strong>A &gt; B</strong>",
        "67 % of all pairs of answers differ", "best by majority", "Prefer the better one.",
        f"/projects/{people.project.id}/annotators/{people.ana.id}",
    ):  # fmt: skip
        assert words in page, words
    bars = re.findall(r'<rect class="vote-(\w+)" x="([\d.]+)" y="0" width="([\d.]+)"', page)
    assert bars == [("first", "0.0", "66.667"), ("second", "66.667", "33.333")]


def test_the_api_tells_all_of_it(people: People, task: Task, api: Api):
    found = api(people.rui).get(f"/api/v1/tasks/{task.id}").json()
    assert [each["label"] for each in found["responses"]] == ["A", "B"]
    assert {each["name"]: each["ranks"] for each in found["judgements"]} == {
        "Ana": FIRST,
        "Rui": SECOND,
    }
    assert found["consensus"]["disagreement"] == 1
    assert found["consensus"]["posterior"] == pytest.approx(0.457, abs=0.001)
    assert found["gold"] is None


@pytest.mark.parametrize(
    ("action", "details", "words"),
    [
        ("task.adjudicate", {"ranks": [2, 1]}, "settled it: B > A"),
        ("task.send_back", {"more": 1, "reason": ""}, "sent it back to 1 more person"),
        (
            "task.send_back",
            {"more": 2, "reason": "Odd."},
            "sent it back to 2 more people, because “Odd.”",
        ),
        ("task.undo_send_back", {"more": 2}, "took back that 2 more people should judge it"),
        ("gold.appeal_accepted", {}, "gold appeal accepted"),
    ],
)
def test_history_is_told_in_words(action: str, details: dict, words: str):
    assert event_in_words(action, details) == words
