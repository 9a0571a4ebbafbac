"""The review of a task: decided with what one has seen, withdrawn, made gold, and undone."""

import re
from collections.abc import Callable, Sequence

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.models import AuditEvent, Role, User
from app.annotation.models import Annotation
from app.datasets.queries.judged import _adjudications  # what a snapshot reads
from app.db import database_now
from app.errors import Invalid
from app.projects.models import Membership
from app.quality.models import Adjudication, Part
from app.quality.queries.summary import fingerprint
from app.quality.rules.history import event_in_words
from app.quality.rules.keys import key_in_words, key_of, read_key
from app.quality.rules.seen import Fact, is_unchanged, news, stamp
from app.tasks.models import GoldKey, Task, TaskKind
from tests.factories import make_annotation, make_task
from tests.people import People
from tests.quality.reviewing import FIRST, SECOND, TIE, crowd, disputed, holds

SignIn = Callable[[User], TestClient]
Api = Callable[[User], TestClient]


@pytest.fixture
def task(session: Session, people: People) -> Task:
    return disputed(session, people)


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


def test_what_was_written_stays_where_the_task_has_become_gold(
    session: Session, people: People, task: Task, api: Api, sign_in: SignIn
):
    rui, address = sign_in(people.rui), f"/tasks/{task.id}"
    seen = seen_on(rui.get(f"{address}/review").text)
    ids = [each["id"] for each in api(people.ada).get(f"/api/v1{address}").json()["responses"]]
    api(people.ada).put(f"/api/v1{address}/gold", json={"prefers": [ids]})
    decided = {"answer": "2", "reason": "B is <right>.", "seen": seen}
    asked = {"more": "2", "reason": "Is B <right>?", "seen": seen}
    for action, form in (("adjudication", decided), ("send-back", asked)):
        reply = rui.post(f"{address}/{action}", data=form)
        assert reply.status_code == 422
        assert "has a key" in reply.text
        assert form["reason"].replace("<", "&lt;").replace(">", "&gt;") in reply.text
        order = "What you had put in: <strong>B &gt; A</strong>"
        assert (order in reply.text) == (action == "adjudication")
    assert session.query(Adjudication).filter_by(task_id=task.id).count() == 0


def test_what_was_to_be_found_out_stays_where_nobody_is_asked_any_more(
    session: Session, people: People, task: Task, sign_in: SignIn
):
    crowd(session, people, 1)
    rui, address = sign_in(people.rui), f"/tasks/{task.id}"
    seen = seen_on(rui.get(f"{address}/review").text)
    task.closed_at = database_now(session)
    session.commit()
    reply = rui.post(f"{address}/send-back", data={"more": "1", "reason": "Is it?", "seen": seen})
    assert reply.status_code == 409
    assert "Nobody is asked about this task any more" in reply.text
    assert "Is it?" in reply.text


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


def test_a_key_is_not_set_upon_a_task_that_has_changed(
    session: Session, people: People, task: Task, api: Api
):
    ada, address = api(people.ada), f"/api/v1/tasks/{task.id}"
    read = ada.get(address).json()
    ids = [each["id"] for each in read["responses"]]
    body = {"prefers": [ids], "if_unchanged": read["stamp"]}
    ada.put(f"{address}/adjudication", json={"ranking": [["B"], ["A"]], "reason": "No."})
    refused = ada.put(f"{address}/gold", json=body)
    assert refused.status_code == 409
    assert "Ada settled it: B > A" in refused.json()["detail"]
    assert session.get_one(Task, task.id).kind is TaskKind.ORDINARY
    body["if_unchanged"] = ada.get(address).json()["stamp"]
    done = ada.put(f"{address}/gold", json=body)
    assert (done.status_code, "if_unchanged" in done.json()) == (200, False)
    corrected = {"prefers": [ids[::-1]], "if_unchanged": body["if_unchanged"]}
    assert ada.put(f"{address}/gold", json=corrected).status_code == 409
    assert ada.put(f"{address}/gold", json={"prefers": [ids[::-1]]}).status_code == 200


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
    other = make_task(session, people.project, prompt="another")
    session.commit()
    for wrong in (
        f"/tasks/{task.id}/adjudication/{people.project.id}/withdraw",
        f"/tasks/{other.id}/adjudication/{newest.id}/withdraw",
    ):
        assert rui.post(wrong).status_code == 404


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
